"""exiting.py — the end of a program, while there is still an interpreter that its calls can run in.

As with threads and child processes of Python's own, a program ends when its calls have ended. Then its readers stop,
and its backends are closed, so that no thread of strand's calls Python when there is no Python any more. Calls that
were left in a store for others are not waited for, and a generator whose items nobody takes is cancelled.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import atexit
import contextlib
import threading

from gi.repository import GLib

_in_flight = {}  # what has to end first: by id a call of calls.py, its Strand.Handle, and whether it is idle
_changed = threading.Condition()  # somebody waits until a call is not in flight any more
_owners = []  # what has to be closed then, the last one first; kept, because its calls may outlive who made it


def begin(call, native, is_idle):
    """A call was made, which the end of the program waits for until done(); or cancels, if it `is_idle`."""
    _in_flight[id(call)] = call, native, is_idle


def done(call):
    """It has ended, and so have its callbacks."""
    with _changed:
        _in_flight.pop(id(call), None)
        _changed.notify_all()


def close_at_exit(owner):
    """Has `owner.close_at_exit()` called in the end."""
    _owners.append(owner)


def forget(owner):
    """It has been closed already."""
    with contextlib.suppress(ValueError):
        _owners.remove(owner)


def _wait_for(call, native, is_idle):
    from strand.handles import ComputationHandle

    if is_idle:
        native.cancel()
    ComputationHandle.for_native(native).wait()
    if call.on_runner:
        with _changed:
            _changed.wait_for(lambda: id(call) not in _in_flight)
    done(call)  # nobody may be left who iterates the main context that its callbacks wait for


def _wait_and_close():
    while _in_flight:
        for one in list(_in_flight.values()):
            _wait_for(*one)
    for owner in reversed(_owners[:]):
        with contextlib.suppress(GLib.Error):
            owner.close_at_exit()


atexit.register(_wait_and_close)
