"""Kinds of functions, values and failures, at every runner.              SPDX-License-Identifier: LGPL-2.1-or-later"""

import functools
import threading
import unittest
from dataclasses import dataclass

import sample_functions

import strand
from strand import CoroutineTaskrunner, MultiprocessTaskrunner, ThreadTaskrunner, as_task
from support import PATIENCE, Case, Collector

RUNNERS = (ThreadTaskrunner, MultiprocessTaskrunner, CoroutineTaskrunner)
HERE = (ThreadTaskrunner, CoroutineTaskrunner)


@dataclass
class Point:
    x: int
    y: int = 0


class Everywhere(unittest.TestCase):
    def each(self, function, *args, **kwargs):
        """What every runner gives for one call."""
        for runner in RUNNERS:
            with self.subTest(runner.__name__):
                yield runner(function)(*args, **kwargs)

    def test_parameters_that_have_names_only(self):
        for handle in self.each(sample_functions.keywords_only, first=1):
            self.assertEqual(handle.get_result(PATIENCE), (1, 2))

    def test_missing_argument_is_the_functions_own_error(self):
        for handle in self.each(sample_functions.keywords_only, second=1):
            with self.assertRaisesRegex(TypeError, "missing 1 required keyword-only argument: 'first'"):
                handle.get_result(PATIENCE)

    def test_parameters_with_defaults(self):
        for handle in self.each(sample_functions.defaults, 1, more=2):
            self.assertEqual(handle.get_result(PATIENCE), (1, ("a",), (), None, {"more": 2}))
        for handle in self.each(sample_functions.defaults, 1, None, b"3", third=4.5):
            self.assertEqual(handle.get_result(PATIENCE), (1, None, (b"3",), 4.5, {}))

    def test_values_are_what_they_were(self):
        values = (
            None, True, -(2**63), 2**64, -(10**50), 0.1, float("inf"), "ü", "a\0b", "\udcff", b"", b"\0\xff", bytearray(b"x"),
            [], (), {}, set(), {1, "a"}, frozenset({(1, 2)}), range(3, 9, 2), 1j, [None, [1, "a", b"b"]], ((), (1,)),
            {1: 2, None: 3, (1, 2): [4], "s": {}},
        )  # fmt: skip
        for handle in self.each(sample_functions.echo, *values):
            given, _ = handle.get_result(PATIENCE)
            self.assertEqual(given, values)
            self.assertEqual([type(value) for value in given], [type(value) for value in values])

    def test_generator_that_fails_has_given_its_items(self):
        for runner in RUNNERS:
            with self.subTest(runner.__name__):
                seen = Collector()
                runner(sample_functions.count_and_fail, **seen.callbacks)(3)
                seen.wait()
                self.assertEqual((seen.items, seen.ends), ([0, 1, 2], []))
                self.assertEqual([repr(error) for error in seen.errors], ["LookupError('in the end')"])

    def test_asynchronous_generator_streams(self):
        for runner in RUNNERS:
            with self.subTest(runner.__name__):
                seen = Collector()
                runner(sample_functions.count_later, **seen.callbacks)(3)
                seen.wait()
                self.assertEqual((seen.items, seen.ends), ([0, 1, 2], [None]))

    def test_exception_that_holds_what_cannot_travel(self):
        for handle in self.each(sample_functions.fail_oddly):
            with self.assertRaises(sample_functions.OddError) as caught:
                handle.get_result(PATIENCE)
            self.assertEqual(caught.exception.args, ("odd", 3))

    def test_exception_with_a_cause_says_both(self):
        for handle in self.each(sample_functions.fail_with_a_cause):
            with self.assertRaisesRegex(KeyError, "effect") as caught:
                handle.get_result(PATIENCE)
            cause = caught.exception.__cause__
            self.assertTrue(isinstance(cause, ZeroDivisionError) or "ZeroDivisionError" in str(cause))

    def test_interrupt_in_a_function_fails_its_call_only(self):
        for handle in self.each(sample_functions.interrupt):
            with self.assertRaisesRegex(strand.RemoteError, "KeyboardInterrupt"):
                handle.get_result(PATIENCE)

    def test_callable_classes_and_functions_in_c(self):
        for handle in self.each(len, [1, 2]):
            self.assertEqual(handle.get_result(PATIENCE), 2)
        for handle in self.each(dict, a=1):
            self.assertEqual(handle.get_result(PATIENCE), {"a": 1})

    def test_decorators_upon_each_other(self):
        self.assertEqual(sample_functions.decorated_by_both(1).get_result(PATIENCE), 2)
        self.assertEqual(sample_functions.decorated_thrice(1).get_result(PATIENCE), 3)

    def test_task_of_a_task_keeps_what_both_have_bound(self):
        for runner in RUNNERS:
            with self.subTest(runner.__name__):
                seen, inner = Collector(), Collector()
                task = ThreadTaskrunner(sample_functions.echo, 1, a=2, on_end=inner.on_end, on_iter=inner.on_iter)
                runner(task, 3, b=4, on_end=seen.on_end)(5)
                seen.wait()
                self.assertEqual(seen.ends, [((1, 3, 5), {"a": 2, "b": 4})])
                self.assertEqual((inner.items, inner.ends), ([(1, 3, 5), {"a": 2, "b": 4}], []))

    def test_decorated_members_of_classes(self):
        self.assertEqual(sample_functions.Decorated.outside(2).get_result(PATIENCE), 4)
        self.assertEqual(sample_functions.Decorated().outside(2).get_result(PATIENCE), 4)
        self.assertEqual(sample_functions.Decorated().inside(2).get_result(PATIENCE), 6)
        self.assertEqual(sample_functions.Decorated().computed(2).get_result(PATIENCE), 10)
        self.assertEqual(sample_functions.Decorated.of_the_class(2).get_result(PATIENCE), ("Decorated", 2))

    def test_what_is_no_function_or_no_target_is_told_where_it_stands(self):
        for runner in RUNNERS:
            with self.assertRaisesRegex(TypeError, "3"):
                runner(3)
        for target in (None, 3, object()):
            with self.assertRaisesRegex(TypeError, "is no target"):
                as_task(target)(sample_functions.square)

    def test_calls_from_a_thread_without_a_main_loop(self):
        results = []

        def work():
            for runner in RUNNERS:
                results.append(runner(sample_functions.square)(4).get_result(PATIENCE))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(PATIENCE)
        self.assertEqual(results, [16] * 3)


