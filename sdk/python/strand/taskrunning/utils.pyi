import contextlib
from typing import Any, Callable, Iterable, Mapping, Optional, Union

def resolve_runner_cls(target: Any) -> Any: ...

def conditional_logger(verbose: bool = ..., log_func: Callable[..., Any] = ...) -> Any: ...

class RunningProcess:
    native: Any
    def __init__(self, process: Any) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def exitcode(self) -> Optional[int]: ...
    def is_alive(self) -> bool: ...
    def join(self, timeout: Optional[float] = ...) -> None: ...
    def terminate(self) -> None: ...
    kill = terminate

@contextlib.contextmanager
def run_process(
    func: Callable[..., Any],
    func_args: Iterable[Any] = ...,
    func_kwargs: Optional[Mapping[str, Any]] = ...,
    *,
    process_name: Optional[str] = ...,
    is_ready: Union[Callable[[], Any], float, None] = ...,
    timeout: Optional[float] = ...,
    force_kill: bool = ...,
    verbose: bool = ...,
    process_already_running: Optional[Callable[[], Any]] = ...,
) -> Any: ...
