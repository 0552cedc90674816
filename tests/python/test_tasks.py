"""What the Taskrunner classes and as_task promise, at each target.      SPDX-License-Identifier: LGPL-2.1-or-later"""

import contextlib
import functools
import io
import math
import os
import sys
import threading
import unittest

import sample_functions
from gi.repository import GLib, Strand

import strand
from strand import (
    ComputationStatus,
    CoroutineTaskrunner,
    MultiprocessTaskrunner,
    Taskrunner,
    ThreadTaskrunner,
    as_task,
)
from support import PATIENCE, Collector

ASYNCHRONOUS = (ThreadTaskrunner, MultiprocessTaskrunner, CoroutineTaskrunner)
ALL = (Taskrunner, *ASYNCHRONOUS)


class EveryTarget(unittest.TestCase):
    def run_everywhere(self, function, *args, **kwargs):
        for runner in ALL:
            with self.subTest(runner.__name__):
                seen = Collector()
                runner(function, **seen.callbacks)(*args, **kwargs)
                seen.wait()
                yield runner, seen

    def test_value_reaches_on_end(self):
        for _, seen in self.run_everywhere(sample_functions.square, 12):
            self.assertEqual((seen.ends, seen.errors, seen.items), ([144], [], []))

    def test_large_integers(self):
        for _, seen in self.run_everywhere(sample_functions.square, 10**100):
            self.assertEqual(seen.ends, [10**200])

    def test_arguments_and_keywords(self):
        for runner in ALL:
            seen = Collector()
            runner(sample_functions.echo, 1, None, on_end=seen.on_end, a="b")({"c": [1.5, b"d"]}, e=(2, 3))
            seen.wait()
            self.assertEqual(seen.ends, [((1, None, {"c": [1.5, b"d"]}), {"a": "b", "e": (2, 3)})])

    def test_returned_list_is_iterated(self):
        for _, seen in self.run_everywhere(sample_functions.echo, 1, 2):
            self.assertEqual(seen.items, [(1, 2), {}])
            self.assertEqual(seen.ends, [((1, 2), {})])

    def test_generator_streams(self):
        for runner, seen in self.run_everywhere(sample_functions.chunks, 10, 4):
            self.assertEqual(seen.items, [range(0, 4), range(4, 8), range(8, 10)])
            if runner is not Taskrunner:  # which gives the generator itself
                self.assertEqual(seen.ends, [10])

    def test_exception_reaches_on_error(self):
        for _, seen in self.run_everywhere(sample_functions.fail, "own", "gone", 7):
            self.assertEqual(seen.ends, [])
            self.assertIs(type(seen.errors[0]), sample_functions.OwnError)
            self.assertEqual((seen.errors[0].args, seen.errors[0].number), (("gone", 7), 7))

    def test_exception_in_on_iter_reaches_on_error(self):
        for runner in ALL:
            with self.subTest(runner.__name__):
                seen = Collector()

                def refuse(item):
                    seen.items.append(item)
                    raise KeyError(item)

                runner(sample_functions.chunks, on_iter=refuse, on_end=seen.on_end, on_error=seen.on_error)(10, 5)
                seen.wait()
                self.assertEqual(seen.ends, [])
                self.assertEqual(seen.items, [range(0, 5)])
                self.assertEqual([type(error) for error in seen.errors], [KeyError])

    def test_exception_in_on_end_reaches_on_error(self):
        for runner in ALL:
            with self.subTest(runner.__name__):
                seen = Collector()

                def refuse(value):
                    raise KeyError(value)

                runner(sample_functions.square, on_end=refuse, on_error=seen.on_error)(2)
                seen.wait()
                self.assertEqual([error.args for error in seen.errors], [(4,)])

    def test_items_come_in_order_and_before_the_end(self):
        for runner in ALL:
            with self.subTest(runner.__name__):
                order, over = [], threading.Event()
                runner(list, on_iter=order.append, on_end=lambda value: (order.append("end"), over.set()))((1, 2, 3))
                self.assertTrue(over.wait(PATIENCE))
                self.assertEqual(order, [1, 2, 3, "end"])

    def test_call_that_cannot_be_made_reaches_on_error(self):
        for runner in ALL:
            with self.subTest(runner.__name__):
                seen = Collector()
                self.assertIsNone(runner(sample_functions.square, number=1, **seen.callbacks)(number=2))
                self.assertRegex(str(seen.errors[0]), "'number' was bound")
                with self.assertRaisesRegex(TypeError, "'number' was bound"):
                    runner(sample_functions.square, number=1)(number=2)

    def test_runner_is_called_many_times(self):
        for runner in ASYNCHRONOUS:
            with self.subTest(runner.__name__):
                task = runner(sample_functions.square)
                handles = [task(number) for number in range(1500)]
                self.assertEqual([handle.get_result(PATIENCE) for handle in handles], [n * n for n in range(1500)])

    def test_exit_of_a_function_fails_its_call_only(self):
        for runner in ASYNCHRONOUS:
            with self.subTest(runner.__name__):
                with self.assertRaisesRegex(strand.RemoteError, "SystemExit: 3"):
                    runner(sys.exit)(3).get_result(PATIENCE)

    def test_async_function(self):
        for runner in ASYNCHRONOUS:
            with self.subTest(runner.__name__):
                self.assertEqual(runner(sample_functions.add_later)(1, 2).get_result(PATIENCE), 3)


