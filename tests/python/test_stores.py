"""Stores as mappings: strand's own, a program's mapping, and a store written in Python.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import pickle
import threading
import unittest
from collections.abc import MutableMapping
from datetime import datetime, timedelta

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib, GObject, Strand  # noqa: E402

from strand.backends import ThreadBackend  # noqa: E402
from strand.results import ComputationResult, ComputationStatus, SerializationFormat  # noqa: E402
from strand.stores import (  # noqa: E402
    ComputationStore,
    FileSystemStore,
    GObjectStore,
    MemoryStore,
    RedisStore,
    SqliteStore,
    TemporaryStore,
    as_store,
    plugin_object,
)
from support import PATIENCE, Case, run_python  # noqa: E402


class PickledStore(ComputationStore):
    """What a program writes that keeps pickled results somewhere: here in a dictionary of bytes."""

    def __init__(self, *, ttl_seconds=None):
        super().__init__(ttl_seconds=ttl_seconds)
        self.kept = {}

    def create_key(self):
        return f"computation:{super().create_key()}"

    def __getitem__(self, key):
        data = self.kept.get(key)
        if data is None:
            return ComputationResult(None, ComputationStatus.PENDING)
        return pickle.loads(data)

    def __setitem__(self, key, result):
        self.kept[key] = pickle.dumps(result)

    def __delitem__(self, key):
        del self.kept[key]

    def __iter__(self):
        return iter(list(self.kept))

    def __len__(self):
        return len(self.kept)


class ShelfStore(GObject.Object, Strand.Store):
    """A store in strand's own terms: four methods over a dictionary of JSON texts."""

    def __init__(self, **properties):
        super().__init__(**properties)
        self.lock = threading.Lock()
        self.kept = {}

    def do_get(self, key):
        with self.lock:
            return Strand.Record.from_json(self.kept[key][1])

    def do_put(self, record, expected):
        with self.lock:
            there = self.kept.get(record.get_key(), (0, None))[0]
            if there != expected:
                code = Strand.Error.STALE if expected else Strand.Error.EXISTS
                raise GLib.Error("somebody was quicker", "strand-error-quark", code)
            self.kept[record.get_key()] = (record.get_revision(), record.to_json())
        return True

    def do_remove(self, key, expected):
        with self.lock:
            if expected and self.kept[key][0] != expected:
                raise GLib.Error("somebody was quicker", "strand-error-quark", Strand.Error.STALE)
            del self.kept[key]
        return True

    def do_list(self, wanted, cursor, limit):
        page = Strand.Page.new()
        with self.lock:
            records = [Strand.Record.from_json(self.kept[key][1]) for key in sorted(self.kept) if key > (cursor or "")]
        found = [record for record in records if wanted.matches(record)]
        for record in found[:limit]:
            page.add(record)
        if len(found) > limit:
            page.set_next(found[limit - 1].get_key())
        return page


class FaultyStore(GObject.Object, Strand.Store):
    """A store whose methods raise what they should not."""

    def do_get(self, key):
        raise {"exit": SystemExit(7), "stop": KeyboardInterrupt()}.get(key) or ZeroDivisionError("by nothing")

    def do_put(self, record, expected):
        raise OSError(28, "no space left")

    def do_remove(self, key, expected):
        raise ZeroDivisionError("by nothing")

    def do_list(self, wanted, cursor, limit):
        return None


def call_demo(store, name, arguments, serializer=None):
    """Calls a function of the demo module on a backend over a store, and waits; returns the handle."""
    Strand.Registry.get_default().load_module("demo")
    runner = plugin_object(Strand.Kind.TASKRUNNER, "thread")
    backend = plugin_object(Strand.Kind.BACKEND, "local", taskrunner=runner, store=store, serializer=serializer)
    task = Strand.Task.new(Strand.Registry.get_default().lookup(name), backend)
    handle = task.call(arguments)
    handle.wait(PATIENCE * 1000000)
    backend.close(-1)
    return handle


