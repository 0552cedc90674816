from typing import Any, Callable, ContextManager, Iterable, Mapping, Optional, Sequence, Type, Union, overload
from ..tasks import Taskrunner

def resolve_runner_cls(target: Any) -> Type[Taskrunner]: ...

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

@overload
def run_process(
    func: Union[Callable[..., Any], str, Sequence[str]],
    func_args: Iterable[Any] = ...,
    func_kwargs: Optional[Mapping[str, Any]] = ...,
    *,
    process_name: Optional[str] = ...,
    is_ready: Union[Callable[[], Any], float, None] = ...,
    timeout: Optional[float] = ...,
    force_kill: bool = ...,
    verbose: bool = ...,
    process_already_running: None = ...,
) -> ContextManager[RunningProcess]: ...
@overload
def run_process(
    func: Union[Callable[..., Any], str, Sequence[str]],
    func_args: Iterable[Any] = ...,
    func_kwargs: Optional[Mapping[str, Any]] = ...,
    *,
    process_name: Optional[str] = ...,
    is_ready: Union[Callable[[], Any], float, None] = ...,
    timeout: Optional[float] = ...,
    force_kill: bool = ...,
    verbose: bool = ...,
    process_already_running: Optional[Callable[[], Any]] = ...,
) -> ContextManager[Optional[RunningProcess]]: ...
