"""Calls of Python functions that a store keeps: what a handle made from a key says of them.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later"""

import os
import unittest

import sample_functions
from gi.repository import GLib, Strand

import strand
from strand import ComputationHandle, ComputationStatus, from_variant, launch
from strand.stores import plugin_object
from support import PATIENCE, Case, Collector


class Stored(Case):
    def setUp(self):
        super().setUp()
        self.store = plugin_object(Strand.Kind.STORE, "filesystem", path=str(self.folder))

    def new_backend(self, runner):
        backend = plugin_object(
            Strand.Kind.BACKEND, "local", store=self.store, taskrunner=plugin_object(Strand.Kind.TASKRUNNER, runner)
        )
        self.addCleanup(backend.close, GLib.get_monotonic_time() + PATIENCE * 1000000)
        return backend

    def backends(self):
        for runner in ("thread", "process"):
            with self.subTest(runner):
                yield self.new_backend(runner)

    def test_value(self):
        value = {"n": 10**50, "list": [1, None, (2.5, b"\0")], "set": {1}}
        for backend in self.backends():
            handle = launch(sample_functions.echo, (value,), {"k": "v"}, backend)
            self.assertEqual(handle.get_result(PATIENCE), ((value,), {"k": "v"}))
            self.assertEqual(ComputationHandle(handle.key, self.store).get_result(), ((value,), {"k": "v"}))

    def test_nothing(self):
        for backend in self.backends():
            handle = launch(sample_functions.note, ("name", [1]), {}, backend)
            self.assertIsNone(handle.get_result(PATIENCE))
            again = ComputationHandle(handle.key, self.store)
            self.assertIsNone(again.get_result())
            self.assertEqual(again.metadata["name"], [1])

    def test_exception(self):
        for backend in self.backends():
            handle = launch(sample_functions.fail_deeply, (3,), {}, backend)
            handle.wait(PATIENCE)
            for view in (handle, ComputationHandle(handle.key, self.store)):
                self.assertIs(view.get_status(), ComputationStatus.FAILED)
                with self.assertRaisesRegex(ValueError, "at the bottom") as caught:
                    view.get_result()
                self.assertEqual(str(caught.exception.__cause__).count("in fail_deeply"), 4)

    def test_items(self):
        for backend in self.backends():
            for function, items in (
                (sample_functions.chunks, [range(0, 2), range(2, 3)]),
                (sample_functions.echo, [(3, 2), {}]),
            ):
                seen = Collector()
                launch(function, (3, 2), {}, backend, **seen.callbacks)
                seen.wait()
                self.assertEqual(seen.items, items)

    def test_cancelled_by_key(self):
        for backend in self.backends():
            handle = launch(sample_functions.wait_in_vain, (), {}, backend)
            self.wait_until(lambda: handle.get_status() is not ComputationStatus.PENDING)
            other = ComputationHandle(handle.key, self.store)
            self.assertTrue(other.cancel())
            with self.assertRaises(strand.CancelledError):
                handle.get_result(PATIENCE)
            other.wait(PATIENCE)
            self.assertIs(other.get_status(), ComputationStatus.CANCELLED)

    def test_unknown_key(self):
        with self.assertRaises(strand.NotFoundError):
            ComputationHandle("nobody", self.store)

    def test_lambda(self):
        backend = self.new_backend("thread")
        handles = [launch(lambda own=number: own, (), {}, backend) for number in range(20)]
        self.assertEqual([handle.get_result(PATIENCE) for handle in handles], list(range(20)))
        with self.assertRaisesRegex(strand.UnsafeError, "a lambda has no name"):
            launch(lambda: 1, (), {}, self.new_backend("process")).get_result(PATIENCE)

    def test_reader_runs_what_is_registered_in_a_helper(self):
        writer = plugin_object(Strand.Kind.BACKEND, "store", store=self.store)
        handle = launch(sample_functions.process_id, (), {}, writer)
        reader = Strand.Reader.new(self.store, plugin_object(Strand.Kind.TASKRUNNER, "process"), ["default"])
        reader.listen()
        self.assertNotIn(handle.get_result(PATIENCE), (os.getpid(), None))
        reader.stop(-1)

    def test_what_a_record_says(self):
        handle = launch(sample_functions.square, (2**70,), {}, self.new_backend("thread"))
        handle.wait(PATIENCE)
        record = self.store.get(handle.key)
        self.assertEqual(record.get_string(Strand.Field.FUNCTION), "sample_functions.square")
        self.assertEqual(from_variant(record.dup_arguments()), ([2**70], {}))
