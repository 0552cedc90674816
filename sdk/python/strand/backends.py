"""backends.py — what launches computations: a store, a place to run, and middleware, put together.

A backend of strand's own is a `local` backend: it writes the record, runs the function on a taskrunner, and looks
after it until it has ended. A backend in Python is a subclass of `ComputationBackend` whose `launch` does what it
likes and puts the result into the store in the end.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib, Strand

from .exiting import close_at_exit, forget
from .keys import strand_key
from .middleware import as_middleware
from .stores import as_store, microseconds, plugin_object


class ComputationBackend:
    """Base class for backends: `launch` starts a computation whose result is to be put into the store."""

    def __init__(self, store=None, middleware=None):
        self.store = as_store(store) if store is not None else None
        self.middleware = list(middleware or [])

    def launch(self, func, args, kwargs, key):
        """Starts `func(*args, **kwargs)`, and sees to it that `store[key]` becomes its result. Does not block."""
        raise NotImplementedError(f"{type(self).__name__} has no launch()")

    def terminate(self, key):
        """Somebody wants the computation to stop."""
        raise NotImplementedError(f"{type(self).__name__} cannot stop a computation")


class LocalBackend(ComputationBackend):
    """Runs computations on a taskrunner of strand's and keeps their results in a store."""

    target = "thread"

    def __init__(self, store, middleware=None, *, retries=0, timeout=None, grace=None, **settings):
        """`settings` are properties of the taskrunner, such as `workers`."""
        super().__init__(store, middleware)
        self.settings = settings
        self.taskrunner = plugin_object(Strand.Kind.TASKRUNNER, self.target, **settings)
        self.native = plugin_object(
            Strand.Kind.BACKEND,
            "local",
            taskrunner=self.taskrunner,
            store=self.store.native,
            middleware=as_middleware(self.middleware),
            serializer=serializer_of(self.store),
            retries=retries,
            timeout=microseconds(timeout),
            grace=None if grace is None else microseconds(grace),
        )
        close_at_exit(self)

    def close_at_exit(self):
        """The program ends: no thread may be left that still has to let go of something of Python's."""
        with contextlib.suppress(GLib.Error):
            self.close(timeout=0)
        self.taskrunner.close(GLib.get_monotonic_time())

    def terminate(self, key):
        """Asks for the computation to be stopped; False if it is too late."""
        return self.store.native.cancel_call(strand_key(key))

    def close(self, timeout=None):
        """Ends all use: what runs may go on for so many seconds, then it is cancelled."""
        deadline = -1 if timeout is None else GLib.get_monotonic_time() + microseconds(timeout)
        forget(self)
        self.native.close(deadline)


class ThreadBackend(LocalBackend):
    """Runs computations in threads of this program."""

    target = "thread"


class ProcessBackend(LocalBackend):
    """Runs computations in other processes, which are kept warm."""

    target = "process"


class CoroutineBackend(LocalBackend):
    """Runs computations as coroutines."""

    target = "coroutine"


def serializer_of(store):
    """What writes the values of a store's results."""
    serialization = getattr(store, "serialization", None)
    return plugin_object(Strand.Kind.SERIALIZER, serialization.serializer if serialization else "json")
