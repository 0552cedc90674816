"""Programs as users of the two original libraries wrote them, after the examples of their documentation: only the
imports name this package. Each is a file without a guard, run by an interpreter of its own.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import importlib.util
import unittest

from support import Case


class Program(Case):
    def lines(self, source, *arguments):
        """What a program prints, by lines; it says nothing on stderr."""
        done = self.run_program(source, *arguments)
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()


class Taskrunners(Program):
    CHUNKS = [f"got a chunk: range({start}, {start + 1000})" for start in range(0, 50000, 1000)]

    def test_runner_hands_over_chunks(self):
        lines = self.lines(
            """
            from strand import ThreadTaskrunner

            def print_chunk(chunk):
                print(f'got a chunk: {chunk}')

            def cut(total_size, chunk_size):
                if total_size < chunk_size:
                    total_size = chunk_size
                everything = range(total_size)
                return (everything[chunk_size * n:chunk_size * (n + 1)] for n in range(total_size // chunk_size))

            runner = ThreadTaskrunner(cut, on_iter=print_chunk)
            runner(50000, 1000)
            """
        )
        self.assertEqual(lines, self.CHUNKS)

    def test_decorated_function_hands_over_chunks(self):
        source = """
            from strand import as_task

            def print_chunk(chunk):
                print(f'got a chunk: {chunk}')

            @as_task(TARGET on_iter=print_chunk)
            def cut(total_size, chunk_size):
                if total_size < chunk_size:
                    total_size = chunk_size
                everything = range(total_size)
                return (everything[chunk_size * n:chunk_size * (n + 1)] for n in range(total_size // chunk_size))

            cut(50000, 1000)
            """
        for target in ("", "'thread',", "'process',", "'coroutine',", "'sync',"):
            with self.subTest(target):
                self.assertEqual(self.lines(source.replace("TARGET", target)), self.CHUNKS)

    def test_error_that_nobody_handles_is_shown(self):
        done = self.run_program(
            """
            from strand import ThreadTaskrunner

            def cut(total_size, chunk_size):
                everything = range(total_size)
                return (everything[chunk_size * n:chunk_size * (n + 1)] for n in range(total_size / chunk_size))

            runner = ThreadTaskrunner(cut, on_iter=print)
            runner(1e8, 1e3)
            """
        )
        self.assertEqual(done.stdout, "")
        self.assertIn("in cut", done.stderr)
        self.assertIn("TypeError: 'float' object cannot be interpreted as an integer", done.stderr)
        self.assertEqual(done.stderr.count("Traceback"), 1)

    def test_reader_runs_what_a_writer_has_left(self):
        lines = self.lines(
            """
            import threading
            from strand import StoreTaskReader, StoreTaskWriter

            def resize(name, *, width=100):
                return f"{name} is {width} wide"

            def show(value):
                print(value)
                shown.set()

            shown = threading.Event()
            task_store = {}
            StoreTaskWriter(resize, task_store, on_end=show)("poem.png", width=20)

            known = {"resize": resize}
            reader = StoreTaskReader(task_store, lambda task: known[task["name"]])
            reader.listen()
            writer = StoreTaskWriter(resize, task_store)
            print(writer("tree.png").get_result(timeout=60))
            print(shown.wait(60))
            """
        )
        self.assertEqual(sorted(lines), ["True", "poem.png is 20 wide", "tree.png is 100 wide"])

    def test_writer_with_a_reader_of_its_own(self):
        lines = self.lines(
            """
            from strand import as_task
            from strand.au import FileSystemStore

            @as_task("store", FileSystemStore("tasks"), read_store=FileSystemStore("tasks"), pickle_func=True)
            def shout(word):
                return word.upper()

            print(shout("hey").get_result(timeout=60))
            """
        )
        self.assertEqual(lines, ["HEY"])


class Computations(Program):
    def test_quick_start(self):
        lines = self.lines(
            """
            from strand.au import async_compute

            @async_compute()
            def expensive_computation(n: int) -> int:
                \"\"\"A factorial.\"\"\"
                result = 1
                for i in range(1, n + 1):
                    result *= i
                return result

            handle = expensive_computation(100)
            print(handle.get_status())
            result = handle.get_result(timeout=60)
            print(f"100! = {result}")
            print(handle.get_status(), handle.is_ready())
            """
        )
        self.assertIn(lines[0], ("ComputationStatus.PENDING", "ComputationStatus.RUNNING", "ComputationStatus.COMPLETED"))
        factorial = 1
        for i in range(1, 101):
            factorial *= i
        self.assertEqual(lines[1:], [f"100! = {factorial}", "ComputationStatus.COMPLETED True"])

    def test_basic_usage(self):
        lines = self.lines(
            """
            from strand.au import async_compute

            @async_compute()
            def my_function(x):
                return x * 2

            handle = my_function(21)
            print(handle.get_result(timeout=60))
            """
        )
        self.assertEqual(lines, ["42"])

    def test_requests_leave_jobs_and_ask_for_them(self):
        lines = self.lines(
            """
            import io, json, time
            from wsgiref.util import setup_testing_defaults
            from strand.au import ComputationHandle, FileSystemStore, ProcessBackend, async_compute

            store = FileSystemStore("jobs", ttl_seconds=3600)

            @async_compute(backend=ProcessBackend(store), store=store)
            def count_words(text):
                return len(text.split())

            def application(environ, start_response):
                path = environ["PATH_INFO"]
                if path == "/analyze":
                    handle = count_words(environ["wsgi.input"].read().decode())
                    answer = {"job_id": handle.key}
                else:
                    handle = ComputationHandle(path[len("/status/"):], store)
                    answer = {"status": handle.get_status().value}
                start_response("200 OK", [("Content-Type", "application/json")])
                return [json.dumps(answer).encode()]

            def ask(path, data=b""):
                environ = {"PATH_INFO": path, "wsgi.input": io.BytesIO(data)}
                setup_testing_defaults(environ)
                return json.loads(b"".join(application(environ, lambda status, headers: None)))

            job = ask("/analyze", b"to be or not to be")["job_id"]
            seen = [ask(f"/status/{job}")["status"]]
            while seen[-1] in ("pending", "running"):
                time.sleep(0.01)
                seen.append(ask(f"/status/{job}")["status"])
            print(set(seen) <= {"pending", "running", "completed"}, seen[-1])
            print(ComputationHandle(job, store).get_result())
            """
        )
        self.assertEqual(lines, ["True completed", "6"])

    def test_thousand_items(self):
        lines = self.lines(
            """
            from strand.au import FileSystemStore, ProcessBackend, async_compute

            store = FileSystemStore("computations", ttl_seconds=3600)
            backend = ProcessBackend(store)

            def transform_item(item_id):
                return item_id * 3

            @async_compute(backend=backend, store=store)
            def process_item(item_id):
                return transform_item(item_id)

            handles = [process_item(i) for i in range(1000)]
            print([handle.get_result(timeout=60) for handle in handles] == [i * 3 for i in range(1000)], len(store))
            """
        )
        self.assertEqual(lines, ["True 1000"])

    def test_custom_configuration(self):
        lines = self.lines(
            """
            import logging, sys
            from strand.au import FileSystemStore, LoggingMiddleware, MetricsMiddleware, ProcessBackend
            from strand.au import SerializationFormat, async_compute

            logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s")

            store = FileSystemStore("computations", ttl_seconds=3600, serialization=SerializationFormat.PICKLE)
            middleware = [LoggingMiddleware(level=logging.INFO), MetricsMiddleware()]
            backend = ProcessBackend(store, middleware=middleware)

            @async_compute(backend=backend, store=store)
            def analyze(data):
                return {"complex": [data, {"nested": True}], "seen": {1, 2}, "range": (min(data), max(data))}

            handle = analyze([3, 1, 2])
            print(handle.get_result(timeout=60))
            print(store[handle.key].value == handle.get_result(), middleware[1].get_stats()["completed"])
            """
        )
        self.assertEqual(
            lines,
            [
                *["INFO strand"] * 2,
                "{'complex': [[3, 1, 2], {'nested': True}], 'seen': {1, 2}, 'range': (1, 3)}",
                "True 1",
            ],
        )

    def test_functions_share_their_infrastructure(self):
        lines = self.lines(
            """
            from strand.au import FileSystemStore, ProcessBackend, async_compute

            store = FileSystemStore("shared", ttl_seconds=7200)
            backend = ProcessBackend(store)

            @async_compute(backend=backend, store=store)
            def step1(x):
                return [word.strip() for word in x]

            @async_compute(backend=backend, store=store)
            def step2(x):
                return " ".join(sorted(x))

            h1 = step1([" b ", "c ", " a"])
            preprocessed = h1.get_result(timeout=60)
            h2 = step2(preprocessed)
            print(preprocessed, h2.get_result(timeout=60), sorted(store) == sorted([h1.key, h2.key]))
            """
        )
        self.assertEqual(lines, ["['b', 'c', 'a'] a b c True"])

    def test_temporary_computations(self):
        lines = self.lines(
            """
            import os, pathlib
            from strand.au import temporary_async_compute

            os.mkdir("run", 0o700)
            os.environ["XDG_RUNTIME_DIR"] = os.path.abspath("run")
            with temporary_async_compute(ttl_seconds=60) as async_func:
                @async_func
                def quick_job(x):
                    return x ** 2

                handle = quick_job(10)
                print(handle.get_result(timeout=60))
                print(any(pathlib.Path("run").rglob(f"{handle.key}*")))
            print(any(pathlib.Path("run").rglob(f"{handle.key}*")))
            """
        )
        self.assertEqual(lines, ["100", "True", "False"])

    def test_threads_for_what_waits(self):
        lines = self.lines(
            """
            import http.server, json, threading, urllib.request
            from strand.au import FileSystemStore, ThreadBackend, async_compute

            class Answer(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    together.wait()     # until every page has been asked for
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(json.dumps({"path": self.path}).encode())

                def log_message(self, *words):
                    pass

            server = http.server.ThreadingHTTPServer(("localhost", 0), Answer)
            together = threading.Barrier(4, timeout=60)
            threading.Thread(target=server.serve_forever, daemon=True).start()

            store = FileSystemStore("io_tasks")
            backend = ThreadBackend(store, workers=4)

            @async_compute(backend=backend, store=store)
            def fetch_data(url):
                with urllib.request.urlopen(url, timeout=60) as answer:
                    return json.load(answer)

            urls = [f"http://localhost:{server.server_port}/{n}" for n in range(4)]
            handles = [fetch_data(url) for url in urls]
            print([handle.get_result(timeout=60)["path"] for handle in handles])
            """
        )
        self.assertEqual(lines, ["['/0', '/1', '/2', '/3']"])

    def test_custom_middleware(self):
        lines = self.lines(
            """
            import time
            from strand.au import Middleware, async_compute

            class RateLimitMiddleware(Middleware):
                def __init__(self, max_per_minute: int = 60):
                    self.max_per_minute = max_per_minute
                    self.requests = []

                def before_compute(self, func, args, kwargs, key):
                    now = time.time()
                    self.requests = [t for t in self.requests if now - t < 3600]
                    if len(self.requests) >= self.max_per_minute:
                        raise Exception("Rate limit exceeded")
                    self.requests.append(now)

                def after_compute(self, key, result):
                    pass

                def on_error(self, key, error):
                    pass

            @async_compute(middleware=[RateLimitMiddleware(max_per_minute=10)])
            def rate_limited_function(x):
                return x + 1

            for x in range(12):
                try:
                    print(rate_limited_function(x).get_result(timeout=60))
                except Exception as error:
                    print("Rate limit exceeded" in str(error))
            """
        )
        self.assertEqual(lines, [str(x) for x in range(1, 11)] + ["True"] * 2)

    @unittest.skipUnless(importlib.util.find_spec("redis"), "no Python client for redis is installed")
    def test_custom_storage(self):
        source = """
            import pickle, sys, uuid
            import redis
            from strand.au import ComputationHandle, ComputationResult, ComputationStatus, ComputationStore, async_compute

            class RedisStore(ComputationStore):
                def __init__(self, redis_client, *, ttl_seconds=None):
                    super().__init__(ttl_seconds=ttl_seconds)
                    self.redis = redis_client

                def create_key(self):
                    return f"computation:{uuid.uuid4()}"

                def __getitem__(self, key):
                    data = self.redis.get(key)
                    if data is None:
                        return ComputationResult(None, ComputationStatus.PENDING)
                    return pickle.loads(data)

                def __setitem__(self, key, result):
                    data = pickle.dumps(result)
                    if self.ttl_seconds:
                        self.redis.setex(key, self.ttl_seconds, data)
                    else:
                        self.redis.set(key, data)

                def __delitem__(self, key):
                    self.redis.delete(key)

                def __iter__(self):
                    return iter(self.redis.scan_iter("computation:*"))

                def __len__(self):
                    return len(list(self))

                def cleanup_expired(self):
                    return 0

            client = redis.Redis(unix_socket_path=sys.argv[1])
            store = RedisStore(client, ttl_seconds=3600)

            @async_compute(store=store)
            def distributed_computation(x):
                return {"value": x, "large": x ** 70}

            handle = distributed_computation(3)
            print(handle.get_result(timeout=60) == {"value": 3, "large": 3 ** 70})
            print(handle.key.startswith("computation:"), sum(1 for _ in store), 0 < client.ttl(handle.key) <= 3600)
            print(ComputationHandle(handle.key, store).get_status(), distributed_computation.cleanup_expired())
            """
        path = self.start_redis()
        for number in (1, 2):  # the second finds what the first has left
            self.assertEqual(
                self.lines(source, path), ["True", f"True {number} True", "ComputationStatus.COMPLETED 0"]
            )

    def test_metrics(self):
        lines = self.lines(
            """
            from strand.au import MetricsMiddleware, async_compute

            metrics = MetricsMiddleware()

            @async_compute(middleware=[metrics])
            def monitored_function(x):
                return 12 // x

            def show():
                stats = metrics.get_stats()
                print(f"Total: {stats['total']}, Completed: {stats['completed']}, Failed: {stats['failed']}")
                print(f"Avg Duration: {stats['avg_duration']:.2f}s")

            show()
            handles = [monitored_function(i) for i in range(10)]
            for handle in handles:
                try:
                    handle.get_result(timeout=60)
                except ZeroDivisionError as error:
                    print(error)
            show()
            """
        )
        self.assertEqual(lines[:2], ["Total: 0, Completed: 0, Failed: 0", "Avg Duration: 0.00s"])
        self.assertEqual(lines[2:4], ["integer division or modulo by zero", "Total: 10, Completed: 9, Failed: 1"])
        self.assertRegex(lines[4], r"^Avg Duration: \d+\.\d\ds$")

    def test_error_handling(self):
        lines = self.lines(
            """
            from strand.au import async_compute

            @async_compute()
            def may_fail(x):
                if x < 0:
                    raise ValueError("x must be positive")
                return x ** 2

            handle = may_fail(-5)

            try:
                result = handle.get_result(timeout=60)
            except Exception as e:
                print(f"Computation failed: {e}")
                print(f"Status: {handle.get_status()}")
            """
        )
        self.assertEqual(lines, ["Computation failed: x must be positive", "Status: ComputationStatus.FAILED"])

    def test_cleanup_strategies(self):
        lines = self.lines(
            """
            from datetime import datetime, timedelta
            from strand.au import ComputationResult, ComputationStatus, FileSystemStore, async_compute

            @async_compute(ttl_seconds=3600)
            def my_func(x):
                return x * 2

            past = datetime.now() - timedelta(hours=2)
            my_func.store["stale"] = ComputationResult(1, ComputationStatus.COMPLETED, created_at=past, completed_at=past)
            print(my_func(21).get_result(timeout=60))
            removed = my_func.cleanup_expired()
            print(f"Removed {removed} expired results")

            store = FileSystemStore(
                "computations",
                ttl_seconds=3600,
                auto_cleanup=True,
                cleanup_probability=0.1
            )
            print(store.ttl_seconds, store.auto_cleanup, store.cleanup_probability)
            """
        )
        self.assertEqual(lines[0], "42")
        self.assertIn(lines[1], ("Removed 1 expired results", "Removed 0 expired results"))  # cleaned up by chance
        self.assertEqual(lines[2], "3600.0 True 0.1")

    def test_every_setting_of_the_decorator(self):
        lines = self.lines(
            """
            from strand.au import SerializationFormat, async_compute

            @async_compute(
                backend=None,
                store=None,
                base_path="computations",
                ttl_seconds=3600,
                serialization=SerializationFormat.JSON,
                middleware=None
            )
            def work(x):
                return x

            handle = work("it")
            print(handle.get_result(timeout=60), handle.is_ready(), handle.cancel(), isinstance(handle.metadata, dict))
            print([path.suffix for path in work.store.base_path.rglob(handle.key + "*")])
            """
        )
        self.assertEqual(lines, ["it True False True", "['.json']"])


class Processes(Program):
    def test_worker_for_a_block(self):
        lines = self.lines(
            """
            from strand.taskrunning.utils import run_process
            import time

            def my_worker():
                print("Worker started!", flush=True)
                time.sleep(600)
                print("Worker exiting!", flush=True)

            with run_process(my_worker, process_name="my_worker", is_ready=0.2, timeout=60) as proc:
                print(f"Process running: {proc.is_alive()}", flush=True)
            print(f"Process running: {proc.is_alive()}")
            """
        )
        self.assertEqual([line for line in lines if "Process" in line], ["Process running: True", "Process running: False"])
        self.assertNotIn("Worker exiting!", lines)

    def test_worker_that_runs_already(self):
        source = """
            import time
            from strand.taskrunning.utils import run_process

            def my_worker():
                time.sleep(600)

            def is_service_running():
                ANSWER

            with run_process(my_worker, process_already_running=is_service_running) as proc:
                if proc is None:
                    print("Service was already running!")
                else:
                    print("Launched new worker process!")
            """
        for answer, said in (("return True", "Service was already running!"), ("...", "Launched new worker process!")):
            self.assertEqual(self.lines(source.replace("ANSWER", answer)), [said])


class Missing(Case):
    def test_python_without_pygobject_is_told(self):
        done = self.run_program(
            """
            import sys, types

            sys.modules["gi"] = types.ModuleType("gi")
            try:
                import strand
            except ImportError as error:
                print(error)
            """
        )
        self.assertEqual(done.stderr, "")
        self.assertIn("needs PyGObject", done.stdout)


if __name__ == "__main__":
    unittest.main()