class AnyStore:
    """What each of them promises as a mapping."""

    def test_is_a_mutable_mapping(self):
        self.assertIsInstance(self.store, MutableMapping)
        self.assertEqual(len(self.store), 0)
        self.assertEqual(list(self.store), [])

    def test_result_comes_back_as_it_was_put(self):
        key = self.store.create_key()
        value = {"list": [1, 2.5, "three"], "nested": {"key": None, "large": 2**70}}
        put = ComputationResult(value, ComputationStatus.COMPLETED, metadata={"user": "anna"})
        self.store[key] = put
        got = self.store[key]
        self.assertEqual(got.value, value)
        self.assertIs(got.status, ComputationStatus.COMPLETED)
        self.assertTrue(got.is_ready)
        self.assertEqual(got.metadata, {"user": "anna"})
        self.assertAlmostEqual(got.created_at, put.created_at, delta=timedelta(milliseconds=1))

    def test_keys_are_unlike(self):
        keys = {self.store.create_key() for _ in range(100)}
        self.assertEqual(len(keys), 100)
        self.assertTrue(all(isinstance(key, str) for key in keys))

    def test_iteration_gives_every_key_once(self):
        keys = [self.store.create_key() for _ in range(600)]
        for key in keys:
            self.store[key] = ComputationResult(key, ComputationStatus.COMPLETED)
        self.assertEqual(sorted(self.store), sorted(keys))
        self.assertEqual(len(self.store), 600)
        self.assertIn(keys[0], self.store)

    def test_result_is_replaced_and_removed(self):
        key = self.store.create_key()
        self.store[key] = ComputationResult(None, ComputationStatus.RUNNING)
        self.store[key] = ComputationResult(1, ComputationStatus.COMPLETED)
        self.assertEqual(self.store[key].value, 1)
        del self.store[key]
        self.assertEqual(len(self.store), 0)

    def test_error_comes_back_as_one(self):
        self.store["bad"] = ComputationResult(None, ComputationStatus.FAILED, error=ValueError("must be positive"))
        got = self.store["bad"]
        self.assertIs(got.status, ComputationStatus.FAILED)
        self.assertIsInstance(got.error, ValueError)
        self.assertIn("must be positive", str(got.error))

    def test_expired_results_are_cleaned_up_and_no_others(self):
        past = datetime.now() - timedelta(hours=3)
        self.store["old"] = ComputationResult(1, ComputationStatus.COMPLETED, created_at=past, completed_at=past)
        self.store["young"] = ComputationResult(1, ComputationStatus.COMPLETED, created_at=past, completed_at=datetime.now())
        self.store["going-on"] = ComputationResult(None, ComputationStatus.RUNNING, created_at=past)
        self.assertEqual(self.store.cleanup_expired(), 1)
        self.assertEqual(sorted(self.store), ["going-on", "young"])

    def test_backend_uses_it(self):
        handle = call_demo(self.store.native, "demo.add", GLib.Variant("(xx)", (40, 2)))
        self.assertEqual(handle.get_result().unpack(), 42)
        (key,) = self.store
        self.assertEqual(key, handle.get_key())
        self.assertEqual(self.store[key].value, 42)
        self.assertIsNotNone(self.store[key].duration)


class Missing:
    """What strand's own stores say of a key that they do not have."""

    def test_missing_key_is_a_key_error(self):
        for key in ("nobody", "no key of strand's: ä/ö"):
            with self.assertRaises(KeyError):
                self.store[key]
            with self.assertRaises(KeyError):
                del self.store[key]
            self.assertNotIn(key, self.store)
        self.assertIsNone(self.store.get("nobody"))

    def test_keys_that_strand_would_not_take_are_kept_too(self):
        for key in ("computation:1", "ä/ö", "python.x", "a_b", ".", "x" * 20 + "é" * 3):
            self.store[key] = ComputationResult(key, ComputationStatus.COMPLETED)
            self.assertEqual(self.store[key].value, key)
            self.assertIn(key, list(self.store))


class TestSettings(Case):
    def test_setting_that_is_out_of_range_is_an_error(self):
        for settings, reason in (
            ({"cleanup_probability": 2.0}, "'cleanup-probability' of 'filesystem' is from 0.0 to 1.0, not 2.0"),
            ({"cleanup_probability": -0.1}, "'cleanup-probability'"),
            ({"ttl_seconds": -5}, "'ttl'"),
        ):
            with self.assertRaisesRegex(ValueError, reason):
                FileSystemStore(self.folder, **settings)
        store = FileSystemStore(self.folder, cleanup_probability=1.0, ttl_seconds=None)
        self.assertEqual((store.cleanup_probability, store.ttl_seconds), (1.0, None))

    def test_backend_setting_that_is_out_of_range_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "'workers' of 'thread'"):
            ThreadBackend(MemoryStore(), workers=-1)


