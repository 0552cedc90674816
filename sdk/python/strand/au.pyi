from .backends import (
    ComputationBackend as ComputationBackend,
    CoroutineBackend as CoroutineBackend,
    ProcessBackend as ProcessBackend,
    ThreadBackend as ThreadBackend,
)
from .computing import async_compute as async_compute, temporary_async_compute as temporary_async_compute
from .handles import ComputationHandle as ComputationHandle
from .middleware import (
    LoggingMiddleware as LoggingMiddleware,
    MetricsMiddleware as MetricsMiddleware,
    Middleware as Middleware,
    SharedMetricsMiddleware as SharedMetricsMiddleware,
)
from .results import (
    ComputationResult as ComputationResult,
    ComputationStatus as ComputationStatus,
    SerializationFormat as SerializationFormat,
)
from .stores import (
    ComputationStore as ComputationStore,
    FileSystemStore as FileSystemStore,
    MappingStore as MappingStore,
    MemoryStore as MemoryStore,
    RedisStore as RedisStore,
    SqliteStore as SqliteStore,
    TemporaryStore as TemporaryStore,
)

__all__: list[str]
