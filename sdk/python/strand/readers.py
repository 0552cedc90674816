"""readers.py — calls that are left in a store, and who runs them there.

A `StoreTaskWriter` leaves a pending record, by way of a `store` backend; a `StoreTaskReader` is a `Strand.Reader`: it
claims such records under a lease and runs them. In a store of strand's these are its records, so `strand worker` and
readers in C see them, too. In any other mapping (`MappingStore`) a task is a dictionary with a function's name and its
arguments, so that a consumer that knows nothing of strand can take it, and leave one.

Functions go by name. A reader runs those that its program has: a module that is not imported is not imported because
a record says so.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import importlib
import time

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib, Strand

from . import arguments, calls, errors, functions, results
from .backends import serializer_of
from .exiting import close_at_exit, forget
from .keys import mapping_key, strand_key
from .middleware import as_middleware
from .results import ComputationStatus
from .stores import GObjectStore, as_store, microseconds, plugin_object
from .tasks import _Launcher

DEFAULT_QUEUE = "default"

# What a dictionary says of its status.
_WORDS = {
    ComputationStatus.PENDING: "new",
    ComputationStatus.RUNNING: "running",
    ComputationStatus.COMPLETED: "complete",
    ComputationStatus.FAILED: "error",
    ComputationStatus.CANCELLED: "cancelled",
}


class StoreTaskWriter(_Launcher):
    """Leaves its calls in a store, for readers. Calling it returns a handle, whose key is the task's: `task_id`, if the
    call has a keyword of that name."""

    target = "store"

    def __init__(self, func, store, *init_args, read_store=None, pickle_func=False, get_result=None, **init_kwargs):
        """`read_store` is read here at once, by a reader of its own; or it is a `StoreTaskReader`. `pickle_func` changes nothing: functions go by
        name, never as code. `get_result(task_id)` says where `result` comes from, if it is not the store."""
        super().__init__(func, *init_args, **init_kwargs)
        self.store = as_store(store)
        self.pickle_func = pickle_func
        self.get_result = get_result
        self.handle = None
        self.task_id = None
        self.backend = plugin_object(
            Strand.Kind.BACKEND,
            "store",
            store=self.store.native,
            serializer=serializer_of(self.store),
            queue=DEFAULT_QUEUE,
        )
        functions.function_for(self.strand_function)
        close_at_exit(self)
        self.reader = None
        if read_store is not None:
            own = self.store if read_store is store else read_store
            self.reader = own if isinstance(own, StoreTaskReader) else StoreTaskReader(own)
            self.reader.listen()

    def close_at_exit(self):
        """The program ends; the tasks stay."""
        self.backend.close(GLib.get_monotonic_time())

    def _call(self, args, kwargs):
        task_id = kwargs.pop("task_id", None)
        options = Strand.Options.new()
        options.set_key(strand_key(task_id) if task_id is not None else own_key(self.store))
        self.handle = calls.launch(
            self.strand_function, args, kwargs, self.backend, options=options, is_left=True, **self._settings()
        )
        self.task_id = self.handle.key
        return self.handle

    @property
    def result(self):
        """The value of the last call, or None while there is none."""
        if self.task_id is None:
            return None
        if self.get_result is not None:
            return self.get_result(self.task_id)
        result = self.store.get(self.task_id)
        return result.value if result is not None else None

    def __get__(self, instance, owner=None):
        if instance is not None:
            raise TypeError("a method of an object cannot be left in a store: another process has no such object")
        return self


class StoreTaskReader:
    """Runs the tasks of a store here, in threads, one after the other for each of `jobs`."""

    def __init__(
        self, store, get_task_func=None, *, modules=(), queues=(DEFAULT_QUEUE,), jobs=0, middleware=None
    ):
        """`get_task_func(item)` gives the callable that a task is for: `item` has `name`, `args` and `kwargs`. Without
        it, a task names a function that this program has given to a task, or one that is defined in `modules`."""
        self.store = as_store(store)
        self.get_task_func = get_task_func
        for module in modules:
            _give_functions(module)
        self.taskrunner = plugin_object(Strand.Kind.TASKRUNNER, "thread")
        self.native = Strand.Reader(
            store=self.store.native,
            taskrunner=self.taskrunner,
            queues=list(queues),
            jobs=jobs,
            middleware=as_middleware(middleware),
        )
        if get_task_func is not None:
            self.native.set_resolver(self._resolve)
        close_at_exit(self)

    def close_at_exit(self):
        """The program ends: what runs here is given back."""
        with contextlib.suppress(GLib.Error):
            self.stop(timeout=0)
        self.taskrunner.close(GLib.get_monotonic_time())

    def listen(self):
        """Begins to run tasks, on threads of its own."""
        self.native.listen()
        return self

    def stop(self, timeout=None):
        """Takes no more. What runs may go on for so many seconds (30), then it is given back."""
        deadline = -1 if timeout is None else GLib.get_monotonic_time() + microseconds(timeout)
        forget(self)
        self.native.stop(deadline)

    def wait_idle(self, timeout=None):
        """Waits until nothing that is due is left, and nothing runs."""
        deadline = -1 if timeout is None else GLib.get_monotonic_time() + microseconds(timeout)
        self.native.wait_idle(deadline)

    def __enter__(self):
        return self.listen()

    def __exit__(self, *error):
        self.stop()

    def _resolve(self, reader, record, *data):
        try:
            args, kwargs = arguments.unpack(record.dup_arguments())
            item = {
                "key": mapping_key(record.get_key()),
                **_named(record),
                "args": list(args),
                "kwargs": kwargs,
            }
            func = self.get_task_func(item)
            if func is None:
                raise LookupError(f"no function is known for '{item['name']}'")
            return functions.function_for(func)
        except Exception as error:
            raise errors.tell(error) from None


def _give_functions(module):
    """Lets calls name what a module (or a name of one, which is imported) defines."""
    if isinstance(module, str):
        module = importlib.import_module(module)
    for function in functions.defined_in(module):
        functions.function_for(function)


def own_key(store):
    """The key that a store written in Python gives to a call; strand's own make none."""
    return None if isinstance(store, GObjectStore) else strand_key(store.create_key())