class Sync(unittest.TestCase):
    def test_value_and_exception_come_directly(self):
        self.assertEqual(Taskrunner(sample_functions.square)(3), 9)
        self.assertEqual(as_task("sync")(threading.get_ident)(), threading.get_ident())
        with self.assertRaises(ValueError):
            Taskrunner(sample_functions.fail)("value")
        self.assertIsNone(Taskrunner(sample_functions.fail, on_error=lambda error: "handled")("value"))


class Thread(unittest.TestCase):
    def test_runs_in_another_thread_of_this_process(self):
        self.assertNotEqual(ThreadTaskrunner(threading.get_ident)().get_result(PATIENCE), threading.get_ident())
        self.assertEqual(ThreadTaskrunner(os.getpid)().get_result(PATIENCE), os.getpid())

    def test_objects_are_passed_as_they_are(self):
        lock = threading.Lock()
        seen = Collector()
        handle = ThreadTaskrunner(lambda *given: [*given, seen], **seen.callbacks)(lock)
        self.assertIs(handle.get_result(PATIENCE)[0], lock)
        seen.wait()
        self.assertIs(seen.items[0], lock)
        self.assertIs(seen.items[1], seen)

    def test_exception_is_the_one_that_was_raised(self):
        raised = ValueError("this one")

        def fail():
            raise raised

        with self.assertRaises(ValueError) as caught:
            ThreadTaskrunner(fail)().get_result(PATIENCE)
        self.assertIs(caught.exception, raised)

    def test_callbacks_come_on_the_runner_where_no_main_loop_runs(self):
        seen = Collector()
        where = ThreadTaskrunner(threading.get_ident, **seen.callbacks)().get_result(PATIENCE)
        seen.wait()
        self.assertEqual(seen.threads, {where})

    def test_callbacks_come_in_the_main_loop_where_one_runs(self):
        seen = Collector()
        loop = GLib.MainLoop()

        def end(value):
            seen.on_end(value)
            loop.quit()

        def begin():
            ThreadTaskrunner(sample_functions.chunks, on_iter=seen.on_iter, on_end=end)(9, 1)

        GLib.idle_add(begin)
        GLib.timeout_add_seconds(PATIENCE, loop.quit)
        loop.run()
        self.assertEqual((len(seen.items), seen.ends), (9, [9]))
        self.assertEqual(seen.threads, {threading.get_ident()})

    def test_announced_main_loop(self):
        seen = Collector()
        loop = GLib.MainLoop()
        strand.use_main_loop()
        self.addCleanup(strand.use_main_loop, False)
        ThreadTaskrunner(sample_functions.square, on_end=lambda value: (seen.on_end(value), loop.quit()))(2)
        GLib.timeout_add_seconds(PATIENCE, loop.quit)
        loop.run()
        self.assertEqual((seen.ends, seen.threads), ([4], {threading.get_ident()}))

    def test_error_that_nobody_looks_at_is_shown(self):
        shown = io.StringIO()
        reported = threading.Event()
        before = strand.calls.report
        self.addCleanup(setattr, strand.calls, "report", before)
        strand.calls.report = lambda error: (before(error), reported.set())
        with contextlib.redirect_stderr(shown):
            ThreadTaskrunner(sample_functions.fail)("value", "unseen")
            self.assertTrue(reported.wait(PATIENCE))
        self.assertIn("ValueError: unseen", shown.getvalue())


