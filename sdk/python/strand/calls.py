"""calls.py — one call of a Python function: launch() makes it, and says where its callbacks come.

Each call has a Strand.Task of its own, whose closures know the call. A taskrunner in this process runs the function
with the caller's own objects, and the caller gets the very object that it returns or raises; everything else (another
process, a store) gets copies by value (values.py).

Callbacks come in the main context if a main loop is running there when the call is made, or if use_main_loop() has
announced one; else on the runner's thread.

A generator that is called under asyncio without an on_iter is a stream: its items wait for `async for`. They come
through a main context that nobody else iterates, so a generator is as far ahead as strand's limit allows, and waits.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import asyncio
import collections
import inspect
import sys
import threading
import weakref

from gi.repository import GLib, Strand

from strand import exiting, functions, running
from strand.errors import CallTimeoutError, CancelledError, as_failure, from_error, result_of, tell
from strand.handles import ComputationHandle
from strand.results import forget_launched, note_launched
from strand.values import from_variant, split_types, to_arguments, to_keywords, to_variant

_main_loop_announced = False


def use_main_loop(announced=True):
    """Says that the program will run a GLib main loop: callbacks of calls made before come there too."""
    global _main_loop_announced
    _main_loop_announced = announced


def main_loop_runs():
    """Whether callbacks of a call that is made here come in this thread's main context."""
    context = GLib.MainContext.get_thread_default() or GLib.MainContext.default()
    return _main_loop_announced or GLib.main_depth() > 0 or context.is_owner()


def _asyncio_runs():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_generator(function):
    function = inspect.unwrap(functions.unwrap(function)) if callable(function) else function
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def report(exception):
    """An exception that nobody is there to be told of."""
    sys.excepthook(type(exception), exception, exception.__traceback__)


def _failures():
    """What a callback may fail with: on a thread of a runner's, nothing that it raises ends the program."""
    return Exception if threading.current_thread() is threading.main_thread() else BaseException


class Stream:
    """The items of one call, for a consumer that takes them when it wants to."""

    def __init__(self):
        self.context = GLib.MainContext.new()
        self.items = collections.deque()
        self.ended = False
        self.dropping = False

    def push(self, item):
        if not self.dropping:
            self.items.append(item)

    def take(self):
        """Blocks until there are items, and gives them; none at the end. Any thread, one at a time."""
        while not self.items and not self.ended and not self.dropping:
            self.context.iteration(True)
        taken = list(self.items)
        self.items.clear()
        return taken

    def drain(self, timeout=None):
        """Waits for the end without the items."""
        self.dropping = True
        expired = []
        alarm = None
        if timeout is not None:
            alarm = GLib.timeout_source_new(max(round(timeout * 1000), 0))
            alarm.set_callback(lambda *_: expired.append(True) or GLib.SOURCE_REMOVE)
            alarm.attach(self.context)
        while not self.ended and not expired:
            self.context.iteration(True)
        if alarm is not None:
            alarm.destroy()
        if not self.ended:
            raise CallTimeoutError("the call has not ended in time", Strand.Error.WAIT_TIMED_OUT)

    def abandon(self):
        """Nobody will take the rest. What is emitted still has to be dispatched, or the function waits for ever."""
        self.dropping = True
        self.context.wakeup()
        if not self.ended:
            threading.Thread(target=self.drain, name="strand-drain", daemon=True).start()


