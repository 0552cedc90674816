from typing import Any, Callable, Dict, Iterable, Optional, Sequence
from .results import ComputationResult
from .stores import ComputationStore
from .tasks import Taskrunner

class StoreTaskWriter(Taskrunner):
    store: ComputationStore
    pickle_func: bool
    get_result: Any
    handle: Any
    task_id: Optional[str]
    backend: Any
    reader: Any
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
        get_task_func: Optional[Callable[[Any], Callable[..., Any]]] = ...,
        *,
        modules: Sequence[str] = ...,
        queues: Sequence[str] = ...,
        jobs: int = ...,
        middleware: Optional[Iterable[Any]] = ...,
    ) -> None: ...
    def close_at_exit(self) -> None: ...
    def listen(self) -> Any: ...
    def stop(self, timeout: Optional[float] = ...) -> None: ...
    def wait_idle(self, timeout: Optional[float] = ...) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, *error: Any) -> None: ...

def own_key(store: Any) -> Any: ...

def item_of_result(result: ComputationResult, base: Any = ...) -> Dict[str, Any]: ...

def record_of_item(key: str, item: Any) -> Any: ...

def result_of_item(key: str, item: Any) -> ComputationResult: ...
