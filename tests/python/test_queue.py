"""Calls that are left in a store, and who runs them: StoreTaskWriter and StoreTaskReader.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import subprocess
import sys
import threading
import unittest

from strand import StoreTaskReader, StoreTaskWriter, as_task
from strand.au import ComputationHandle, ComputationStatus, FileSystemStore, MemoryStore, Middleware, RedisStore
from support import PATIENCE, Case


def add(a, b, *more, sign=1):
    return sign * (a + b + sum(more))


def count(number):
    yield from range(number)
    return "counted"


def fail(word):
    raise ValueError(word)


def pid():
    return os.getpid()


class QueueCase(Case):
    def listen(self, store, *args, **settings):
        reader = StoreTaskReader(store, *args, **settings)
        reader.listen()
        self.addCleanup(reader.stop)
        return reader


class TestWriter(QueueCase):
    def test_task_waits_in_the_store_until_a_reader_comes(self):
        store = FileSystemStore(self.folder)
        writer = StoreTaskWriter(add, store, 1, sign=-1)
        handle = writer(2, 3)
        key = handle.key
        self.wait_until(lambda: key in list(store))
        self.assertIs(store[key].status, ComputationStatus.PENDING)
        self.assertIsNone(writer.result)
        self.listen(store)
        self.assertEqual(handle.get_result(timeout=PATIENCE), -6)
        self.assertEqual(writer.result, -6)
        self.assertEqual(ComputationHandle(key, store).get_result(timeout=PATIENCE), -6)

    def test_callbacks_are_called(self):
        store, ended, failed = MemoryStore(), [], []
        self.listen(store)
        good = StoreTaskWriter(add, store, on_end=ended.append, on_error=failed.append)
        bad = StoreTaskWriter(fail, store, on_end=ended.append, on_error=failed.append)
        good(1, 2).wait(PATIENCE)
        bad("no").wait(PATIENCE)
        self.wait_until(lambda: ended and failed)
        self.assertEqual(ended, [3])
        self.assertIsInstance(failed[0], ValueError)

    def test_items_come_to_on_iter(self):
        for store in (MemoryStore(), FileSystemStore(self.folder), {}):
            items, ended = [], []
            self.listen(store)
            StoreTaskWriter(count, store, on_iter=items.append, on_end=ended.append)(3).wait(PATIENCE)
            self.wait_until(lambda: ended)
            self.assertEqual((items, ended), ([0, 1, 2], ["counted"]))

    def test_read_store_is_another_view_of_the_store(self):
        writer = StoreTaskWriter(add, FileSystemStore(self.folder), read_store=FileSystemStore(self.folder))
        self.addCleanup(writer.reader.stop)
        self.assertEqual([writer(n, 1).get_result(timeout=PATIENCE) for n in range(3)], [1, 2, 3])

    def test_read_store_starts_a_reader_at_once(self):
        store = MemoryStore()
        writer = StoreTaskWriter(add, store, read_store=store)
        self.addCleanup(writer.reader.stop)
        self.assertEqual(writer(40, 2).get_result(timeout=PATIENCE), 42)

    def test_reader_can_be_made_beforehand(self):
        store, names = MemoryStore(), []
        reader = StoreTaskReader(store, lambda task: names.append(task["name"]) or add, jobs=1)
        self.addCleanup(reader.stop)
        writer = StoreTaskWriter(add, store, read_store=reader)
        self.assertIs(writer.reader, reader)
        self.assertEqual(writer(40, 2).get_result(timeout=PATIENCE), 42)
        self.assertEqual(names, ["add"])

    def test_own_task_id_and_pickle_func_are_taken(self):
        store = MemoryStore()
        self.listen(store)
        writer = StoreTaskWriter(add, store, pickle_func=True)
        self.assertEqual(writer(1, 1, task_id="my-task").get_result(timeout=PATIENCE), 2)
        self.assertEqual(store["my-task"].value, 2)

    def test_get_result_says_where_the_result_is(self):
        writer = StoreTaskWriter(add, MemoryStore(), get_result=lambda task_id: f"result of {task_id}")
        self.assertIsNone(writer.result)
        writer(1, 1, task_id="t1")
        self.assertEqual(writer.result, "result of t1")

    def test_as_task_with_a_store(self):
        store = MemoryStore()
        self.listen(store)

        @as_task("store", store)
        def shout(word):
            return word.upper()

        self.assertEqual(shout("hey").get_result(timeout=PATIENCE), "HEY")


class TestPlainMapping(QueueCase):
    def test_task_is_a_dictionary_that_any_consumer_understands(self):
        tasks = {}
        writer = StoreTaskWriter(add, tasks, 1)
        key = writer(2, sign=1).key
        self.wait_until(lambda: key in tasks)
        task = tasks[key]
        self.assertEqual((task["name"], task["function"]), ("add", "test_queue.add"))
        self.assertEqual((task["args"], task["kwargs"]), ([1, 2], {"sign": 1}))
        self.assertEqual(task["task_status"], "new")
        self.assertIsNone(task["func"])

    def test_reader_asks_for_the_function(self):
        tasks, asked = {}, []

        def get_task_func(task):
            asked.append(task)
            return add

        writer = StoreTaskWriter(add, tasks)
        handle = writer(1, 2)
        self.listen(tasks, get_task_func)
        self.assertEqual(handle.get_result(timeout=PATIENCE), 3)
        self.assertEqual((asked[0]["args"], asked[0]["kwargs"]), ([1, 2], {}))
        self.assertEqual((tasks[handle.key]["result"], tasks[handle.key]["task_status"]), (3, "complete"))

    def test_task_of_somebody_else_is_run(self):
        tasks = {"t1": {"name": "sum up", "args": [1, 2], "kwargs": {"sign": -1}}}
        self.listen(tasks, lambda task: {"sum up": add}[task["name"]])
        self.wait_until(lambda: tasks["t1"].get("task_status") == "complete")
        self.assertEqual(tasks["t1"]["result"], -3)

    def test_what_is_no_task_disturbs_nobody(self):
        tasks = {"note": "no task at all"}
        self.listen(tasks, lambda task: add)
        self.assertEqual(StoreTaskWriter(add, tasks)(1, 2).get_result(timeout=PATIENCE), 3)


class TestReader(QueueCase):
    def start_worker(self, store, place):
        """Another program that reads a store until its stdin ends."""
        program = (
            "import sys; from strand import StoreTaskReader, au\n"
            "with StoreTaskReader(getattr(au, sys.argv[1])(sys.argv[2]), modules=['test_queue']):\n"
            "    sys.stdin.read()\n"
        )
        worker = subprocess.Popen([sys.executable, "-c", program, store, str(place)], stdin=subprocess.PIPE)
        self.addCleanup(lambda: self.assertEqual(worker.wait(PATIENCE), 0))
        self.addCleanup(worker.stdin.close)
        return worker

    def test_calls_run_on_threads_of_the_reader(self):
        store = MemoryStore()
        writer = StoreTaskWriter(threading.get_ident, store)
        self.listen(store)
        self.assertNotEqual(writer().get_result(timeout=PATIENCE), threading.get_ident())

    def test_unknown_function_fails_its_call_and_no_other(self):
        store = MemoryStore()
        self.listen(store, lambda task: None if task["args"] == [0, 0] else add)
        writer = StoreTaskWriter(add, store)
        unknown, known = writer(0, 0), writer(1, 2)
        with self.assertRaises(Exception):
            unknown.get_result(timeout=PATIENCE)
        self.assertEqual(known.get_result(timeout=PATIENCE), 3)

    def test_middleware_wraps_the_attempts(self):
        seen = []

        class Note(Middleware):
            def before_compute(self, func, args, kwargs, key):
                seen.append((args, key))

        store = MemoryStore()
        self.listen(store, middleware=[Note()])
        handle = StoreTaskWriter(add, store)(1, 2)
        handle.get_result(timeout=PATIENCE)
        self.assertEqual(seen, [((1, 2), handle.key)])

    def test_another_program_runs_what_its_modules_define(self):
        worker = self.start_worker("FileSystemStore", self.folder)
        result = StoreTaskWriter(pid, FileSystemStore(self.folder))().get_result(timeout=PATIENCE)
        self.assertEqual(result, worker.pid)

    def test_programs_meet_at_a_server(self):
        uri = f"unix://{self.start_redis()}"
        worker = self.start_worker("RedisStore", uri)
        self.assertEqual(StoreTaskWriter(pid, RedisStore(uri))().get_result(timeout=PATIENCE), worker.pid)

    def test_module_that_was_not_named_is_not_imported(self):
        tasks = {"evil": {"name": "os.getpid", "args": [], "kwargs": {}}}
        self.listen(tasks)
        self.wait_until(lambda: tasks["evil"].get("task_status") == "error")
        self.assertIn("os.getpid", tasks["evil"]["error"])


if __name__ == "__main__":
    unittest.main()
