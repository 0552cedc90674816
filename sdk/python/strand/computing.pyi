import contextlib
import os
from pathlib import Path
from typing import Any, Callable, Iterable, Optional, Union
from .results import SerializationFormat
from .stores import ComputationStore

def default_base_path() -> Path: ...

class AsyncFunction:
    strand_function: Any
    def __init__(self, func: Callable[..., Any], make_backend: Any) -> None: ...
    @property
    def backend(self) -> Any: ...
    @property
    def store(self) -> ComputationStore: ...
    def cleanup_expired(self) -> int: ...
    def __get__(self, instance: Any, owner: Any = ...) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def async_compute(
    backend: Any = ...,
    *,
    store: Any = ...,
    base_path: Optional[Union[str, os.PathLike[str]]] = ...,
    ttl_seconds: Optional[float] = ...,
    serialization: Optional[SerializationFormat] = ...,
    middleware: Optional[Iterable[Any]] = ...,
) -> Any: ...

@contextlib.contextmanager
def temporary_async_compute(
    backend: Any = ...,
    *,
    ttl_seconds: Optional[float] = ...,
    serialization: SerializationFormat = ...,
    middleware: Optional[Iterable[Any]] = ...,
) -> Any: ...