class TestFileSystem(AnyStore, Missing, Case):
    def setUp(self):
        super().setUp()
        self.store = FileSystemStore(self.folder / "results", ttl_seconds=3600, auto_cleanup=False)

    def test_is_configured_as_the_original(self):
        path = self.folder / "other"
        store = FileSystemStore(
            str(path),
            ttl_seconds=60,
            serialization=SerializationFormat.PICKLE,
            auto_cleanup=True,
            cleanup_probability=0.25,
        )
        self.assertEqual(store.base_path, path)
        self.assertEqual(store.ttl_seconds, 60)
        self.assertTrue(store.auto_cleanup)
        self.assertEqual(store.cleanup_probability, 0.25)
        store["k"] = ComputationResult((1, {2}), ComputationStatus.COMPLETED)
        self.assertEqual(store["k"].value, (1, {2}))
        self.assertEqual(store.native.get("k").get_string(Strand.Field.SERIALIZER), "gvariant")

    def test_another_process_reads_it(self):
        self.store["shared"] = ComputationResult({"answer": 42}, ComputationStatus.COMPLETED)
        program = (
            "import sys; from strand.stores import FileSystemStore; "
            "print(FileSystemStore(sys.argv[1])['shared'].value['answer'])"
        )
        said = run_python("-c", program, self.store.base_path)
        self.assertEqual((said.stdout, said.stderr), ("42\n", ""))

    def test_automatic_cleanup_comes_with_accesses(self):
        store = FileSystemStore(self.folder / "auto", ttl_seconds=1, auto_cleanup=True, cleanup_probability=1.0)
        past = datetime.now() - timedelta(hours=1)
        store["old"] = ComputationResult(1, ComputationStatus.COMPLETED, created_at=past, completed_at=past)
        kept = self.folder / "auto"
        self.wait_until(lambda: store.get("something else") or not any(kept.glob("*/old.json")))


class TestMemory(AnyStore, Missing, Case):
    def setUp(self):
        super().setUp()
        self.store = MemoryStore(ttl_seconds=3600, auto_cleanup=False)


class TestSqlite(AnyStore, Missing, Case):
    def setUp(self):
        super().setUp()
        self.store = SqliteStore(self.folder / "results.db", ttl_seconds=3600, auto_cleanup=False)


class TestRedis(AnyStore, Missing, Case):
    def setUp(self):
        super().setUp()
        self.store = RedisStore(f"unix://{self.start_redis()}", prefix="test", ttl_seconds=3600, auto_cleanup=False)
        self.addCleanup(self.store.close)


class TestTemporary(AnyStore, Missing, Case):
    def setUp(self):
        super().setUp()
        self.store = TemporaryStore(self.folder, ttl_seconds=3600, auto_cleanup=False)

    def test_nothing_is_left_after_close(self):
        self.store["k"] = ComputationResult(1, ComputationStatus.COMPLETED)
        self.assertTrue(any(self.folder.rglob("*.json")))
        self.store.close()
        self.assertFalse(any(self.folder.rglob("*.json")))


class TestProgramsMapping(AnyStore, Case):
    def setUp(self):
        super().setUp()
        self.store = PickledStore(ttl_seconds=3600)

    def test_backend_uses_it(self):
        handle = call_demo(self.store.native, "demo.add", GLib.Variant("(xx)", (40, 2)))
        self.assertEqual(handle.get_result().unpack(), 42)
        self.assertEqual(self.store[handle.get_key()].value, 42)
        self.assertEqual(self.store.native.get_property("ttl"), 3600 * 1000000)

    def test_keys_that_are_listed_as_bytes_are_the_same_keys(self):
        class OfBytes(PickledStore):
            def __iter__(self):
                return iter([key.encode() for key in self.kept] + [b"\xff"])

        store = OfBytes()
        key = store.create_key()
        store[key] = ComputationResult(1, ComputationStatus.COMPLETED)
        (record,) = store.native.list(None, None, 10).get_records()
        self.assertEqual(store.native.get(record.get_key()).get_key(), record.get_key())

    def test_writers_do_not_overwrite_each_other(self):
        bridge = self.store.native
        first = Strand.Record.new("k")
        bridge.put(first, 0)
        with self.assertRaises(GLib.Error) as caught:
            bridge.put(Strand.Record.new("k"), 0)
        self.assertTrue(caught.exception.matches(Strand.error_quark(), Strand.Error.EXISTS))
        newer = bridge.get("k")
        bridge.put(newer, 1)
        with self.assertRaises(GLib.Error) as caught:
            bridge.put(first, 1)
        self.assertTrue(caught.exception.matches(Strand.error_quark(), Strand.Error.STALE))

    def test_pickled_result_is_the_record_itself(self):
        bridge = self.store.native
        record = Strand.Record.new("k")
        record.set_string(Strand.Field.FUNCTION, "some.function")
        record.set_int(Strand.Field.PRIORITY, 7)
        bridge.put(record, 0)
        again = bridge.get("k")
        self.assertEqual(again.to_json().get_data(), record.to_json().get_data())


