"""A program that uses every public name with its types: what a type checker says of it, test_types.py looks at. It is
not run. Where a line is wrong on purpose, the checker has to say so.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any, AsyncIterator, Dict, Iterator, List, Optional

import strand
from strand import (
    CoroutineTaskrunner,
    MultiprocessTaskrunner,
    StoreTaskReader,
    StoreTaskWriter,
    TargetTaskrunner,
    TaskDispatcher,
    Taskrunner,
    ThreadTaskrunner,
    as_task,
    from_variant,
    launch,
    run_process,
    to_variant,
    use_main_loop,
)
from strand.au import (
    ComputationBackend,
    ComputationHandle,
    ComputationResult,
    ComputationStatus,
    ComputationStore,
    CoroutineBackend,
    FileSystemStore,
    LoggingMiddleware,
    MappingStore,
    MemoryStore,
    MetricsMiddleware,
    Middleware,
    ProcessBackend,
    RedisStore,
    SerializationFormat,
    SharedMetricsMiddleware,
    SqliteStore,
    TemporaryStore,
    ThreadBackend,
    async_compute,
    temporary_async_compute,
)
from strand.taskrunning.utils import conditional_logger, resolve_runner_cls


def square(number: int) -> int:
    return number * number


def show(value: Any) -> None:
    print(value)


def complain(error: Exception) -> None:
    print(error)


# Taskrunners.

runners: List[Taskrunner] = [
    Taskrunner(square, on_end=show),
    ThreadTaskrunner(square, 1, on_iter=show, on_end=show, on_error=complain, keyword=2),
    MultiprocessTaskrunner("demo.add", 40),
    CoroutineTaskrunner(square, yield_on_iter=False),
    TargetTaskrunner(square, target="jobs"),
]
handle: ComputationHandle[Any] = ThreadTaskrunner(square)(3)
ThreadTaskrunner(square, on_end=3)  # type: ignore[arg-type]


@as_task
def bare(number: int) -> int:
    return number


@as_task("process", on_end=show)
def elsewhere(number: int) -> int:
    return number


@as_task(ThreadTaskrunner, on_error=complain)
def of_a_class(number: int) -> int:
    return number


ready: bool = elsewhere(3).is_ready()
bare(3).wait(timeout=1.5)
bare(3).no_such_method()  # type: ignore[attr-defined]
use_main_loop()
launched: ComputationHandle[Any] = launch(square, (1,), {}, "thread", on_end=show)


# Computations.

store: ComputationStore = FileSystemStore(
    Path("results"), ttl_seconds=3600, serialization=SerializationFormat.PICKLE, auto_cleanup=True, cleanup_probability=0.1
)
stores: List[ComputationStore] = [
    MemoryStore(ttl_seconds=1),
    TemporaryStore(),
    SqliteStore("results.db"),
    RedisStore("redis://localhost", prefix="p"),
    MappingStore({}),
]
FileSystemStore(3)  # type: ignore[arg-type]
FileSystemStore("results", ttl=3)  # type: ignore[call-arg]


class Limit(Middleware):
    def before_compute(self, func: Any, args: Any, kwargs: Any, key: str) -> None:
        raise RuntimeError(key)

    def after_compute(self, key: str, result: ComputationResult) -> None:
        print(result.value, result.duration)

    def on_error(self, key: str, error: BaseException) -> None:
        pass


metrics = MetricsMiddleware()
middleware: List[Middleware] = [LoggingMiddleware(level=logging.INFO), metrics, SharedMetricsMiddleware(), Limit()]
backend: ComputationBackend = ProcessBackend(store, middleware=middleware, retries=2, timeout=30)
backends: List[ComputationBackend] = [ThreadBackend(store, workers=4), CoroutineBackend(store)]
average: float = metrics.get_stats()["avg_duration"]


@async_compute(backend=backend, store=store)
def doubled(number: int, *, times: int = 1) -> str:
    return str(2 * number * times)


@async_compute
def unbracketed(number: int) -> int:
    return number


@async_compute(ttl_seconds=3600, serialization=SerializationFormat.JSON, base_path="/tmp/computations", middleware=[metrics])
async def later(number: int) -> bytes:
    return bytes(number)


text: str = doubled(3, times=2).get_result(timeout=30)
number: int = unbracketed(3).get_result()
octets: bytes = later(3).get_result(timeout=None)
wrong: int = doubled(3).get_result()  # type: ignore[assignment]
doubled("three")  # type: ignore[arg-type]
doubled(3, no_such=1)  # type: ignore[call-arg]
removed: int = doubled.cleanup_expired()
of_the_function: ComputationStore = doubled.store

with temporary_async_compute(ttl_seconds=60) as async_func:

    @async_func
    def quick_job(x: int) -> float:
        return x / 2

    half: float = quick_job(10).get_result(timeout=5)

job: ComputationHandle[str] = doubled(4)
key: str = job.key
status: ComputationStatus = job.get_status()
word: str = status.value
metadata: Dict[str, Any] = job.metadata
progress: Optional[float] = job.progress
message: Optional[str] = job.message
stopped: bool = job.cancel()
raised: Optional[Exception] = job.exception()
found: ComputationHandle[Any] = ComputationHandle(key, store)
result: ComputationResult = store[key]
took: Optional[timedelta] = result.duration
store[key] = ComputationResult(1, ComputationStatus.COMPLETED)
store[key] = 1  # type: ignore[assignment]
keys: Iterator[str] = iter(store)
del store[key]


class ShelfStore(ComputationStore):
    def __init__(self, *, ttl_seconds: Optional[float] = None) -> None:
        super().__init__(ttl_seconds=ttl_seconds)
        self.kept: Dict[str, ComputationResult] = {}

    def create_key(self) -> str:
        return f"{super().create_key()}-of-mine"

    def __getitem__(self, key: str) -> ComputationResult:
        return self.kept[key]

    def __setitem__(self, key: str, result: ComputationResult) -> None:
        self.kept[key] = result

    def __delitem__(self, key: str) -> None:
        del self.kept[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    def cleanup_expired(self) -> int:
        return 0


of_a_program: ComputationStore = ShelfStore(ttl_seconds=3600)
ComputationStore()  # type: ignore[abstract]


# Queues, many at once, processes.


def find(task: Dict[str, Any]) -> Any:
    return {"square": square}[task["name"]]


writer = StoreTaskWriter(square, {}, 2, read_store={}, pickle_func=True, on_end=show)
left: Optional[str] = writer.task_id
left_handle: ComputationHandle[Any] = writer(task_id="mine")
reader: StoreTaskReader = StoreTaskReader(store, find, modules=["tasks", strand], queues=("default",), jobs=2).listen()
reader.wait_idle(3)
reader.stop(timeout=1)
with StoreTaskReader(store) as listening:
    listening.wait_idle()

dispatcher = TaskDispatcher(target="process", check_complete=lambda results, status, errors: "success" in status)
dispatcher.enqueue(square, args=[1], kwargs={}, on_end=show)
one: ComputationHandle[Any] = dispatcher.dispatch(square, 2)
complete: bool = dispatcher.run(timeout=10)
outcome: Optional[str] = dispatcher.status[0]
why: Optional[Exception] = dispatcher.errors[0]

with run_process(square, (1,), {}, process_name="w", is_ready=0.2, timeout=5, force_kill=True, verbose=True) as process:
    alive: bool = process.is_alive()
with run_process("sleep", ["1"], is_ready=lambda: True, process_already_running=lambda: True) as perhaps:
    pid: int = perhaps.pid  # type: ignore[union-attr]
    if perhaps is not None:
        perhaps.join(1)
runner: type = resolve_runner_cls("thread")
conditional_logger(True, print)("said")


# In a running function; values; errors.


def works() -> None:
    context = strand.context()
    context.progress(0.5, "half")
    context.emit(to_variant(1))


plain: Any = from_variant(to_variant([1, "a"], "av"))
try:
    doubled(1).get_result(timeout=1)
except strand.CallTimeoutError as error:
    code: int = error.code
except (strand.NotReadyError, strand.CancelledError, strand.RefusedError, strand.CrashedError, strand.UnsafeError):
    pass
except (strand.NotFoundError, strand.StrandError):
    pass
except strand.RemoteError as remote:
    name: Optional[str] = remote.type_name
    print(isinstance(remote.__cause__, strand.RemoteTraceback))


async def awaits() -> str:
    async for item in ThreadTaskrunner(square)(1):
        show(item)
    items: AsyncIterator[Any] = job.__aiter__()
    show(items)
    return await job