class InThisProcess(unittest.TestCase):
    def test_anything_that_can_be_called(self):
        for runner in HERE:
            with self.subTest(runner.__name__):
                for function, args, value in (
                    (lambda x: x + 1, (1,), 2),
                    (functools.partial(pow, 2), (5,), 32),
                    ("abc".upper, (), "ABC"),
                    (sample_functions.Decorated(), (2,), 8),
                    (Point, (1,), Point(1)),
                ):
                    self.assertEqual(runner(function)(*args).get_result(PATIENCE), value)

    def test_any_object_is_an_argument_and_a_value(self):
        for runner in HERE:
            point, cycle = Point(3, 4), []
            cycle.append(cycle)
            value = runner(lambda *given: given)(point, cycle).get_result(PATIENCE)
            self.assertIs(value[0], point)
            self.assertIs(value[1], cycle)


class InAnotherProcess(unittest.TestCase):
    def test_what_cannot_travel_is_told_at_the_call(self):
        cycle = []
        cycle.append(cycle)
        for value, reason in ((object(), "type 'object' cannot leave"), (print, "cannot leave"), (cycle, "contains itself")):
            with self.assertRaisesRegex((TypeError, ValueError), reason):
                MultiprocessTaskrunner(sample_functions.echo)(value)


class Programs(Case):
    def assert_runs(self, source, printed):
        done = self.run_program(source)
        self.assertEqual((done.stdout, done.stderr), (printed, ""))

    def test_loop_that_ends_before_the_call_does(self):
        self.assert_runs(
            """
            import asyncio, threading
            from strand import ThreadTaskrunner

            gate = threading.Event()

            async def main():
                try:
                    await asyncio.wait_for(ThreadTaskrunner(gate.wait)(60), 0.01)
                except asyncio.TimeoutError:
                    print("timed out")

            asyncio.run(main())
            gate.set()
            """,
            "timed out\n",
        )

    def test_callback_on_a_runner_does_not_end_the_program(self):
        self.assert_runs(
            """
            import sys
            from strand import ThreadTaskrunner

            ThreadTaskrunner(pow, on_end=lambda value: sys.exit(3), on_error=lambda error: print(repr(error)))(2, 3).wait()
            """,
            "SystemExit(3)\n",
        )

    def test_callbacks_may_call(self):
        self.assert_runs(
            """
            from strand import ThreadTaskrunner

            ThreadTaskrunner(pow, on_end=lambda value: ThreadTaskrunner(pow, on_end=print)(value, 2))(2, 3)
            """,
            "64\n",
        )


if __name__ == "__main__":
    unittest.main()
