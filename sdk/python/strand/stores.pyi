import abc
import os
from pathlib import Path
from typing import Any, Iterator, MutableMapping, Optional, Union
from .results import ComputationResult, SerializationFormat

def plugin_object(kind: Any, name: str, **properties: Any) -> Any: ...

def microseconds(seconds: Any) -> int: ...

class ComputationStore(MutableMapping[str, ComputationResult], metaclass=abc.ABCMeta):
    ttl_seconds: Optional[float]
    def __init__(self, *, ttl_seconds: Optional[float] = ...) -> None: ...
    def create_key(self) -> str: ...
    def is_expired(self, result: ComputationResult) -> bool: ...
    def cleanup_expired(self) -> int: ...
    @property
    def native(self) -> Any: ...
    def close(self) -> None: ...

class GObjectStore(ComputationStore):
    serialization: SerializationFormat
    def __init__(self, store: Any, *, serialization: SerializationFormat = ...) -> None: ...
    @property
    def native(self) -> Any: ...
    @property  # type: ignore[override]
    def ttl_seconds(self) -> Optional[float]: ...
    @property
    def auto_cleanup(self) -> bool: ...
    @property
    def cleanup_probability(self) -> float: ...
    def __getitem__(self, key: str) -> ComputationResult: ...
    def __setitem__(self, key: str, result: ComputationResult) -> None: ...
    def __delitem__(self, key: str) -> None: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def cleanup_expired(self) -> int: ...

class FileSystemStore(GObjectStore):
    base_path: Path
    def __init__(
        self,
        base_path: Union[str, os.PathLike[str]],
        *,
        ttl_seconds: Optional[float] = ...,
        serialization: SerializationFormat = ...,
        auto_cleanup: bool = ...,
        cleanup_probability: float = ...,
    ) -> None: ...

class MemoryStore(GObjectStore):
    def __init__(
        self,
        *,
        ttl_seconds: Optional[float] = ...,
        serialization: SerializationFormat = ...,
        auto_cleanup: bool = ...,
        cleanup_probability: float = ...,
    ) -> None: ...

class TemporaryStore(GObjectStore):
    def __init__(
        self,
        path: Optional[Union[str, os.PathLike[str]]] = ...,
        *,
        ttl_seconds: Optional[float] = ...,
        serialization: SerializationFormat = ...,
        auto_cleanup: bool = ...,
        cleanup_probability: float = ...,
    ) -> None: ...

class SqliteStore(GObjectStore):
    path: Path
    def __init__(
        self,
        path: Union[str, os.PathLike[str]],
        *,
        ttl_seconds: Optional[float] = ...,
        serialization: SerializationFormat = ...,
        auto_cleanup: bool = ...,
        cleanup_probability: float = ...,
    ) -> None: ...

class RedisStore(GObjectStore):
    def __init__(
        self,
        uri: str = ...,
        *,
        prefix: Optional[str] = ...,
        ttl_seconds: Optional[float] = ...,
        serialization: SerializationFormat = ...,
        auto_cleanup: bool = ...,
        cleanup_probability: float = ...,
    ) -> None: ...

class MappingStore(ComputationStore):
    mapping: Any
    def __init__(self, mapping: MutableMapping[str, Any], *, ttl_seconds: Optional[float] = ...) -> None: ...
    def __getitem__(self, key: str) -> ComputationResult: ...
    def __setitem__(self, key: str, result: ComputationResult) -> None: ...
    def __delitem__(self, key: str) -> None: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

def as_store(store: Any) -> ComputationStore: ...
