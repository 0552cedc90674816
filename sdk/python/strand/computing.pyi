import os
from pathlib import Path
from typing import Any, Callable, ContextManager, Coroutine, Generator, Generic, Iterable, Optional, Protocol, TypeVar, Union, overload
from typing_extensions import ParamSpec
from .backends import ComputationBackend
from .handles import ComputationHandle
from .middleware import Middleware
from .results import SerializationFormat
from .stores import ComputationStore

_P = ParamSpec("_P")
_T = TypeVar("_T")

def default_base_path() -> Path: ...

class AsyncFunction(Generic[_P, _T]):
    strand_function: Callable[..., Any]
    strand_is_static: bool
    def __init__(self, func: Callable[_P, _T], make_backend: Any) -> None: ...
    @property
    def backend(self) -> ComputationBackend: ...
    @property
    def store(self) -> ComputationStore: ...
    def cleanup_expired(self) -> int: ...
    def __get__(self, instance: Any, owner: Any = ...) -> Any: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> ComputationHandle[_T]: ...

class _Decorator(Protocol):
    @overload
    def __call__(self, func: Callable[_P, Coroutine[Any, Any, _T]]) -> AsyncFunction[_P, _T]: ...
    @overload
    def __call__(self, func: Callable[_P, Generator[Any, Any, _T]]) -> AsyncFunction[_P, _T]: ...
    @overload
    def __call__(self, func: Callable[_P, _T]) -> AsyncFunction[_P, _T]: ...

@overload
def async_compute(
    backend: Callable[_P, _T],
) -> AsyncFunction[_P, _T]: ...
@overload
def async_compute(
    backend: Optional[ComputationBackend] = ...,
    *,
    store: Any = ...,
    base_path: Optional[Union[str, os.PathLike[str]]] = ...,
    ttl_seconds: Optional[float] = ...,
    serialization: Optional[SerializationFormat] = ...,
    middleware: Optional[Iterable[Union[Middleware, str, Any]]] = ...,
) -> _Decorator: ...

def temporary_async_compute(
    backend: Any = ...,
    *,
    ttl_seconds: Optional[float] = ...,
    serialization: SerializationFormat = ...,
    middleware: Optional[Iterable[Union[Middleware, str, Any]]] = ...,
) -> ContextManager[_Decorator]: ...
