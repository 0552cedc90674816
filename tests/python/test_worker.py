"""strand's own worker runs what Python programs have left, if its configuration names their modules.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import subprocess
import sys
import textwrap
import unittest

from strand.au import ComputationHandle, ComputationStatus, FileSystemStore
from support import PATIENCE, Case, run_python

TASKS = """
    import os
    from strand import as_task, context
    from strand.au import async_compute

    print("imported")
    FACTOR = 3

    def times(n, *, more=0):
        "Multiplies."
        return n * FACTOR + more

    def fail(word):
        raise LookupError(word)

    def count(n):
        yield from range(n)

    async def later(x):
        return x

    @as_task
    def decorated(x):
        context().progress(0.5, "half")
        context().set_metadata("note", [x])
        return os.getpid()

    @async_compute()
    def computed(x):
        return 2 ** x

    class Tools:
        @staticmethod
        def join(*words):
            return "-".join(words)

        @classmethod
        def name(cls):
            return cls.__name__

        def of_an_object(self):
            pass
    """

LEAVE = """
    from strand import StoreTaskWriter
    from strand.au import FileSystemStore

    store = FileSystemStore("jobs")

    def leave(key, function, *args, **kwargs):
        StoreTaskWriter(function, store)(*args, task_id=key, **kwargs)
    """


class WorkerCase(Case):
    def setUp(self):
        super().setUp()
        config = f"""
            [strand]
            default-backend=jobs
            [store jobs]
            type=filesystem
            path={self.folder}/jobs
            [backend jobs]
            type=store
            store=jobs
            """
        self.write("jobs.ini", config)

    def write(self, name, text):
        (self.folder / name).write_text(textwrap.dedent(text))

    def strand(self, *words):
        """Runs the command where only the environment says what Python imports."""
        path = os.pathsep.join([str(self.folder), os.environ["PYTHONPATH"]])
        words = [os.environ["STRAND_COMMAND"], *words, "-c", str(self.folder / "jobs.ini")]
        return subprocess.run(
            words, capture_output=True, text=True, timeout=PATIENCE, cwd="/", env={**os.environ, "PYTHONPATH": path}
        )

    def work(self, *modules):
        """Has a worker run everything that is due."""
        done = self.strand("worker", "--burst", *[word for module in modules for word in ("-m", module)])
        self.assertEqual(done.returncode, 0, done.stderr)

    def handle(self, key):
        return ComputationHandle(key, FileSystemStore(self.folder / "jobs"))


class Worker(WorkerCase):
    def leave(self, *statements):
        self.write("tasks.py", TASKS)
        self.run_program(textwrap.dedent(LEAVE) + "import tasks\n" + "".join(line + "\n" for line in statements))

    def test_values_come_back(self):
        self.leave(
            'leave("times", tasks.times, 14, more=0)',
            'leave("large", tasks.times, 10 ** 40, more=(10 ** 40))',
            'leave("later", tasks.later, (1, {2}, b"3", None))',
            'leave("computed", tasks.computed, 100)',
            'leave("join", tasks.Tools.join, "a", "b")',
            'leave("name", tasks.Tools.name)',
        )
        self.work("python:tasks")
        results = {key: self.handle(key).get_result() for key in ("times", "large", "later", "computed", "join", "name")}
        self.assertEqual(
            results,
            {
                "times": 42,
                "large": 4 * 10**40,
                "later": (1, {2}, b"3", None),
                "computed": 2**100,
                "join": "a-b",
                "name": "Tools",
            },
        )

    def test_exceptions_come_back(self):
        self.leave('leave("failed", tasks.fail, "lost")')
        self.work("python:tasks")
        handle = self.handle("failed")
        self.assertIs(handle.get_status(), ComputationStatus.FAILED)
        with self.assertRaisesRegex(LookupError, "^lost$") as caught:
            handle.get_result()
        self.assertIn("in fail", str(caught.exception.__cause__))

    def test_call_runs_in_a_process_of_pythons_and_says_how_it_goes(self):
        self.leave('leave("said", tasks.decorated, 1)')
        self.work("python:tasks")
        handle = self.handle("said")
        self.assertNotEqual(handle.get_result(), os.getpid())
        self.assertEqual((handle.progress, handle.message, handle.metadata["note"]), (0.5, "half", [1]))

    def test_items_come_to_the_program_that_waits(self):
        self.write("tasks.py", TASKS)
        self.write(
            "program.py",
            """
            import sys, tasks
            from strand import StoreTaskWriter
            from strand.au import FileSystemStore
            handle = StoreTaskWriter(tasks.count, FileSystemStore("jobs"), on_iter=print)(3)
            print("left", handle.key, flush=True)
            handle.wait(60)
            """,
        )
        program = subprocess.Popen(
            [sys.executable, "program.py"], cwd=self.folder, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(program.stdout.close)
        self.assertEqual(program.stdout.readline(), "imported\n")
        self.assertTrue(program.stdout.readline().startswith("left "))
        self.work("python:tasks")
        self.assertEqual(program.stdout.read(), "0\n1\n2\n")
        self.assertEqual(program.wait(PATIENCE), 0)

    def test_keyfile_names_modules(self):
        self.leave('leave("times", tasks.times, 14)')
        path = self.folder / "jobs.ini"
        path.write_text(path.read_text().replace("[strand]", "[strand]\nmodules=demo;python:tasks"))
        self.work()
        self.assertEqual(self.handle("times").get_result(), 42)

    def test_functions_in_c_run_beside_them(self):
        self.leave('leave("times", tasks.times, 14)')
        self.assertEqual(self.strand("launch", "-m", "demo", "--key", "add", "demo.add", "40", "2").returncode, 0)
        self.work("demo", "python:tasks")
        self.assertEqual((self.handle("times").get_result(), self.handle("add").get_result()), (42, 42))

    def test_without_the_module_the_record_says_what_is_missing(self):
        self.leave('leave("times", tasks.times, 14)')
        self.work("demo")
        shown = self.strand("show", "times")
        self.assertRegex(shown.stdout, r"There is no function 'tasks\.times'; .* module")

    def test_reader_without_processes_says_what_it_needs(self):
        self.leave('leave("times", tasks.times, 14)')
        path = self.folder / "jobs.ini"
        path.write_text(path.read_text() + "[taskrunner t]\ntype=thread\n[reader r]\nstore=jobs\ntaskrunner=t\n")
        self.work("python:tasks")
        self.assertRegex(self.strand("show", "times").stdout, "function is Python's.*taskrunner of type 'process'")


class Program(WorkerCase):
    """Functions of a program's own file."""

    PROGRAM = """
        import sys
        from strand import as_task
        from strand.au import FileSystemStore

        BASE = 40

        @as_task("store", FileSystemStore("jobs"))
        def add(n):
            return n + BASE

        def main():
            print(add(2, task_id="sum").key)
        """

    def test_file_without_a_guard(self):
        self.run_program(textwrap.dedent(self.PROGRAM) + "main()\n")
        self.work(f"python:{self.folder}/program.py")
        self.assertEqual(self.handle("sum").get_result(), 42)

    def test_file_with_a_guard(self):
        self.run_program(textwrap.dedent(self.PROGRAM) + "if __name__ == '__main__':\n    main()\n")
        self.work(f"python:{self.folder}/program.py")
        self.assertEqual(self.handle("sum").get_result(), 42)

    def test_program_that_was_started_as_a_module(self):
        self.write("program.py", textwrap.dedent(self.PROGRAM) + "if __name__ == '__main__':\n    main()\n")
        done = run_python("-m", "program", cwd=self.folder)
        self.assertEqual((done.stdout, done.stderr), ("sum\n", ""))
        self.work("python:program")
        self.assertEqual(self.handle("sum").get_result(), 42)

    def test_one_program_beside_modules(self):
        self.write("tasks.py", TASKS)
        self.run_program(textwrap.dedent(self.PROGRAM) + "import tasks\nmain()\n")
        self.work(f"python:{self.folder}/program.py", "python:tasks")
        self.assertEqual(self.handle("sum").get_result(), 42)
        self.write("second.py", "def f(): pass\n")
        refused = self.strand("functions", "-m", f"python:{self.folder}/program.py", "-m", f"python:{self.folder}/second.py")
        self.assertEqual(refused.returncode, 2)
        self.assertRegex(refused.stderr, "second.py.*program.py' is this worker's program already")


