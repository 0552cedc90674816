"""Many calls at once: TaskDispatcher.                          SPDX-License-Identifier: LGPL-2.1-or-later"""

import operator
import threading
import unittest

from gi.repository import GLib

from strand import TaskDispatcher, ThreadTaskrunner
from strand.au import ComputationHandle
from support import PATIENCE


class TestDispatcher(unittest.TestCase):
    def test_results_are_in_the_order_of_the_calls(self):
        last_has_ended = threading.Event()
        dispatcher = TaskDispatcher()
        dispatcher.enqueue(lambda: last_has_ended.wait(PATIENCE) and "first")
        dispatcher.enqueue(lambda: last_has_ended.set() or "last")
        self.assertTrue(dispatcher.run(timeout=PATIENCE))
        self.assertEqual(dispatcher.results, ["first", "last"])
        self.assertEqual(dispatcher.status, ["success"] * 2)
        self.assertEqual(dispatcher.errors, [None] * 2)
        self.assertTrue(dispatcher.complete)

    def test_calls_are_started_in_the_order_of_enqueuing(self):
        started = []
        dispatcher = TaskDispatcher(target="sync")
        for number in range(10):
            dispatcher.enqueue(started.append, number)
        dispatcher.run(timeout=PATIENCE)
        self.assertEqual(started, list(range(10)))

    def test_bound_and_given_arguments_come_together(self):
        dispatcher = TaskDispatcher()
        dispatcher.enqueue(lambda *args, **kwargs: (args, kwargs), 1, x=2, args=[3], kwargs={"y": 4})
        dispatcher.run(timeout=PATIENCE)
        self.assertEqual(dispatcher.results, [((1, 3), {"x": 2, "y": 4})])

    def test_failure_has_its_place(self):
        dispatcher = TaskDispatcher()
        dispatcher.enqueue(operator.truediv, args=[1, 0])
        dispatcher.enqueue(operator.truediv, args=[1, 1])
        dispatcher.run(timeout=PATIENCE)
        self.assertEqual(dispatcher.status, ["error", "success"])
        self.assertEqual(dispatcher.results, [None, 1.0])
        self.assertIsInstance(dispatcher.errors[0], ZeroDivisionError)

    def test_call_that_cannot_be_made_has_its_place_and_holds_up_no_other(self):
        dispatcher = TaskDispatcher(target="process")
        dispatcher.enqueue(operator.truediv, args=[threading.Lock(), 1])
        dispatcher.enqueue(operator.truediv, args=[1, 1])
        dispatcher.run(timeout=PATIENCE)
        self.assertEqual((dispatcher.status, dispatcher.results), (["error", "success"], [None, 1.0]))
        self.assertRegex(str(dispatcher.errors[0]), "'lock' cannot leave the process")

    def test_callbacks_of_a_call_are_called(self):
        ended, failed, items = [], [], []
        dispatcher = TaskDispatcher()
        dispatcher.enqueue(lambda: [1, 2, 3], on_iter=items.append, on_end=ended.append)
        dispatcher.enqueue(operator.truediv, args=[1, 0], on_error=failed.append)
        dispatcher.run(timeout=PATIENCE)
        self.assertEqual((items, ended), ([1, 2, 3], [[1, 2, 3]]))
        self.assertIsInstance(failed[0], ZeroDivisionError)

    def test_dispatch_starts_one_call_at_once(self):
        dispatcher = TaskDispatcher()
        handle = dispatcher.dispatch(pow, args=[2, 10])
        self.assertIsInstance(handle, ComputationHandle)
        self.assertEqual(handle.get_result(timeout=PATIENCE), 1024)
        dispatcher.run(timeout=PATIENCE)
        self.assertEqual(dispatcher.results, [1024])

    def test_targets_are_mixed(self):
        dispatcher = TaskDispatcher(target=ThreadTaskrunner)
        dispatcher.enqueue(threading.get_ident)
        dispatcher.enqueue(threading.get_ident, target="sync")
        dispatcher.enqueue(operator.add, args=[1, 2], target="process")
        dispatcher.run(timeout=PATIENCE)
        there, here, number = dispatcher.results
        self.assertNotEqual(there, threading.get_ident())
        self.assertEqual(here, threading.get_ident())
        self.assertEqual(number, 3)

    def test_run_that_takes_too_long_is_a_timeout_and_goes_on(self):
        gate = threading.Event()
        dispatcher = TaskDispatcher()
        dispatcher.enqueue(gate.wait, args=[PATIENCE])
        with self.assertRaises(TimeoutError):
            dispatcher.run(timeout=0.01)
        self.assertFalse(dispatcher.complete)
        self.assertEqual(dispatcher.status, [None])
        gate.set()
        self.assertTrue(dispatcher.run(timeout=PATIENCE))
        self.assertEqual(dispatcher.results, [True])

    def test_predicate_decides_when_all_is_done(self):
        gate = threading.Event()
        dispatcher = TaskDispatcher(check_complete=lambda results, status, errors: "success" in status)
        dispatcher.enqueue(gate.wait, args=[PATIENCE])
        dispatcher.enqueue(pow, args=[2, 2])
        self.assertTrue(dispatcher.run(timeout=PATIENCE))
        self.assertEqual(dispatcher.results, [None, 4])
        gate.set()

    def test_run_inside_a_main_loop(self):
        loop, seen, ended = GLib.MainLoop(), [], []

        def go():
            dispatcher = TaskDispatcher()
            dispatcher.enqueue(pow, args=[2, 2], on_end=lambda value: ended.append(threading.get_ident()))
            dispatcher.enqueue(operator.truediv, args=[1, 0])
            seen.append(dispatcher.run(timeout=PATIENCE))
            seen.append(dispatcher.status)
            GLib.idle_add(loop.quit)

        GLib.idle_add(go)
        loop.run()
        self.assertEqual(seen, [True, ["success", "error"]])
        self.assertEqual(ended, [threading.get_ident()])

    def test_reset_begins_anew_and_dispatchers_share_nothing(self):
        one, two = TaskDispatcher(), TaskDispatcher()
        one.enqueue(pow, args=[2, 2])
        one.run(timeout=PATIENCE)
        self.assertEqual(two.results, [])
        one.reset()
        self.assertEqual((one.results, one.status, one.errors), ([], [], []))
        self.assertTrue(one.complete)

    def test_a_thousand_calls_of_one_dispatcher(self):
        dispatcher = TaskDispatcher()
        for number in range(1000):
            dispatcher.enqueue(pow, args=[number, 2])
        dispatcher.run(timeout=PATIENCE)
        self.assertEqual(dispatcher.results, [number**2 for number in range(1000)])


if __name__ == "__main__":
    unittest.main()
