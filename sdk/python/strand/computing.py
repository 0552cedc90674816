"""computing.py — functions whose calls are kept: `async_compute`.

A decorated function returns a handle at once. Where it runs and where its result is kept, the arguments say; without
any, the program's stack does (a keyfile, or strand's own defaults: processes, and files below XDG_STATE_HOME). Nothing
is made before it is needed, so decorating a function costs nothing.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import functools
import threading
import types
from pathlib import Path

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib, Strand

from . import calls, functions
from .backends import ProcessBackend
from .handles import ComputationHandle
from .readers import own_key
from .results import ComputationResult, ComputationStatus, SerializationFormat
from .stores import FileSystemStore, GObjectStore, TemporaryStore, as_store

_DEFAULT_TTL_SECONDS = 3600

# A call whose result somebody has is not quite over for its backend; longer than that takes on a busy machine.
_LAST_STEPS_SECONDS = 1


def default_base_path():
    """Where computations are kept that say nothing else."""
    return Path(GLib.get_user_state_dir()) / "strand" / "computations"


class _Stacked:
    """What a function uses that says nothing: the default backend of the program's stack, and its store."""

    middleware = ()

    def __init__(self):
        self.native = Strand.Stack.get_default().ref_target(None)
        self.store = GObjectStore(self.native.get_store())


def _make_backend(backend, store, base_path, ttl_seconds, serialization, middleware):
    if backend is not None:
        if isinstance(backend, type):
            return backend(_make_store(store, base_path, ttl_seconds, serialization), middleware=middleware)
        return backend
    if store is base_path is ttl_seconds is serialization is middleware is None:
        return _Stacked()
    return ProcessBackend(_make_store(store, base_path, ttl_seconds, serialization), middleware=middleware)


def _make_store(store, base_path, ttl_seconds, serialization):
    if store is not None:
        return as_store(store)
    return FileSystemStore(
        default_base_path() if base_path is None else base_path,
        ttl_seconds=_DEFAULT_TTL_SECONDS if ttl_seconds is None else ttl_seconds,
        serialization=SerializationFormat.JSON if serialization is None else serialization,
    )


class AsyncFunction:
    """A function whose calls are computations: calling it returns a `ComputationHandle`."""

    __class_getitem__ = classmethod(types.GenericAlias)  # AsyncFunction[[int], str], for type checkers

    def __init__(self, func, make_backend):
        functools.update_wrapper(self, func)
        self.strand_function = functions.unwrap(func)
        self.strand_is_static = functions.is_static(func)
        self._make_backend = make_backend
        functions.note(func)

    @property
    def backend(self):
        """What launches its calls."""
        return self._make_backend()

    @property
    def store(self):
        """Where its results are."""
        return self.backend.store

    def cleanup_expired(self):
        """Removes results from its store that have outlived their time to live; how many there were."""
        return self.store.cleanup_expired()

    def __get__(self, instance, owner=None):
        return self if instance is None or self.strand_is_static else functools.partial(self, instance)

    def __call__(self, *args, **kwargs):
        backend = self.backend
        if not hasattr(backend, "native"):
            return _launch_in_python(backend, self.strand_function, args, kwargs)
        options = Strand.Options.new()
        options.set_key(own_key(backend.store))
        return calls.launch(self.strand_function, args, kwargs, backend.native, options=options)


def _launch_in_python(backend, func, args, kwargs):
    """A backend that is a Python class: middleware, the pending record, and then it is the backend's."""
    store = backend.store
    key = store.create_key()
    for one in backend.middleware:
        one.before_compute(func, args, kwargs, key)
    store[key] = ComputationResult(None, ComputationStatus.PENDING)
    backend.launch(func, args, kwargs, key)
    return ComputationHandle(key, store)


def async_compute(
    backend=None, *, store=None, base_path=None, ttl_seconds=None, serialization=None, middleware=None
):
    """Makes calls of a function computations: `@async_compute()`, or `@async_compute`.

    backend        what launches them, an object or a class; ProcessBackend by default
    store          where results are kept; a FileSystemStore by default
    base_path      that store's directory; $XDG_STATE_HOME/strand/computations by default
    ttl_seconds    how long it keeps a result after its end, 3600 by default
    serialization  how it writes values, SerializationFormat.JSON by default
    middleware     what wraps the calls, outermost first

    With none of these, the program's stack decides.
    """
    if callable(backend) and not isinstance(backend, type):
        return async_compute()(backend)

    lock = threading.Lock()
    made = []

    def make_backend():
        with lock:
            if not made:
                made.append(_make_backend(backend, store, base_path, ttl_seconds, serialization, middleware))
            return made[0]

    return lambda func: AsyncFunction(func, make_backend)


@contextlib.contextmanager
def temporary_async_compute(backend=None, *, ttl_seconds=None, serialization=SerializationFormat.JSON, middleware=None):
    """A decorator whose computations, and all they have left, are gone when the context ends."""
    store = TemporaryStore(ttl_seconds=ttl_seconds, serialization=serialization)
    kind = ProcessBackend if backend is None else backend
    launcher = kind(store, middleware=middleware)
    try:
        yield async_compute(launcher)
    finally:
        with contextlib.suppress(GLib.Error):  # what still ran was cancelled, as it should be
            launcher.close(timeout=_LAST_STEPS_SECONDS)
        store.close()