def _named(record):
    """The function's own name, as its author wrote it, and strand's."""
    whole = record.get_string(Strand.Field.FUNCTION) or ""
    return {"name": whole.rpartition(".")[2], "function": whole}


def item_of_result(result, base=None):
    """The dictionary that stands for a result in a mapping that is not strand's."""
    record = results.record_of(result)
    item = dict(base or {})
    if record is not None:
        args, kwargs = arguments.unpack(record.dup_arguments())
        item.update(_named(record), args=list(args), kwargs=kwargs)
        item["record"] = record.to_json().get_data().decode()
    item.setdefault("func", None)
    item["start_time"] = round(result.created_at.timestamp() * 1000)
    item["task_status"] = _WORDS[result.status]
    item["result"] = result.value
    item["error"] = None if result.error is None else f"{type(result.error).__name__}: {result.error}"
    return item


def record_of_item(key, item):
    """The record of a task that somebody else put into a mapping: pending, in the queue that readers listen to."""
    record = Strand.Record.new(key)
    args = [*item.get("init_args", ()), *item.get("args", ())]
    kwargs = {**item.get("init_kwargs", {}), **item.get("kwargs", {})}
    record.set_string(Strand.Field.FUNCTION, item.get("function") or item["name"])
    record.set_string(Strand.Field.QUEUE, DEFAULT_QUEUE)
    record.set_int(Strand.Field.CREATED, int(item.get("start_time", time.time() * 1000)) * 1000)
    record.set_int(Strand.Field.REVISION, 1)
    record.set_arguments(arguments.pack(args, kwargs), plugin_object(Strand.Kind.SERIALIZER, "json"))
    return record


def result_of_item(key, item):
    """The result that a dictionary stands for."""
    text = item.get("record")
    if text is not None:
        return results.from_json(text.encode())
    return results.from_record(record_of_item(strand_key(key), item))
