from typing import Any, Callable, Dict, Iterable, List, Optional
from .stores import ComputationStore

class ComputationBackend:
    store: ComputationStore
    middleware: List[Any]
    def __init__(self, store: Any = ..., middleware: Optional[Iterable[Any]] = ...) -> None: ...
    def launch(self, func: Callable[..., Any], args: Any, kwargs: Any, key: str) -> None: ...
    def terminate(self, key: str) -> None: ...

class LocalBackend(ComputationBackend):
    settings: Dict[str, Any]
    taskrunner: Any
    native: Any
    target: str
    def __init__(
        self,
        store: Any,
        middleware: Optional[Iterable[Any]] = ...,
        *,
        retries: int = ...,
        timeout: Optional[float] = ...,
        grace: Optional[float] = ...,
        **settings: Any,
    ) -> None: ...
    def close_at_exit(self) -> None: ...
    def terminate(self, key: str) -> Any: ...
    def close(self, timeout: Optional[float] = ...) -> None: ...

class ThreadBackend(LocalBackend):
    target: str

class ProcessBackend(LocalBackend):
    target: str

class CoroutineBackend(LocalBackend):
    target: str

def serializer_of(store: Any) -> Any: ...
