"""Computations as programs of the original `au` write them: async_compute, stores, backends, middleware, metrics.

Functions for other processes stand at the top of this module, where a helper finds them by module and name.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import inspect
import logging
import os
import pickle
import threading
import time
import unittest
import uuid
from pathlib import Path

from strand.au import (
    ComputationBackend,
    ComputationHandle,
    ComputationResult,
    ComputationStatus,
    ComputationStore,
    FileSystemStore,
    LoggingMiddleware,
    MemoryStore,
    MetricsMiddleware,
    Middleware,
    ProcessBackend,
    SerializationFormat,
    ThreadBackend,
    async_compute,
    temporary_async_compute,
)
from support import PATIENCE, Case


@async_compute()
def factorial(n: int) -> int:
    """Calculates a factorial."""
    result = 1
    for i in range(1, n + 1):
        result *= i
    return result


@async_compute
def double(x):
    return x * 2


@async_compute()
def where():
    return os.getpid()


@async_compute()
def may_fail(x):
    if x < 0:
        raise ValueError("x must be positive")
    return x**2


def square(x):
    return x**2


def spin():
    while True:
        pass


def to_upper(words, *, sep=" ", **more):
    return {"text": sep.join(word.upper() for word in words), "more": more}


class TestQuickStart(Case):
    def test_call_returns_a_handle_at_once_and_the_result_later(self):
        handle = factorial(100)
        self.assertIsInstance(handle, ComputationHandle)
        self.assertIn(handle.get_status(), list(ComputationStatus))
        expected = 1
        for i in range(1, 101):
            expected *= i
        self.assertEqual(handle.get_result(timeout=PATIENCE), expected)
        self.assertIs(handle.get_status(), ComputationStatus.COMPLETED)
        self.assertTrue(handle.is_ready())

    def test_default_runs_in_another_process(self):
        self.assertNotEqual(where().get_result(timeout=PATIENCE), os.getpid())

    def test_decorated_function_keeps_its_name_help_and_signature(self):
        self.assertEqual(factorial.__name__, "factorial")
        self.assertEqual(factorial.__doc__, "Calculates a factorial.")
        self.assertEqual(list(inspect.signature(factorial).parameters), ["n"])

    def test_decorator_without_parentheses(self):
        self.assertEqual(double(21).get_result(timeout=PATIENCE), 42)

    def test_utilities_are_attached(self):
        self.assertIsInstance(factorial.cleanup_expired(), int)
        self.assertIsInstance(factorial.store, ComputationStore)
        self.assertIsNotNone(factorial.backend)

    def test_failure_keeps_type_and_message(self):
        handle = may_fail(-5)
        with self.assertRaisesRegex(ValueError, "x must be positive"):
            handle.get_result(timeout=PATIENCE)
        self.assertIs(handle.get_status(), ComputationStatus.FAILED)


class TestHandle(Case):
    def setUp(self):
        super().setUp()
        self.store = FileSystemStore(self.folder / "results", ttl_seconds=3600)
        self.backend = ThreadBackend(self.store)

    def test_handle_is_made_again_from_its_key(self):
        compute = async_compute(backend=self.backend, store=self.store)(square)
        key = compute(7).key
        again = ComputationHandle(key, self.store)
        self.assertEqual(again.get_result(timeout=PATIENCE), 49)
        self.assertEqual(again.get_status().value, "completed")
        self.assertEqual(again.key, key)

    def test_result_that_is_not_there_yet(self):
        gate = threading.Event()
        compute = async_compute(backend=self.backend, store=self.store)(lambda: gate.wait(PATIENCE) and 1)
        handle = compute()
        try:
            self.assertFalse(handle.is_ready())
            with self.assertRaises(RuntimeError):
                handle.get_result()
            with self.assertRaises(TimeoutError):
                handle.get_result(timeout=0.01)
        finally:
            gate.set()
        self.assertEqual(handle.get_result(timeout=PATIENCE), 1)

    def test_cancel(self):
        gate = threading.Event()
        compute = async_compute(backend=ThreadBackend(self.store, workers=1))(lambda: gate.wait(PATIENCE))
        running, waiting = compute(), compute()
        self.assertTrue(waiting.cancel())
        gate.set()
        running.get_result(timeout=PATIENCE)
        with self.assertRaises(Exception):
            waiting.get_result(timeout=PATIENCE)
        self.assertIs(waiting.get_status(), ComputationStatus.CANCELLED)
        self.assertFalse(running.cancel())

    def test_metadata(self):
        self.store["k"] = ComputationResult(1, ComputationStatus.COMPLETED, metadata={"user": "anna"})
        self.assertEqual(ComputationHandle("k", self.store).metadata["user"], "anna")

    def test_running_function_is_stopped(self):
        compute = async_compute(backend=ProcessBackend(self.store, grace=0.1))(spin)
        handle = compute()
        self.wait_until(lambda: handle.get_status() is ComputationStatus.RUNNING)
        self.assertTrue(handle.cancel())
        with self.assertRaises(Exception):
            handle.get_result(timeout=PATIENCE)
        self.assertIs(handle.get_status(), ComputationStatus.CANCELLED)

    def test_functions_of_one_name_are_told_apart(self):
        gate = threading.Event()
        backend = ThreadBackend(self.store, workers=1)
        first = async_compute(backend=backend)(lambda: gate.wait(PATIENCE))()
        handles = [async_compute(backend=backend)(lambda k=k: k)() for k in range(5)]
        gate.set()
        self.assertTrue(first.get_result(timeout=PATIENCE))
        self.assertEqual([handle.get_result(timeout=PATIENCE) for handle in handles], list(range(5)))


class TestConfiguration(Case):
    def test_store_and_backend_are_shared(self):
        store = FileSystemStore(str(self.folder), ttl_seconds=3600)
        backend = ProcessBackend(store)
        one = async_compute(backend=backend, store=store)(square)
        two = async_compute(backend=backend, store=store)(to_upper)
        handles = [one(i) for i in range(20)]
        self.assertEqual([handle.get_result(timeout=PATIENCE) for handle in handles], [i**2 for i in range(20)])
        handle = two(["a", "b"], sep="-", k=1)
        self.assertEqual(handle.get_result(timeout=PATIENCE), {"text": "A-B", "more": {"k": 1}})
        self.assertEqual(len(store), 21)
        self.assertIs(one.store, store)
        self.assertIs(two.backend, backend)

    def test_arguments_of_the_decorator_make_the_store(self):
        compute = async_compute(
            base_path=str(self.folder / "here"), ttl_seconds=60, serialization=SerializationFormat.PICKLE
        )(square)
        self.assertEqual(compute(12).get_result(timeout=PATIENCE), 144)
        self.assertEqual(compute.store.base_path, self.folder / "here")
        self.assertEqual(compute.store.ttl_seconds, 60)
        self.assertIs(compute.store.serialization, SerializationFormat.PICKLE)
        self.assertEqual(len(compute.store), 1)

    def test_both_formats_keep_complex_values(self):
        value = {"complex": [1, 2, {"nested": True}], "set": {1, 2}, "pair": (1, None), "raw": b"\0\xff"}
        for format in SerializationFormat:
            store = FileSystemStore(self.folder / format.value, serialization=format)
            compute = async_compute(backend=ThreadBackend(store))(lambda: value)
            handle = compute()
            self.assertEqual(handle.get_result(timeout=PATIENCE), value)
            self.assertEqual(store[handle.key].value, value)

    def test_results_survive_the_program_that_made_them(self):
        path = self.folder / "kept"
        key = async_compute(base_path=path)(square)(5)
        key.get_result(timeout=PATIENCE)
        self.assertEqual(ComputationHandle(key.key, FileSystemStore(path)).get_result(), 25)

    def test_steps_are_chained(self):
        backend = ThreadBackend(MemoryStore())
        step = async_compute(backend=backend)(square)
        first = step(2).get_result(timeout=PATIENCE)
        self.assertEqual(step(first).get_result(timeout=PATIENCE), 16)


class TestTemporary(Case):
    def test_nothing_is_left(self):
        os.environ["XDG_RUNTIME_DIR"] = str(self.folder)
        with temporary_async_compute(ttl_seconds=60) as async_func:
            compute = async_func(square)
            self.assertEqual(compute(10).get_result(timeout=PATIENCE), 100)
            self.assertEqual(len(compute.store), 1)
        with self.assertRaises(Exception):
            len(compute.store)

    def test_function_defined_inside(self):
        with temporary_async_compute(ThreadBackend, serialization=SerializationFormat.PICKLE) as async_func:

            @async_func
            def inner(x):
                return {"value": x * 3}

            self.assertEqual(inner(7).get_result(timeout=PATIENCE), {"value": 21})


class Recorder(Middleware):
    def __init__(self):
        self.said = []

    def before_compute(self, func, args, kwargs, key):
        self.said.append(("before", func.__name__, args, kwargs, key))

    def after_compute(self, key, result):
        self.said.append(("after", key, result.value, result.status))

    def on_error(self, key, error):
        self.said.append(("error", key, error))


class RateLimitMiddleware(Middleware):
    """The original's example: a program's own limit, which has no constructor of ours called."""

    def __init__(self, max_per_minute: int = 60):
        self.max_per_minute = max_per_minute
        self.requests = []

    def before_compute(self, func, args, kwargs, key):
        now = time.time()
        self.requests = [t for t in self.requests if now - t < 60]
        if len(self.requests) >= self.max_per_minute:
            raise Exception("Rate limit exceeded")
        self.requests.append(now)

    def after_compute(self, key, result):
        pass

    def on_error(self, key, error):
        pass


class TestMiddleware(Case):
    def test_hooks_see_the_call_and_its_end(self):
        recorder = Recorder()
        backend = ThreadBackend(MemoryStore(), middleware=[recorder])
        handle = async_compute(backend=backend)(to_upper)(["a"], sep="+")
        handle.get_result(timeout=PATIENCE)
        before, after = recorder.said
        self.assertEqual(before, ("before", "to_upper", (["a"],), {"sep": "+"}, handle.key))
        self.assertEqual(after, ("after", handle.key, {"text": "A", "more": {}}, ComputationStatus.COMPLETED))

    def test_hook_sees_the_error(self):
        recorder = Recorder()
        compute = async_compute(backend=ThreadBackend(MemoryStore(), middleware=[recorder]))(may_fail.__wrapped__)
        handle = compute(-1)
        with self.assertRaises(ValueError):
            handle.get_result(timeout=PATIENCE)
        kind, key, error = recorder.said[1]
        self.assertEqual((kind, key), ("error", handle.key))
        self.assertIsInstance(error, ValueError)

    def test_raising_refuses_the_call(self):
        ran = []
        limit = RateLimitMiddleware(max_per_minute=3)
        compute = async_compute(middleware=[limit], store=MemoryStore(), backend=ThreadBackend)(ran.append)
        ended = []
        for i in range(5):
            try:
                ended.append(compute(i).get_result(timeout=PATIENCE))
            except Exception as error:
                self.assertIn("RateLimitMiddleware", str(error))
                self.assertIn("Rate limit exceeded", str(error))
        self.assertEqual(ran, [0, 1, 2])
        self.assertEqual(ended, [None, None, None])

    def test_middleware_counts_what_runs_in_other_processes(self):
        metrics = MetricsMiddleware()
        compute = async_compute(middleware=[metrics], base_path=self.folder)(may_fail.__wrapped__)
        handles = [compute(i) for i in range(-3, 7)]
        for handle in handles:
            try:
                handle.get_result(timeout=PATIENCE)
            except ValueError:
                pass
        stats = metrics.get_stats()
        self.assertEqual(stats["total"], 10)
        self.assertEqual(stats["completed"], 7)
        self.assertEqual(stats["failed"], 3)
        self.assertGreater(stats["avg_duration"], 0)
        self.assertRegex(f"{stats['avg_duration']:.2f}s", r"^\d+\.\d\ds$")

    def test_metrics_of_nothing(self):
        self.assertEqual(MetricsMiddleware().get_stats()["total"], 0)
        self.assertEqual(MetricsMiddleware().get_stats()["avg_duration"], 0.0)

    def test_logging(self):
        middleware = LoggingMiddleware(level=logging.INFO)
        compute = async_compute(backend=ThreadBackend(MemoryStore(), middleware=[middleware]))(square)
        with self.assertLogs("strand", logging.INFO) as logs:
            handle = compute(3)
            handle.get_result(timeout=PATIENCE)
        self.assertEqual(len(logs.records), 2)
        self.assertTrue(all(record.levelno == logging.INFO for record in logs.records))
        self.assertIn("square", logs.output[0])
        self.assertTrue(all(handle.key in line for line in logs.output))

    def test_shipped_middleware_stands_in_the_chain_by_name(self):
        recorder = Recorder()
        backend = ThreadBackend(MemoryStore(), middleware=["logging", recorder])
        self.assertEqual(async_compute(backend=backend)(square)(3).get_result(timeout=PATIENCE), 9)
        self.assertEqual(len(recorder.said), 2)


class KeyValueStore(ComputationStore):
    """The original's example of a store over somebody's client, with keys of its own making."""

    def __init__(self, client, *, ttl_seconds=None):
        super().__init__(ttl_seconds=ttl_seconds)
        self.client = client

    def create_key(self):
        return f"computation:{uuid.uuid4()}"

    def __getitem__(self, key):
        data = self.client.get(key)
        if data is None:
            return ComputationResult(None, ComputationStatus.PENDING)
        return pickle.loads(data)

    def __setitem__(self, key, result):
        self.client[key] = pickle.dumps(result)

    def __delitem__(self, key):
        del self.client[key]

    def __iter__(self):
        return iter([key for key in list(self.client) if key.startswith("computation:")])

    def __len__(self):
        return sum(1 for _ in self)

    def cleanup_expired(self):
        return 0


class TestCustomStore(Case):
    def test_computation_is_kept_there_under_its_own_key(self):
        client = {}
        store = KeyValueStore(client, ttl_seconds=3600)
        compute = async_compute(store=store)(square)
        handle = compute(6)
        self.assertEqual(handle.get_result(timeout=PATIENCE), 36)
        self.assertTrue(handle.key.startswith("computation:"))
        self.assertEqual(list(store), [handle.key])
        self.assertEqual(store[handle.key].value, 36)
        self.assertIs(store[handle.key].status, ComputationStatus.COMPLETED)
        self.assertEqual(ComputationHandle(handle.key, store).get_result(timeout=PATIENCE), 36)
        self.assertEqual(compute.cleanup_expired(), 0)

    def test_failure_is_kept_there(self):
        store = KeyValueStore({})
        handle = async_compute(backend=ThreadBackend(store))(may_fail.__wrapped__)(-1)
        with self.assertRaises(ValueError):
            handle.get_result(timeout=PATIENCE)
        self.assertIs(store[handle.key].status, ComputationStatus.FAILED)
        self.assertIsInstance(store[handle.key].error, ValueError)


class SlowBackend(ComputationBackend):
    """A program's own way to run computations: a thread each."""

    def launch(self, func, args, kwargs, key):
        def run():
            self.store[key] = ComputationResult(func(*args, **kwargs), ComputationStatus.COMPLETED)

        threading.Thread(target=run).start()