class Call:
    """What Python knows of one call."""

    def __init__(self, function, arguments, keywords, on_iter, on_end, on_error):
        self.function = functions.unwrap(function)
        self.arguments = arguments
        self.keywords = keywords
        self.on_iter = on_iter
        self.on_end = on_end
        self.on_error = on_error
        self.by_value = True
        self.on_runner = True  # that is where the callbacks come
        self.stream = None
        self.yield_on_iter = True
        self.crowded = False  # the consumer is behind, for who can only look at it later
        self.handle = None  # a weak reference
        self.looked = False  # somebody asked how it ended
        self.value = None
        self.exception = None
        self.over = False  # all callbacks have come back, and all is reported
        self._items = collections.deque()
        self._lock = threading.Lock()  # guards the next two
        self._ended = False
        self._waiters = []

    def when_ended(self, tell):
        """Has somebody told of the end, on whichever thread that comes."""
        with self._lock:
            if not self._ended:
                self._waiters.append(tell)
                return
        tell()

    def _end(self):
        with self._lock:
            self._ended = True
            waiters, self._waiters = self._waiters, []
        if self.stream is not None:
            self.stream.ended = True
        try:
            for tell in waiters:
                tell()
            if self.handle is not None and self.handle() is None:
                self._report_unseen()
        finally:
            self.over = True
            exiting.done(self)

    # In this process.

    def run_here(self, native, arguments, *_):
        """The function of a call by reference."""
        try:
            running.refuse_stack_switch()
            context = running.Context(native, lambda item: self._emit_here(native.emit, item))
            self.value = running.run(self.function, self.arguments, self.keywords, context, self.on_iter is not None)
        except BaseException as exception:
            failure = as_failure(exception)
            self.note(failure)
            functions.raise_error(native, failure)
        finally:
            self.arguments = self.keywords = None
        return None

    def note(self, exception):
        """The first exception is what happened; that a stopped function is told to stop comes of it."""
        if self.exception is None and not isinstance(exception, GLib.Error):
            self.exception = exception

    def _emit_here(self, emit, item):
        if self.on_iter is None and self.stream is None:
            return
        self._items.append(item)
        try:
            emit(GLib.Variant.new_boolean(True))
        except GLib.Error as error:
            raise from_error(error) from None

    def push_here(self, native):
        """How a function in an asyncio loop emits."""

        def push(item):
            if self.on_iter is not None or self.stream is not None:
                self._items.append(item)
                self.crowded = not native.push_item(GLib.Variant.new_boolean(True))

        return push

    # Callbacks.

    def item_came(self, native, item, *_):
        value = from_variant(item) if self.by_value else self._items.popleft()
        if self.stream is not None:
            self.stream.push(value)
            return True
        try:
            self.on_iter(value)
        except _failures() as exception:
            self.exception = exception
            raise tell(exception) from None
        return True

    def completed(self, native, value, *_):
        try:
            if self.on_end is not None:
                try:
                    self.on_end(result_of(value) if self.by_value else self.value)
                except _failures() as exception:
                    self._tell(exception)
        finally:
            self._end()

    def failed(self, native, error, *_):
        try:
            if self.exception is None:
                self.exception = self._make_exception(native, error)
            if self.on_error is not None:
                self._tell(self.exception)
        finally:
            self._end()

    def dropped(self):
        """Nobody has the handle any more."""
        if self.stream is not None:
            self.stream.abandon()
        self._report_unseen()

    def _report_unseen(self):
        """An error of which nobody was told, and nobody can ask any more."""
        if isinstance(self.exception, CancelledError):
            return  # somebody wanted that
        with self._lock:
            unseen = self._ended and self.exception is not None and self.on_error is None and not self.looked
            self.looked = self.looked or unseen
        if unseen:
            report(self.exception)

    def _make_exception(self, native, error):
        return from_error(error, from_variant(native.dup_metadata()))

    def _tell(self, exception):
        if self.on_error is None:
            report(exception)
            return
        try:
            self.on_error(exception)
        except _failures() as further:
            report(further)

    # Making it.

    def make_task(self, target):
        """A Strand.Task aimed at an object."""
        self.by_value = not (
            isinstance(target, Strand.Taskrunner)
            and not target.get_traits() & Strand.RunnerTraits.OTHER_PROCESS
            and not isinstance(self.function, (str, Strand.Function))
        )
        task = Strand.Task.new(self._native_function(), target)
        if self.on_iter is not None or self.stream is not None:
            task.on_iter(self.item_came)
        task.on_end(self.completed)
        task.on_error(self.failed)
        self.on_runner = self.stream is None and not main_loop_runs()
        task.props.on_runner = self.on_runner
        return task

    def _native_function(self):
        if isinstance(self.function, str):
            return Strand.Registry.get_default().lookup(self.function)
        if self.by_value:
            return functions.function_for(self.function)
        return Strand.Function.new(
            functions.name_of(self.function), "", None, Strand.Traits.NONE, self.run_here
        )

    def pack(self):
        """The arguments as strand takes them: a tuple and an a{sv}, or nothing for a call by reference."""
        if not self.by_value:
            return None, None
        if isinstance(self.function, (str, Strand.Function)):
            return self._pack_for_c()
        packed = GLib.Variant.new_tuple(to_arguments(self.arguments), to_keywords(self.keywords))
        return packed, None

    def _pack_for_c(self):
        """Each argument becomes what the function declares."""
        function = self._native_function()
        types = split_types(function.get_parameter_type().dup_string()[1:-1])
        named = dict(zip(function.get_parameter_names(), types))
        types += [None] * (len(self.arguments) - len(types))
        given = GLib.Variant.new_tuple(*map(to_variant, self.arguments, types))
        builder = GLib.VariantBuilder.new(GLib.VariantType.new("a{sv}"))
        for name, value in self.keywords.items():
            boxed = GLib.Variant.new_variant(to_variant(value, named.get(name)))
            builder.add_value(GLib.Variant.new_dict_entry(GLib.Variant.new_string(name), boxed))
        return given, builder.end()


