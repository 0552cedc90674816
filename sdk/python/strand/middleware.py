"""middleware.py — what wraps calls, written in Python.

A `Middleware` is a plain class with three hooks. It lives in the program that owns the backend or reader, whatever
runs the functions, so what it counts is complete. `before_compute` refuses a call by raising: the caller gets the
exception, through the handle or, where it is asked for, at the call itself, and the function does not run. What
`after_compute` and `on_error` raise becomes a warning on the record.

Hooks run on threads of the backend, several at once for different calls; a middleware that keeps a state and does
not want to be asked twice at once says so with a lock of its own.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import functools
import logging
import re
import threading
import time
from datetime import datetime

import gi

gi.require_version("Strand", "1")
from gi.repository import Gio, GObject, Strand

from . import arguments, errors, results, values
from .keys import mapping_key
from .stores import plugin_object


class Middleware:
    """Base class for middleware: override what is of interest."""

    def before_compute(self, func, args, kwargs, key):
        """A call is about to run. Raising refuses it."""

    def after_compute(self, key, result):
        """A call has completed; `result` is a `ComputationResult`."""

    def on_error(self, key, error):
        """A call has failed, was cancelled or refused; `error` is an exception."""


class LoggingMiddleware(Middleware):
    """Says what starts and ends, to a logger of Python's."""

    def __init__(self, level=logging.DEBUG, logger=None):
        self.level = level
        self.logger = logger or logging.getLogger("strand")

    def before_compute(self, func, args, kwargs, key):
        self.logger.log(self.level, "%s of %s starts", key, getattr(func, "__name__", func))

    def after_compute(self, key, result):
        took = result.duration
        seconds = took.total_seconds() if took is not None else 0.0
        self.logger.log(self.level, "%s has completed after %.3f s", key, seconds)

    def on_error(self, key, error):
        self.logger.log(max(self.level, logging.ERROR), "%s has failed: %s", key, error)


class MetricsMiddleware(Middleware):
    """Counts calls and how long they take."""

    def __init__(self):
        self._lock = threading.Lock()  # guards everything below
        self._started = {}
        self._total = 0
        self._completed = 0
        self._failed = 0
        self._seconds = 0.0

    def before_compute(self, func, args, kwargs, key):
        with self._lock:
            self._total += 1
            self._started[key] = time.monotonic()

    def after_compute(self, key, result):
        with self._lock:
            started = self._started.pop(key, None)
            took = result.duration
            if took is not None:
                self._seconds += took.total_seconds()
            elif started is not None:
                self._seconds += time.monotonic() - started
            self._completed += 1

    def on_error(self, key, error):
        with self._lock:
            self._started.pop(key, None)
            self._failed += 1

    def get_stats(self):
        """`total`, `completed`, `failed` calls, those `running`, and `avg_duration` of the completed, in seconds."""
        with self._lock:
            return {
                "total": self._total,
                "completed": self._completed,
                "failed": self._failed,
                "running": len(self._started),
                "avg_duration": self._seconds / self._completed if self._completed else 0.0,
            }


class SharedMetricsMiddleware(MetricsMiddleware):
    """The same: a middleware of strand's sees every call of its backend, whichever process runs it."""


class _Hooks(GObject.Object, Strand.Middleware):
    """Lets strand use a middleware that is a Python class. Its type is named after that class in messages."""

    def __init__(self, hooks):
        super().__init__()
        self.hooks = hooks

    def do_before(self, attempt):
        args, kwargs = arguments.unpack(attempt.get_arguments())
        func = arguments.callable_of(attempt.get_function())
        self.hooks.before_compute(func, args, kwargs, mapping_key(attempt.get_key()))
        return Strand.Verdict.CONTINUE, None

    def do_after(self, attempt, value):
        self.hooks.after_compute(mapping_key(attempt.get_key()), _result_of(attempt, value))
        return True

    def do_on_error(self, attempt, error, will_retry):
        metadata = values.from_variant(attempt.dup_metadata())
        self.hooks.on_error(mapping_key(attempt.get_key()), errors.from_error(error, metadata))


@functools.lru_cache(maxsize=None)
def _hooks_class(kind):
    """The class that stands for one of a program's, by its name if nobody else has that."""
    plain = re.sub("[^A-Za-z0-9_]", "_", kind.__name__).lstrip("_0123456789") or "Middleware"
    name, number = plain, 1
    while len(name) < 3 or _is_type(name):
        number += 1
        name = f"{plain}-{number}"
    return type(kind.__name__, (_Hooks,), {"__gtype_name__": name})


def _is_type(name):
    try:
        return GObject.type_from_name(name) is not None
    except RuntimeError:
        return False


def _result_of(attempt, value):
    """What an attempt that has given a value comes to."""
    created, started, completed = attempt.get_times()
    created_at = results.moment(started or created) or datetime.now()
    return results.ComputationResult(
        value=values.from_variant(value),
        status=results.ComputationStatus.COMPLETED,
        created_at=created_at,
        completed_at=results.moment(completed) or datetime.now(),
        metadata=values.from_variant(attempt.dup_metadata()) or {},
    )


def as_middleware(chain):
    """The list of middleware that a backend or reader takes: objects of strand's, Python's, or names of plugins."""
    model = Gio.ListStore.new(Strand.Middleware)
    for one in chain or ():
        if isinstance(one, Strand.Middleware):
            model.append(one)
        elif isinstance(one, str):
            model.append(plugin_object(Strand.Kind.MIDDLEWARE, one))
        else:
            model.append(_hooks_class(type(one))(one))
    return model