class Process(unittest.TestCase):
    def test_runs_in_another_process(self):
        self.assertNotEqual(MultiprocessTaskrunner(os.getpid)().get_result(PATIENCE), os.getpid())

    def test_what_can_be_found(self):
        for function, arguments, value in (
            (sample_functions.Tools.double, (4,), 8),
            (sample_functions.Tools.name, (), "Tools"),
            (sample_functions.only_wrapped, (4,), 10),
            (math.sqrt, (4,), 2.0),
        ):
            self.assertEqual(MultiprocessTaskrunner(function)(*arguments).get_result(PATIENCE), value)

    def test_decorated_functions(self):
        self.assertEqual(sample_functions.decorated(1).get_result(PATIENCE), 2)
        self.assertEqual(sample_functions.decorated_inside(1).get_result(PATIENCE), 4)

    def test_what_cannot_be_found_is_refused_with_the_reason(self):
        def inner():
            pass

        for function, reason in (
            (lambda: 1, "a lambda has no name"),
            (inner, "defined inside another function"),
            (functools.partial(sample_functions.square, 1), "functools.partial has no name"),
            ([].append, "method of one object"),
            (sample_functions.Tools().double_own, "method of one object"),
        ):
            seen = Collector()
            MultiprocessTaskrunner(function, **seen.callbacks)()
            seen.wait()
            self.assertIsInstance(seen.errors[0], strand.UnsafeError)
            self.assertIn(reason, str(seen.errors[0]))

    def test_value_that_cannot_travel(self):
        with self.assertRaisesRegex(TypeError, "'lock' cannot leave the process"):
            MultiprocessTaskrunner(sample_functions.echo)(threading.Lock())
        seen = Collector()
        MultiprocessTaskrunner(sample_functions.echo, on_error=seen.on_error)(threading.Lock())
        self.assertIsInstance(seen.errors[0], TypeError)

    def test_traceback_of_the_other_process(self):
        with self.assertRaisesRegex(ValueError, "at the bottom") as caught:
            MultiprocessTaskrunner(sample_functions.fail_deeply)(3).get_result(PATIENCE)
        self.assertIsInstance(caught.exception.__cause__, strand.RemoteTraceback)
        self.assertEqual(str(caught.exception.__cause__).count("in fail_deeply"), 4)

    def test_exception_that_cannot_be_made_again(self):
        with self.assertRaises(strand.RemoteError) as caught:
            MultiprocessTaskrunner(sample_functions.fail)("hard", "one", "two").get_result(PATIENCE)
        self.assertEqual(caught.exception.type_name, "sample_functions.HardError")
        self.assertIn("HardError: one", str(caught.exception))

    def test_death_of_the_helper(self):
        with self.assertRaisesRegex(strand.CrashedError, "status 3"):
            MultiprocessTaskrunner(os._exit)(3).get_result(PATIENCE)


class Decorator(unittest.TestCase):
    def test_names_and_classes(self):
        for target, kind in (("thread", ThreadTaskrunner), ("process", MultiprocessTaskrunner), ("sync", Taskrunner),
                             ("coroutine", CoroutineTaskrunner), (ThreadTaskrunner, ThreadTaskrunner)):
            task = as_task(target)(sample_functions.square)
            self.assertIs(type(task), kind)

    def test_with_and_without_brackets(self):
        @as_task
        def plain(number):
            """Doubles."""
            return 2 * number

        @as_task()
        def bracketed(number):
            return 2 * number

        self.assertEqual((plain.__name__, plain.__doc__), ("plain", "Doubles."))
        self.assertEqual((plain(2).get_result(PATIENCE), bracketed(3).get_result(PATIENCE)), (4, 6))

    def test_callbacks(self):
        seen = Collector()

        @as_task(**seen.callbacks)
        def parts(total, size):
            return [list(range(start, start + size)) for start in range(0, total, size)]

        parts(4, 2)
        seen.wait()
        self.assertEqual((seen.items, seen.ends), ([[0, 1], [2, 3]], [[[0, 1], [2, 3]]]))

    def test_method(self):
        class Counter:
            step = 3

            @as_task
            def count(self, number):
                return number + self.step

        self.assertEqual(Counter().count(4).get_result(PATIENCE), 7)

    def test_unknown_target_is_told_where_it_is_named(self):
        with self.assertRaisesRegex(strand.StrandError, "'nowhere'"):
            as_task("nowhere")(sample_functions.square)

    def test_target_object(self):
        runner = Strand.Stack.get_default().ref_target("thread")
        self.assertEqual(as_task(runner)(sample_functions.square)(5).get_result(PATIENCE), 25)

    def test_arguments_are_bound_after_the_target(self):
        task = as_task("sync", 2, end="!")(lambda *args, **kwargs: (args, kwargs))
        self.assertEqual(task(3, sep=","), ((2, 3), {"end": "!", "sep": ","}))

    def test_class_of_the_program(self):
        class Loud(ThreadTaskrunner):
            def __call__(self, *args, **kwargs):
                return super().__call__(*(2 * arg for arg in args), **kwargs)

        task = as_task(Loud)(sample_functions.square)
        self.assertIsInstance(task, Loud)
        self.assertEqual(task(3).get_result(PATIENCE), 36)


