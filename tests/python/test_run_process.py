"""A process for as long as a `with` block lasts.                 SPDX-License-Identifier: LGPL-2.1-or-later"""

import os
import signal
import time
import unittest
from pathlib import Path

from strand.taskrunning.utils import conditional_logger, resolve_runner_cls, run_process

import strand
from support import PATIENCE, Case, run_python


def work():
    time.sleep(10 * PATIENCE)


def write(path, *words, end=""):
    Path(path + ".new").write_text(" ".join(words) + end)
    os.rename(path + ".new", path)
    time.sleep(10 * PATIENCE)


def be_quick():
    return "done"


def fail():
    raise ValueError("it does not work")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class TestRunProcess(Case):
    def setUp(self):
        super().setUp()
        self.path = str(self.folder / "written")

    def test_process_lives_as_long_as_the_context(self):
        with run_process(work, process_name="my_worker", is_ready=0.05, timeout=PATIENCE) as process:
            self.assertTrue(process.is_alive())
            self.assertEqual(process.name, "my_worker")
            self.assertNotEqual(process.pid, os.getpid())
            self.assertIsNone(process.exitcode)
            pid = process.pid
        self.assertFalse(process.is_alive())
        self.assertFalse(is_alive(pid))

    def test_arguments_reach_the_function_and_is_ready_is_asked(self):
        asked = []

        def is_ready():
            asked.append(1)
            return os.path.exists(self.path)

        with run_process(write, (self.path, "a", "ü"), {"end": "!"}, is_ready=is_ready, timeout=PATIENCE):
            self.assertEqual(Path(self.path).read_text(), "a ü!")
        self.assertGreaterEqual(len(asked), 1)

    def test_never_ready_is_a_timeout_and_leaves_nothing(self):
        def never():
            return False

        with self.assertRaises(TimeoutError):
            with run_process(work, is_ready=never, timeout=0.2):
                self.fail("it was never ready")

    def test_question_that_fails_ends_the_start(self):
        def broken():
            raise ZeroDivisionError("no answer")

        with self.assertRaisesRegex(ZeroDivisionError, "no answer"):
            with run_process(work, is_ready=broken, timeout=PATIENCE):
                self.fail("it was never ready")

    def test_running_already(self):
        asked = []
        with run_process(work, process_already_running=lambda: asked.append(1) or True) as process:
            self.assertIsNone(process)
        self.assertEqual(asked, [1])

    def test_not_running_yet(self):
        with run_process(work, process_already_running=lambda: False) as process:
            self.assertTrue(process.is_alive())

    def test_check_that_fails_says_so(self):
        with self.assertRaisesRegex(RuntimeError, "division"):
            with run_process(work, process_already_running=lambda: 1 / 0):
                self.fail("nobody knew")

    def test_without_force_the_end_is_waited_for(self):
        with run_process(be_quick, force_kill=False, timeout=PATIENCE) as process:
            pass
        self.assertEqual(process.exitcode, 0)

    def test_join_and_terminate(self):
        with run_process(be_quick, timeout=PATIENCE) as process:
            process.join(PATIENCE)
            self.assertEqual(process.exitcode, 0)
        with run_process(work, timeout=PATIENCE) as process:
            process.join(0.01)
            self.assertTrue(process.is_alive())
            process.terminate()
            self.assertFalse(process.is_alive())
            self.assertEqual(process.exitcode, -signal.SIGTERM)

    def test_exception_in_the_block_ends_it_too(self):
        with self.assertRaises(KeyError):
            with run_process(work, timeout=PATIENCE) as process:
                raise KeyError("x")
        self.assertFalse(process.is_alive())

    def test_function_that_fails_before_it_is_ready(self):
        with self.assertRaisesRegex(Exception, "it does not work"):
            with run_process(fail, is_ready=lambda: False, timeout=PATIENCE):
                self.fail("it was never ready")

    def test_program(self):
        with run_process("sleep", ["600"], timeout=PATIENCE) as process:
            self.assertTrue(process.is_alive())

    def test_lambda_is_refused(self):
        with self.assertRaisesRegex(TypeError, "lambda"):
            with run_process(lambda: None):
                self.fail("it has no name")

    def test_ends_with_its_program(self):
        program = (
            "import os, sys; from test_run_process import work; from strand.taskrunning.utils import run_process\n"
            "with run_process(work) as process:\n"
            "    print(process.pid, flush=True)\n"
            "    os.kill(os.getpid(), 9)\n"
        )
        said = run_python("-c", program)
        self.assertEqual(said.returncode, -signal.SIGKILL)
        self.wait_until(lambda: not is_alive(int(said.stdout)))

    def test_verbose_says_what_happens(self):
        program = (
            "from test_run_process import work; from strand.taskrunning.utils import run_process\n"
            "with run_process(work, process_name='clerk', verbose=VERBOSE): pass\n"
        )
        for verbose in (True, False):
            said = run_python("-c", program.replace("VERBOSE", str(verbose)))
            self.assertEqual(said.returncode, 0)
            self.assertEqual("'clerk' is ready" in said.stdout, verbose)


class TestNames(unittest.TestCase):
    def test_runner_classes(self):
        self.assertIs(resolve_runner_cls("thread"), strand.ThreadTaskrunner)
        self.assertIs(resolve_runner_cls("process"), strand.MultiprocessTaskrunner)
        self.assertIs(resolve_runner_cls("coroutine"), strand.CoroutineTaskrunner)
        self.assertIs(resolve_runner_cls("store"), strand.StoreTaskWriter)
        self.assertIs(resolve_runner_cls("sync"), strand.Taskrunner)
        self.assertIs(resolve_runner_cls(strand.ThreadTaskrunner), strand.ThreadTaskrunner)
        with self.assertRaisesRegex(ValueError, "'elsewhere'"):
            resolve_runner_cls("elsewhere")

    def test_logger(self):
        said = []
        conditional_logger(True, said.append)("a")
        conditional_logger(False, said.append)("b")
        self.assertEqual(said, ["a"])


if __name__ == "__main__":
    unittest.main()