class Functions(WorkerCase):
    def test_list_has_what_others_can_call(self):
        self.write("tasks.py", TASKS)
        listed = self.strand("functions", "-q", "-m", "python:tasks")
        names = [line.split("\t")[0] for line in listed.stdout.splitlines()]
        self.assertEqual(
            names,
            [f"tasks.{name}" for name in ("Tools.join", "Tools.name", "computed", "count", "decorated", "fail", "later", "times")],
        )
        self.assertIn("tasks.times\targuments:av keywords:a{sv} -> v\tMultiplies.\n", listed.stdout)

    def test_command_calls_them(self):
        self.write("tasks.py", TASKS)
        done = self.strand("run", "-m", "python:tasks", "-b", "process", "tasks.times", "[<14>]", "{'more': <1>}")
        self.assertEqual((done.stdout, done.stderr), ("imported\n<int64 43>\n", ""))

    def test_what_cannot_be_had_is_told_with_the_reason(self):
        self.write("broken.py", "1 / 0\n")
        for module, reason in (
            ("python:nowhere", "'python:nowhere': .*ModuleNotFoundError: No module named 'nowhere'"),
            ("python:broken", "ZeroDivisionError: division by zero"),
            ("python:/nowhere/app.py", "no such file"),
            ("python", "say which module of Python's"),
        ):
            done = self.strand("functions", "-m", module)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, reason)

    def test_current_folder_is_not_searched(self):
        self.write("tasks.py", TASKS)
        words = [os.environ["STRAND_COMMAND"], "functions", "-m", "python:tasks"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, cwd=self.folder)
        self.assertRegex(done.stderr, "No module named 'tasks'")


if __name__ == "__main__":
    unittest.main()
