"""running.py — what a running function may ask and say, and how its result becomes items and a value.

context() answers on the thread, or in the asyncio task, that runs the function.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import asyncio
import collections.abc
import contextvars
import inspect
import time

from gi.repository import GLib, Strand

from strand.errors import CancelledError, from_error
from strand.values import from_variant, to_variant

_current = contextvars.ContextVar("strand-context", default=None)


class Context:
    """The running call, as its function sees it."""

    def __init__(self, native, emit):
        self.native = native  # a Strand.Context, or None where the call is no call of strand's
        self._emit = emit
        self.emitted = 0

    @property
    def key(self):
        return self.native.get_key() if self.native is not None else None

    @property
    def attempt(self):
        return self.native.get_attempt() if self.native is not None else 1

    @property
    def headers(self):
        return from_variant(self.native.dup_headers()) if self.native is not None else {}

    @property
    def cancelled(self):
        """Whether the call is to stop."""
        cancellable = self.native.get_cancellable() if self.native is not None else None
        return cancellable is not None and cancellable.is_cancelled()

    def check(self):
        """Raises CancelledError if the call is to stop."""
        if self.cancelled:
            raise CancelledError("the call was told to stop")

    def emit(self, item):
        """Passes an item to the caller; waits while its consumer is behind, raises if the call is to stop."""
        self.check()
        self.emitted += 1
        self._emit(item)

    def progress(self, fraction, message=None):
        """Says how far the function is, from 0 to 1, or -1 for unknown."""
        if self.native is not None:
            self.native.set_progress(fraction, message)

    def set_metadata(self, name, value):
        """Keeps a value beside the result."""
        if self.native is not None:
            self.native.set_metadata(name, to_variant(value))

    def sleep(self, seconds):
        """Sleeps; raises at once when the call is to stop."""
        if self.native is None:
            time.sleep(seconds)
            return
        if not isinstance(self.native, Strand.Context):
            raise RuntimeError("this would stop the asyncio loop: use 'await asyncio.sleep()'")
        try:
            self.native.sleep(round(seconds * 1000000))
        except GLib.Error as error:
            raise from_error(error) from None


def context():
    """The context of the call that runs here, or None outside of any."""
    return _current.get()


def refuse_stack_switch():
    """The interpreter's own stack of frames does not switch with a coroutine of C."""
    if Strand.coroutine_is_current():
        raise TypeError(
            "a Python function cannot run in a coroutine of C's: aim the task at 'thread', or make it a "
            "CoroutineTaskrunner, which uses asyncio"
        )


def is_streamed(result):
    """Whether a value is consumed by being looked at, so that it can only be passed on as items."""
    return isinstance(result, collections.abc.Iterator)


def is_iterated(result):
    """Whether on_iter is given the elements of a returned value."""
    return isinstance(result, collections.abc.Iterable) and not isinstance(result, (str, bytes, bytearray))


def pass_on(result, running, wants_items):
    """Emits what there is to iterate; gives the value that is left."""
    if is_streamed(result):
        try:
            while True:
                try:
                    item = next(result)
                except StopIteration as end:
                    return end.value
                running.emit(item)
        finally:
            if hasattr(result, "close"):
                result.close()  # so that a generator which is stopped cleans up now
    if wants_items and running.emitted == 0 and is_iterated(result):
        for item in result:
            running.emit(item)
    return result


async def _gather(result, running):
    if inspect.isawaitable(result):
        return await result
    try:
        async for item in result:
            running.emit(item)
    finally:
        await result.aclose()


def run(function, arguments, keywords, running, wants_items):
    """Calls a function, sees to its items, returns its value. An `async def` runs in a loop of its own."""
    token = _current.set(running)
    try:
        result = function(*arguments, **keywords)
        if inspect.isawaitable(result) or inspect.isasyncgen(result):
            result = asyncio.run(_gather(result, running))
        return pass_on(result, running, wants_items)
    finally:
        _current.reset(token)


async def run_in_loop(function, arguments, keywords, running, wants_items, pause):
    """The same inside a running asyncio loop, where `pause` is awaited after each item."""
    token = _current.set(running)
    try:
        result = function(*arguments, **keywords)
        if inspect.isawaitable(result):
            result = await result
        if inspect.isasyncgen(result):
            async for item in result:
                running.emit(item)
                await pause()
            return None
        streamed = is_streamed(result)
        if not streamed and not (wants_items and running.emitted == 0 and is_iterated(result)):
            return result
        items = iter(result)
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                return end.value if streamed else result
            running.emit(item)
            await pause()
    finally:
        _current.reset(token)