class TestWrittenInPython(AnyStore, Missing, Case):
    def setUp(self):
        super().setUp()
        self.store = GObjectStore(ShelfStore(ttl=3600 * 1000000, auto_cleanup=False))

    def test_common_properties_come_by_themselves(self):
        store = ShelfStore()
        self.assertEqual(store.get_property("ttl"), -1)
        self.assertTrue(store.auto_cleanup)
        self.assertEqual(store.cleanup_probability, 0.1)
        self.assertEqual(store.max_record_size, 64 * 1024 * 1024)
        store.max_record_size = 10
        with self.assertRaises(GLib.Error) as caught:
            GObjectStore(store)["k"] = ComputationResult("much too long", ComputationStatus.COMPLETED)
        self.assertTrue(caught.exception.matches(Strand.error_quark(), Strand.Error.TOO_LARGE))

    def test_keyfile_names_it(self):
        Strand.Plugins.get_default().add_type(Strand.Kind.STORE, "shelf", ShelfStore.__gtype__)
        keyfile = "[store results]\ntype=shelf\nttl=90min\n"
        stack = Strand.Stack.new_from_data(keyfile.encode(), "here.conf")
        store = stack.ref_object(Strand.Kind.STORE, "results")
        self.assertIsInstance(store, ShelfStore)
        self.assertEqual(store.ttl, 90 * 60 * 1000000)

    def test_error_of_a_method_reaches_the_caller(self):
        store = FaultyStore()
        for key, said in (("k", "by nothing"), ("exit", "7"), ("stop", "KeyboardInterrupt")):
            with self.assertRaises(GLib.Error) as caught:
                store.get(key)
            self.assertIn(f"Could not read '{key}'", caught.exception.message)
            self.assertIn(said, caught.exception.message)
        with self.assertRaises(GLib.Error) as caught:
            store.put(Strand.Record.new("k"), 0)
        self.assertIn("no space left", caught.exception.message)

    def test_errors_that_are_told_are_not_reported_twice(self):
        program = (
            "import gi; gi.require_version('Strand', '1')\n"
            "from gi.repository import GLib\n"
            "from test_stores import FaultyStore, ShelfStore\n"
            "for store in FaultyStore(), ShelfStore():\n"
            "    try:\n"
            "        store.get('k')\n"
            "    except GLib.Error:\n"
            "        pass\n"
        )
        said = run_python("-c", program)
        self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_many_threads_count_together(self):
        store = ShelfStore()
        counter = Strand.Record.new("counter")
        store.put(counter, 0)

        def count():
            for _ in range(50):
                while True:
                    record = store.get("counter")
                    seen = record.get_revision()
                    record.set_int(Strand.Field.PRIORITY, record.get_int(Strand.Field.PRIORITY) + 1)
                    try:
                        store.put(record, seen)
                        break
                    except GLib.Error as error:
                        self.assertTrue(error.matches(Strand.error_quark(), Strand.Error.STALE))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(store.get("counter").get_int(Strand.Field.PRIORITY), 200)


class ReversedSerializer(GObject.Object, Strand.Serializer):
    """What a program writes that wants bytes of its own."""

    def do_serialize(self, value):
        return GLib.Bytes.new(value.print_(False).encode()[::-1])

    def do_deserialize(self, data, kind):
        try:
            return GLib.Variant.parse(kind, data.get_data()[::-1].decode(), None, None)
        except Exception:
            raise GLib.Error("that is no value", "strand-error-quark", Strand.Error.CORRUPT) from None


class TestSerializer(Case):
    def test_written_in_python(self):
        Strand.Plugins.get_default().add_type(Strand.Kind.SERIALIZER, "reversed", ReversedSerializer.__gtype__)
        store = MemoryStore()
        handle = call_demo(store.native, "demo.add", GLib.Variant("(xx)", (40, 2)), ReversedSerializer())
        self.assertEqual(handle.get_result().unpack(), 42)
        record = store.native.get(handle.get_key())
        self.assertEqual(record.get_bytes(Strand.Field.VALUE).get_data(), b"24")
        self.assertEqual(store[handle.get_key()].value, 42)


class TestAsStore(Case):
    def test_takes_what_is_one(self):
        store = MemoryStore()
        self.assertIs(as_store(store), store)
        self.assertIs(as_store(store.native).native, store.native)
        with self.assertRaisesRegex(TypeError, "is no store"):
            as_store(17)


if __name__ == "__main__":
    unittest.main()
