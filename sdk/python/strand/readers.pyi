from types import ModuleType
from typing import Any, Callable, Dict, Iterable, Optional, Sequence, Union
from .results import ComputationResult
from .stores import ComputationStore
from .handles import ComputationHandle
from .tasks import _Launcher

class StoreTaskWriter(_Launcher):
    store: ComputationStore
    pickle_func: bool
    get_result: Any
    handle: Optional[ComputationHandle[Any]]
    task_id: Optional[str]
    backend: Any
    reader: Optional[StoreTaskReader]
    target: str
    def __init__(
        self,
        func: Callable[..., Any],
        store: Any,
        *init_args: Any,
        read_store: Any = ...,
        pickle_func: bool = ...,
        get_result: Optional[Callable[[str], Any]] = ...,
        **init_kwargs: Any,
    ) -> None: ...
    def close_at_exit(self) -> None: ...
    @property
    def result(self) -> Any: ...
    def __get__(self, instance: Any, owner: Any = ...) -> Any: ...

class StoreTaskReader:
    store: ComputationStore
    get_task_func: Any
    taskrunner: Any
    native: Any
    def __init__(
        self,
        store: Any,
        get_task_func: Optional[Callable[[Dict[str, Any]], Optional[Callable[..., Any]]]] = ...,
        *,
        modules: Iterable[Union[str, ModuleType]] = ...,
        queues: Sequence[str] = ...,
        jobs: int = ...,
        middleware: Optional[Iterable[Any]] = ...,
    ) -> None: ...
    def close_at_exit(self) -> None: ...
    def listen(self) -> StoreTaskReader: ...
    def stop(self, timeout: Optional[float] = ...) -> None: ...
    def wait_idle(self, timeout: Optional[float] = ...) -> None: ...
    def __enter__(self) -> StoreTaskReader: ...
    def __exit__(self, *error: Any) -> None: ...

def own_key(store: Any) -> Any: ...

def item_of_result(result: ComputationResult, base: Any = ...) -> Dict[str, Any]: ...

def record_of_item(key: str, item: Any) -> Any: ...

def result_of_item(key: str, item: Any) -> ComputationResult: ...