class Functions(unittest.TestCase):
    def test_function_of_a_module_by_name(self):
        Strand.Registry.get_default().load_module("demo")
        for runner in (ThreadTaskrunner, MultiprocessTaskrunner):
            self.assertEqual(runner("demo.add")(40, 2).get_result(PATIENCE), 42)
            seen = Collector()
            runner("demo.count", **seen.callbacks)(3)
            seen.wait()
            self.assertEqual((seen.items, seen.ends), ([0, 1, 2], [3]))
        self.assertEqual(Taskrunner("demo.add")(b=2, a=1), 3)

    def test_task_of_the_typelib_takes_python_values(self):
        Strand.Registry.get_default().load_module("demo")
        handle = Strand.Task.new_for_name("demo.add", "thread").call(1, 2)
        handle.wait(-1)
        self.assertEqual(handle.get_result().unpack(), 3)


class Handle(unittest.TestCase):
    def test_result_before_the_end_is_not_ready(self):
        gate = threading.Event()
        handle = ThreadTaskrunner(gate.wait)()
        with self.assertRaises(strand.NotReadyError):
            handle.get_result()
        self.assertFalse(handle.is_ready())
        with self.assertRaises(TimeoutError):
            handle.get_result(timeout=0.01)
        gate.set()
        self.assertIs(handle.get_result(timeout=math.inf), True)
        self.assertTrue(handle.is_ready())
        self.assertIs(handle.get_status(), ComputationStatus.COMPLETED)

    def test_cancel(self):
        for runner in (ThreadTaskrunner, MultiprocessTaskrunner):
            with self.subTest(runner.__name__):
                begun = threading.Event()
                handle = runner(sample_functions.wait_in_vain)()
                while handle.get_status() is ComputationStatus.PENDING:
                    begun.wait(0.001)
                self.assertTrue(handle.cancel())
                with self.assertRaises(strand.CancelledError):
                    handle.get_result(PATIENCE)
                self.assertIs(handle.get_status(), ComputationStatus.CANCELLED)
                self.assertFalse(handle.cancel())

    def test_generator_that_is_cancelled_ends(self):
        for runner in (ThreadTaskrunner, MultiprocessTaskrunner):
            with self.subTest(runner.__name__):
                some = threading.Event()
                handle = runner(sample_functions.count_for_ever, on_iter=lambda item: item > 10 and some.set())()
                self.assertTrue(some.wait(PATIENCE))
                handle.cancel()
                with self.assertRaises(strand.CancelledError):
                    handle.get_result(PATIENCE)

    def test_metadata_and_progress(self):
        for runner in ASYNCHRONOUS:
            with self.subTest(runner.__name__):
                handle = runner(sample_functions.note)("weights", [1, 2.5, None])
                handle.wait(PATIENCE)
                self.assertEqual(handle.metadata["weights"], [1, 2.5, None])
                self.assertGreaterEqual(handle.metadata["duration"], 0)
                self.assertEqual((handle.progress, handle.message), (1, "noted"))
                self.assertRegex(handle.key, "^[A-Za-z0-9._-]+$")

    def test_failed_status(self):
        handle = ThreadTaskrunner(sample_functions.fail)("value", "no")
        handle.wait(PATIENCE)
        self.assertIs(handle.get_status(), ComputationStatus.FAILED)
        self.assertEqual(handle.get_status().value, "failed")
        self.assertIsInstance(handle.exception(), ValueError)