def find_target(target):
    """The taskrunner or backend of a name, or the object itself."""
    if isinstance(target, (Strand.Taskrunner, Strand.Backend)):
        return target
    if not isinstance(target, str):
        raise TypeError(f"{target!r} is no target: a name, a Strand.Taskrunner and a Strand.Backend are")
    try:
        return Strand.Stack.get_default().ref_target(target)
    except GLib.Error as error:
        raise from_error(error) from None


def launch(
    function,
    arguments,
    keywords,
    target="thread",
    on_iter=None,
    on_end=None,
    on_error=None,
    options=None,
    *,
    yield_on_iter=True,
    announce=None,
    is_left=False,
):
    """Calls a function at a target (a name, a Strand.Taskrunner, a Strand.Backend) and gives a ComputationHandle.

    The function is a Python callable, or the name of one that a function module brought. Whatever goes wrong with the
    call, its handle and on_error tell; TypeError and ValueError of arguments that cannot be copied are raised here. The
    end of the program waits for the call, unless it `is_left` to others.
    """
    if functions.loading_main:
        raise RuntimeError(
            "a helper process loads the functions of this program, and one of the statements that they need calls a "
            "task: put what the program does under 'if __name__ == \"__main__\":'"
        )
    call = Call(function, arguments, keywords, on_iter, on_end, on_error)
    call.yield_on_iter = yield_on_iter
    if on_iter is None and not isinstance(function, str) and _is_generator(function) and _asyncio_runs():
        call.stream = Stream()
        call.stream.context.push_thread_default()
    try:
        task = call.make_task(find_target(target))
        positional, named = call.pack()
        if call.by_value and call.on_iter is not None and not isinstance(call.function, (str, Strand.Function)):
            options = options.copy() if options is not None else Strand.Options.new()
            options.set_header(functions.ITEMS_HEADER, "each")
        if announce is not None:
            announce(call)
        native = task.call_full(positional, named, options)
    except GLib.Error as error:
        raise from_error(error) from None
    finally:
        if call.stream is not None:
            call.stream.context.pop_thread_default()
    if not is_left:
        exiting.begin(call, native, on_iter is None and _is_generator(call.function))
        if call.over:
            exiting.done(call)
    if isinstance(task.ref_target(), Strand.Backend):
        key = native.get_key()
        note_launched(key, native)
        call.when_ended(lambda: forget_launched(key))
    handle = ComputationHandle.for_native(native, call)
    call.handle = weakref.ref(handle)
    weakref.finalize(handle, call.dropped).atexit = False
    return handle
