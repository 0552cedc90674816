#!/usr/bin/env python3
"""What a Python program sees through the typelib.            SPDX-License-Identifier: LGPL-2.1-or-later"""

import sys
import threading
import traceback

try:
    import gi

    gi.require_version("Strand", "1")
    from gi.repository import GLib, GObject, Strand
except (ImportError, ValueError) as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(0)

MINUTE = 60 * 1000000


def run_until(is_over):
    """Turns the default main context until IS_OVER() or a minute has passed."""
    context = GLib.MainContext.default()
    alarm = GLib.timeout_source_new_seconds(60)
    alarm.set_callback(lambda *_: GLib.SOURCE_REMOVE)
    alarm.attach(context)
    while not is_over() and not alarm.is_destroyed():
        context.iteration(True)
    assert is_over(), "a minute has passed"


def new_memory_store():
    return GObject.new(Strand.Plugins.get_default().load(Strand.Kind.STORE, "memory"))


def add(context, arguments, *_):
    first, second = arguments.unpack()
    return GLib.Variant("x", first + second)


def test_function_runs_in_a_thread_and_ends_in_the_main_loop():
    ends, threads = [], []

    def add_in_thread(context, arguments, *_):
        threads.append(threading.get_ident())
        return add(context, arguments)

    Strand.Registry.get_default().add("python.add", "a:x b:x -> x", "The sum", add_in_thread)
    task = Strand.Task.new_for_name("python.add", "thread")
    task.on_end(lambda call, value, *_: ends.append((value.unpack(), threading.get_ident())))
    handle = task.call(GLib.Variant("(xx)", (40, 2)))
    run_until(lambda: ends)

    assert ends == [(42, threading.get_ident())], ends
    assert threads != [threading.get_ident()]
    assert handle.get_result().unpack() == 42
    assert handle.props.status == Strand.Status.COMPLETED


def test_items_come_in_order_before_the_end():
    seen = []

    def count(context, arguments, *_):
        for number in range(arguments.unpack()[0]):
            context.emit(GLib.Variant("u", number))
        return None

    Strand.Registry.get_default().add("python.count", "n:u", "", count)
    task = Strand.Task.new_for_name("python.count", "thread")
    task.on_iter(lambda call, item, *_: seen.append(item.unpack()) or True)
    task.on_end(lambda call, value, *_: seen.append("end"))
    task.call(GLib.Variant("(u)", (3,)))
    run_until(lambda: "end" in seen)

    assert seen == [0, 1, 2, "end"], seen


def test_raised_error_reaches_the_caller():
    errors = []

    def fail(*_):
        raise GLib.Error("no such number", "python-error", 7)

    Strand.Registry.get_default().add("python.fail", "", "", fail)
    task = Strand.Task.new_for_name("python.fail", "thread")
    task.on_error(lambda call, error, *_: errors.append(error))
    task.call()
    run_until(lambda: errors)

    assert errors[0].domain == "python-error" and errors[0].code == 7, errors
    assert "no such number" in errors[0].message, errors


def test_wait_gives_the_value():
    Strand.Registry.get_default().add("python.add-and-wait", "a:x b:x -> x", None, add)
    handle = Strand.Task.new_for_name("python.add-and-wait", "thread").call(GLib.Variant("(xx)", (1, 2)))
    handle.wait(MINUTE)
    assert handle.get_result().unpack() == 3


def test_unknown_function_is_an_error_with_a_name():
    try:
        Strand.Task.new_for_name("python.nothing", "thread")
    except GLib.Error as error:
        assert error.matches(Strand.error_quark(), Strand.Error.UNKNOWN_FUNCTION), error
        assert "'python.nothing'" in error.message, error
    else:
        raise AssertionError("a task without a function")


def test_record_comes_back_from_a_store():
    store = new_memory_store()
    record = Strand.Record.new("job-1")
    record.set_string(Strand.Field.FUNCTION, "demo.add")
    record.set_int(Strand.Field.PRIORITY, 7)
    record.set_variant(Strand.Field.HEADERS, GLib.Variant("a{ss}", {"trace": "7f"}))
    store.put(record, 0)
    read = store.get("job-1")

    assert read.get_key() == "job-1" and read.get_revision() == 1
    assert read.get_int(Strand.Field.PRIORITY) == 7
    assert read.get_variant(Strand.Field.HEADERS).unpack() == {"trace": "7f"}
    assert [record.get_key() for record in store.list(None, None, 10).get_records()] == ["job-1"]


def test_missing_record_is_not_found():
    try:
        new_memory_store().get("job-1")
    except GLib.Error as error:
        assert error.matches(Strand.error_quark(), Strand.Error.NOT_FOUND), error
    else:
        raise AssertionError("a record that nobody put")


class DictStore(GObject.Object, Strand.Store):
    """A store in Python: what every store must have, and the properties that every store has."""

    ttl = GObject.Property(type=GObject.TYPE_INT64, default=-1, minimum=-1, maximum=GLib.MAXINT64)
    auto_cleanup = GObject.Property(type=bool, default=False)
    cleanup_probability = GObject.Property(type=float, default=0.1, minimum=0, maximum=1)
    max_record_size = GObject.Property(type=GObject.TYPE_INT64, default=-1, minimum=-1, maximum=GLib.MAXINT64)

    def __init__(self):
        super().__init__()
        self.records = {}

    def do_get(self, key):
        if key not in self.records:
            raise GLib.Error.new_literal(Strand.error_quark(), "no record has this key", Strand.Error.NOT_FOUND)
        return self.records[key].copy()

    def do_put(self, record, expected):
        self.records[record.get_key()] = record.copy()
        return True

    def do_remove(self, key, expected):
        del self.records[key]
        return True

    def do_list(self, wanted, cursor, limit):
        page = Strand.Page.new()
        for record in self.records.values():
            page.add(record)
        return page


def test_store_written_in_python_is_a_store():
    store = DictStore()
    store.put(Strand.Record.new("job-1"), 0)

    assert store.get("job-1").get_revision() == 1
    assert store.count(None) == 1
    store.remove("job-1", 0)
    try:
        store.get("job-1")
    except GLib.Error as error:
        assert error.matches(Strand.error_quark(), Strand.Error.NOT_FOUND), error
    else:
        raise AssertionError("a record that was removed")


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    failed = False
    print(f"1..{len(tests)}")
    for number, (name, test) in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} - {name[5:].replace('_', '-')}")
        except Exception:
            failed = True
            traceback.print_exc()
            print(f"not ok {number} - {name[5:].replace('_', '-')}")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
