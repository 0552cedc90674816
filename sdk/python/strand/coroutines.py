"""coroutines.py — the taskrunner that is an asyncio loop.

C's coroutines have stacks of their own, which the interpreter cannot follow, so a Python coroutine is
asyncio's. Calls go to the loop that runs where they are made; where none does, to one that runs on a thread
of this module's.                                                   SPDX-License-Identifier: LGPL-2.1-or-later
"""

import asyncio
import threading
import weakref

from gi.repository import GObject, Strand

from strand import calls, running
from strand.errors import METADATA, CancelledError, StrandError, as_failure, describe, to_error

_lock = threading.Lock()  # guards the next two
_runners = weakref.WeakKeyDictionary()  # by loop
_own_loop = None
_submitting = threading.local()


class LoopTaskrunner(GObject.Object, Strand.Taskrunner):
    """Runs Python functions as tasks of one asyncio loop."""

    def __init__(self, loop, thread_id):
        super().__init__()
        self.loop = loop
        self.thread_id = thread_id
        self.tasks = {}  # of asyncio, by Call; the loop's thread only, as the next
        self.room = {}  # an asyncio.Event by Strand.Call's key, for who waits for a consumer

    def do_get_traits(self):
        return Strand.RunnerTraits.CONCURRENT

    def do_needs_thread(self, native):
        return threading.get_ident() == self.thread_id

    def do_get_places(self):
        return 0

    def do_submit(self, native, may_block):
        call = _submitting.call
        # The loop is where it runs, and the caller may be there too: never before its next turn.
        self.loop.call_soon_threadsafe(self.start, call, native)
        return True

    def do_resume(self, native):
        self.loop.call_soon_threadsafe(self.make_room, native.get_key())

    def do_stop(self, native):
        return False

    def do_close(self, deadline_us):
        return True

    def make_room(self, key):
        event = self.room.pop(key, None)
        if event is not None:
            event.set()

    def start(self, call, native):
        if native.begin():
            task = self.loop.create_task(self.run(call, native))
            self.tasks[call] = task
            cancellable = native.get_cancellable()
            cancellable.connect(lambda *_: self.loop.call_soon_threadsafe(task.cancel))

    async def run(self, call, native):
        error = None
        try:
            call.value = await running.run_in_loop(
                call.function, call.arguments, call.keywords, running.Context(native, call.push_here(native)),
                call.on_iter is not None, lambda: self.pause(call, native)
            )
        except asyncio.CancelledError:
            error = to_error(CancelledError("the call was cancelled"))
        except BaseException as exception:
            failure = as_failure(exception)
            call.note(failure)
            if not isinstance(failure, StrandError):
                native.set_metadata(METADATA, describe(failure))
            error = to_error(failure)
        finally:
            self.tasks.pop(call, None)
        if error is not None:
            native.finish_with_error(error)
        else:
            native.finish_with_value(None)

    async def pause(self, call, native):
        """Between two items: waits for the consumer, and lets others have a turn."""
        if call.crowded:
            call.crowded = False
            event = self.room.setdefault(native.get_key(), asyncio.Event())
            await event.wait()
        elif call.yield_on_iter:
            await asyncio.sleep(0)


def _start_loop():
    """A loop on a thread of its own, for programs that have none."""
    started = threading.Event()

    def run():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        _runners[loop] = LoopTaskrunner(loop, threading.get_ident())
        loop.call_soon(started.set)
        loops.append(loop)
        loop.run_forever()

    loops = []
    threading.Thread(target=run, name="strand-asyncio", daemon=True).start()
    started.wait()
    return loops[0]


def _runner():
    global _own_loop
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        with _lock:
            if _own_loop is None:
                _own_loop = _start_loop()
            loop = _own_loop
    if loop not in _runners:
        _runners[loop] = LoopTaskrunner(loop, threading.get_ident())
    return _runners[loop]


def launch_in_loop(
    function, arguments, keywords, on_iter=None, on_end=None, on_error=None, yield_on_iter=True
):
    """As calls.launch(), at an asyncio loop."""
    return calls.launch(
        function, arguments, keywords, _runner(), on_iter, on_end, on_error, yield_on_iter=yield_on_iter,
        announce=_announce
    )


def _announce(call):
    _submitting.call = call
