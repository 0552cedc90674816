"""strand.au — the names of the original `au`: computations with handles, stores, backends and middleware.

                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

from .backends import ComputationBackend, CoroutineBackend, ProcessBackend, ThreadBackend
from .computing import async_compute, temporary_async_compute
from .handles import ComputationHandle
from .middleware import LoggingMiddleware, MetricsMiddleware, Middleware, SharedMetricsMiddleware
from .results import ComputationResult, ComputationStatus, SerializationFormat
from .stores import (
    ComputationStore,
    FileSystemStore,
    MappingStore,
    MemoryStore,
    RedisStore,
    SqliteStore,
    TemporaryStore,
)

__all__ = [
    "ComputationBackend",
    "ComputationHandle",
    "ComputationResult",
    "ComputationStatus",
    "ComputationStore",
    "CoroutineBackend",
    "FileSystemStore",
    "LoggingMiddleware",
    "MappingStore",
    "MemoryStore",
    "MetricsMiddleware",
    "Middleware",
    "ProcessBackend",
    "RedisStore",
    "SerializationFormat",
    "SharedMetricsMiddleware",
    "SqliteStore",
    "TemporaryStore",
    "ThreadBackend",
    "async_compute",
    "temporary_async_compute",
]