class TestCustomBackend(Case):
    def test_launches_and_keeps_the_result(self):
        store = MemoryStore()
        handle = async_compute(backend=SlowBackend(store))(square)(4)
        self.assertEqual(handle.get_result(timeout=PATIENCE), 16)
        self.assertEqual(list(store), [handle.key])


class TestCleanup(Case):
    def test_expired_results_are_removed(self):
        compute = async_compute(backend=ThreadBackend(MemoryStore(ttl_seconds=0.001, auto_cleanup=False)))(square)
        for i in range(5):
            compute(i).get_result(timeout=PATIENCE)
        removed = []
        self.wait_until(lambda: removed.append(compute.cleanup_expired()) or sum(removed) >= 5)
        self.assertEqual(sum(removed), 5)


class TestThreads(Case):
    def test_waiting_functions_overlap(self):
        # Each waits for the other, so both must be under way at once.
        barrier = threading.Barrier(2, timeout=PATIENCE)
        compute = async_compute(backend=ThreadBackend(FileSystemStore(self.folder)))(lambda: barrier.wait() >= 0)
        handles = [compute() for _ in range(2)]
        self.assertEqual([handle.get_result(timeout=PATIENCE) for handle in handles], [True, True])


class TestEnd(Case):
    def test_program_ends_when_its_calls_have_ended(self):
        said = self.run_program(
            "import time\n"
            "from strand import MultiprocessTaskrunner, ThreadTaskrunner\n"
            "from strand.au import FileSystemStore, ThreadBackend, async_compute\n"
            "def late(word):\n"
            "    time.sleep(0.2)\n"
            "    return [word]\n"
            "ThreadTaskrunner(late, on_iter=print)('thread')\n"
            "MultiprocessTaskrunner(late, on_end=print)('process')\n"
            "async_compute(backend=ThreadBackend(FileSystemStore('kept')))(late)('kept')\n"
        )
        self.assertEqual(said.stderr, "")
        self.assertEqual(sorted(said.stdout.splitlines()), ["['process']", "thread"])
        (kept,) = FileSystemStore(self.folder / "kept").values()
        self.assertEqual(kept.value, ["kept"])

    def test_no_store_in_python_is_called_after_the_end(self):
        said = self.run_program(
            "import sys\n"
            f"sys.path.append({str(Path(__file__).parent)!r})\n"
            "from test_stores import PickledStore, ShelfStore\n"
            "from strand import StoreTaskReader, StoreTaskWriter\n"
            "from strand.au import MetricsMiddleware, ThreadBackend, async_compute\n"
            "for store in PickledStore(), ShelfStore(), {}:\n"
            "    async_compute(backend=ThreadBackend(store, middleware=[MetricsMiddleware()]))(abs)(-1)\n"
            "    StoreTaskReader(store).listen()\n"
            "    StoreTaskWriter(abs, store)(-2)\n"
        )
        self.assertEqual(said.stderr, "")


if __name__ == "__main__":
    unittest.main()
