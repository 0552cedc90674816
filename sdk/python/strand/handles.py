"""handles.py — the caller's view of one call.

Where the function ran in this process, the handle has the very object that it returned or raised. Otherwise it has
what came back as a GVariant, made a Python value again.

A blocking wait is made of short ones on the main thread, because only between two calls into C does the interpreter
look at signals: so Ctrl-C works.                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import asyncio
import contextlib
import math
import threading
import types

from gi.repository import GLib, Strand

from strand.errors import METADATA, CallTimeoutError, from_error, result_of
from strand.keys import mapping_key, strand_key
from strand.results import find_launched, status_of
from strand.values import from_variant

# Short enough that nobody thinks Ctrl-C has been missed.
_SLICE_US = 100000


class ComputationHandle:
    """One call: of a function that was just called, or, ComputationHandle(key, store), of any process."""

    __class_getitem__ = classmethod(types.GenericAlias)  # ComputationHandle[int], for type checkers

    def __init__(self, key, store):
        native_store = store if isinstance(store, Strand.Store) else store.native
        try:
            self._show(Strand.Handle.new(native_store, strand_key(key)), None)
        except GLib.Error as error:
            if find_launched(strand_key(key)) is not None:
                self._show(find_launched(strand_key(key)), None)
                return
            raise from_error(error) from None

    @classmethod
    def for_native(cls, native, call=None):
        """A handle for a Strand.Handle, and what tasks.py knows of the call."""
        self = cls.__new__(cls)
        self._show(native, call)
        return self

    def _show(self, native, call):
        self.native = native
        self._call = call

    def __repr__(self):
        return f"<ComputationHandle {self.native.get_call().get_function_name()}: {self.get_status().value}>"

    @property
    def key(self):
        return mapping_key(self.native.get_key())

    def is_ready(self):
        """Whether the call has ended, in whichever way."""
        return self.native.is_ready()

    def get_status(self):
        return status_of(self.native.get_status())

    @property
    def metadata(self):
        """What the function, and strand, noted beside the result."""
        native = self.native
        notes = {name: value for name, value in self._all_metadata().items() if name != METADATA}
        notes["attempt"] = native.get_attempt()
        for name in ("created", "started", "completed"):
            time_us = native.get_property(name)
            notes[name + "_at"] = time_us / 1000000 if time_us > 0 else None
        duration_us = native.get_duration()
        notes["duration"] = duration_us / 1000000 if duration_us >= 0 else None
        return notes

    def _all_metadata(self):
        return from_variant(self.native.dup_metadata()) or {}

    @property
    def progress(self):
        """From 0 to 1, or None while unknown."""
        progress = self.native.get_progress()
        return progress if progress >= 0 else None

    @property
    def message(self):
        return self.native.dup_message()

    def wait(self, timeout=None):
        """Waits for the end, in seconds; None for as long as it takes. Raises CallTimeoutError."""
        if self._call is not None and self._call.stream is not None and not self.is_ready():
            self._call.stream.drain(timeout)
            return
        end_us = None
        if timeout is not None and timeout != math.inf:
            end_us = GLib.get_monotonic_time() + max(round(timeout * 1000000), 0)
        sliced = threading.current_thread() is threading.main_thread()
        while not self.native.is_ready():
            left_us = -1 if end_us is None else max(end_us - GLib.get_monotonic_time(), 0)
            try:
                self.native.wait(_SLICE_US if sliced and not 0 <= left_us <= _SLICE_US else left_us)
            except GLib.Error as error:
                if self.native.is_ready():
                    return  # the wait tells how the call ended, and so does get_result()
                if not error.matches(Strand.error_quark(), Strand.Error.WAIT_TIMED_OUT):
                    raise from_error(error) from None
                if end_us is not None and GLib.get_monotonic_time() >= end_us:
                    raise CallTimeoutError(
                        f"the call has not ended in the {timeout} s waited for; it goes on",
                        Strand.Error.WAIT_TIMED_OUT,
                    ) from None

    def get_result(self, timeout=None):
        """The value, or the exception that the function raised.

        Waits for `timeout` seconds (math.inf: as long as it takes); without one it fails at once with NotReadyError
        where the call has not ended.
        """
        if timeout is not None and not self.is_ready():
            self.wait(timeout)
        return self._take_result()

    def _take_result(self):
        call = self._call
        if call is not None and self.is_ready():
            call.looked = True
        try:
            value = self.native.get_result()
        except GLib.Error as error:
            exception = call.exception if call is not None else None
            if exception is None:
                exception = from_error(error, self._all_metadata())
            raise exception from exception.__cause__
        if call is not None and not call.by_value:
            return call.value
        held = self.native.get_object()
        return held if held is not None else result_of(value)

    def exception(self):
        """The exception that get_result() raises, or None."""
        try:
            self.get_result()
        except Exception as error:
            return error
        return None

    def cancel(self):
        """Asks the call to stop. False if it has ended already."""
        return self.native.cancel()

    # Under asyncio.

    def __await__(self):
        return self._wait_in_loop().__await__()

    async def _wait_in_loop(self):
        loop = asyncio.get_running_loop()
        if self.is_ready():
            return self._take_result()
        if self._call is not None and self._call.stream is None:
            ended = loop.create_future()
            self._call.when_ended(lambda: _wake_in(loop, ended))
            try:
                await ended
            except asyncio.CancelledError:
                self.cancel()
                raise
            return self._take_result()
        try:
            await loop.run_in_executor(None, self.wait)
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._take_result()

    async def __aiter__(self):
        """The items, each as it comes; at the end the exception that the function raised."""
        if self._call is None or self._call.stream is None:
            raise TypeError(
                "this call has no items to iterate: its function is no generator, its items go to on_iter, or it was "
                "called where no asyncio loop ran"
            )
        loop = asyncio.get_running_loop()
        stream = self._call.stream
        try:
            while True:
                items = await loop.run_in_executor(None, stream.take)
                for item in items:
                    yield item
                if not items:
                    break
        except (asyncio.CancelledError, GeneratorExit):
            self.cancel()
            stream.abandon()
            raise
        self._take_result()


def _wake_in(loop, future):
    """Tells a loop, which may have ended before the call did."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_wake, future)


def _wake(future):
    if not future.done():
        future.set_result(None)


def wait_for_all(handles, timeout=None):
    """Waits until all have ended, however; raises CallTimeoutError if that takes longer."""
    end_us = None if timeout is None else GLib.get_monotonic_time() + round(timeout * 1000000)
    for handle in handles:
        left = None if end_us is None else (end_us - GLib.get_monotonic_time()) / 1000000
        if left is not None and left < 0 and not handle.is_ready():
            raise CallTimeoutError("not every call has ended in time", Strand.Error.WAIT_TIMED_OUT)
        if not handle.is_ready():
            handle.wait(left)
