"""What `from gi.repository import Strand` gives beyond the typelib: methods that take and give Python values.

The package `strand` imports this module, so this one imports the package inside its functions only.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import atexit
import functools
import sys
import weakref

from gi.overrides import override
from gi.repository import GLib, GObject

from ..module import get_introspection_module

Strand = get_introspection_module("Strand")

__all__ = []


class Task(Strand.Task):
    """A task that is called like a function: task.call(40, 2)."""

    def call(self, *arguments):
        """Calls the task with Python values of the declared types, or with one tuple that is a GLib.Variant."""
        if len(arguments) == 1 and (arguments[0] is None or isinstance(arguments[0], GLib.Variant)):
            return Strand.Task.call(self, arguments[0])
        return Strand.Task.call(self, _to_arguments(self.get_function(), arguments))


def _to_arguments(function, arguments):
    from strand.values import split_types, to_variant

    types = split_types(function.get_parameter_type().dup_string()[1:-1])
    types += [None] * (len(arguments) - len(types))
    return GLib.Variant.new_tuple(*map(to_variant, arguments, types))


Task = override(Task)
__all__.append("Task")


# What a program implements in Python: classes of GObject.Object and one of strand's interfaces.


class _Told(GLib.Error):
    """An error on its way to C. PyGObject hands it over, and then reports it as if nobody had heard of it."""


def _leave_out_what_is_told(hook):
    """What reports exceptions that nobody catches, without those that C was told of."""

    @functools.wraps(hook)
    def report(kind, error, trace):
        if not isinstance(error, _Told):
            hook(kind, error, trace)
            return
        for name in ("last_type", "last_value", "last_traceback"):
            if hasattr(sys, name):
                delattr(sys, name)

    return report


sys.excepthook = _leave_out_what_is_told(sys.excepthook)


def tell(exception):
    """The exception to raise where C is to be told of this one: in a method of an interface, or a callback."""
    if not isinstance(exception, GLib.Error):
        from strand.errors import to_error

        exception = to_error(exception)
    return _Told(exception.message, exception.domain, exception.code)


def _telling(method):
    """A method that C calls: whatever it raises becomes an error there, also what would end the program."""

    @functools.wraps(method)
    def told(self, *arguments):
        try:
            return method(self, *arguments)
        except BaseException as exception:
            raise tell(exception) from None

    return told


# Stores in Python that have been used. No thread may call one when there is no interpreter any more.
_used_stores = weakref.WeakSet()


def _close_used_stores():
    for store in list(_used_stores):
        store.close()
        # Threads of strand's may still hold it, while the interpreter takes its half of the object away.
        store._ref()


# First in, last out: whatever uses a store has been closed by then.
atexit.register(_close_used_stores)


def _noting_use(method):
    @functools.wraps(method)
    def used(self, *arguments):
        _used_stores.add(self)
        return method(self, *arguments)

    return used


def _implement(cls, wrap, methods):
    for name in methods:
        if name in cls.__dict__:
            setattr(cls, name, wrap(cls.__dict__[name]))


# In a GParamSpec's flags: what a keyfile makes of the number.
_DURATION = 1 << 9
_SIZE = 1 << 10


def _common_property(name, kind, meaning=0, **bounds):
    """A property that every store has; core keeps its value."""

    def get(self):
        value = GObject.Value(kind)
        self.get_common_value(name, value)
        return value.get_value()

    def put(self, content):
        self.set_common_value(name, GObject.Value(kind, content))

    made = GObject.Property(getter=get, setter=put, type=kind, **bounds)
    made.flags |= meaning  # GObject.Property itself refuses flags that it does not know
    return made


def _missing_is_not_found(method):
    """A method of a mapping's manners: KeyError says that there is no such record."""

    @functools.wraps(method)
    def looked_up(self, *arguments):
        try:
            return method(self, *arguments)
        except KeyError:
            raise GLib.Error("no record has this key", "strand-error-quark", Strand.Error.NOT_FOUND) from None

    return looked_up


def _none_is_all(method):
    """A method that is always given a filter."""

    @functools.wraps(method)
    def listed(self, wanted, *arguments):
        return method(self, wanted if wanted is not None else Strand.Filter(), *arguments)

    return listed


class Store(Strand.Store):
    """A store. A class of GObject.Object and Strand.Store is one with do_get, do_put, do_remove and do_list.

    Each raises to say why not: a GLib.Error with a code of Strand.Error, or KeyError where there is no such record.
    The properties that every store has (ttl and so on) come by themselves.
    """

    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        _implement(cls, _none_is_all, ("do_list", "do_count"))
        _implement(cls, _missing_is_not_found, ("do_get", "do_remove"))
        _implement(cls, _noting_use, ("do_get", "do_put", "do_list"))
        _implement(cls, _telling, [name for name in list(cls.__dict__) if name.startswith("do_")])
        if "do_get" in cls.__dict__ and not hasattr(cls, "max_record_size"):
            number = {"minimum": -1, "maximum": GLib.MAXINT64}
            cls.ttl = _common_property("ttl", GObject.TYPE_INT64, _DURATION, default=-1, **number)
            cls.auto_cleanup = _common_property("auto-cleanup", bool, default=True)
            cls.cleanup_probability = _common_property(
                "cleanup-probability", float, default=0.1, minimum=0.0, maximum=1.0
            )
            cls.max_record_size = _common_property(
                "max-record-size", GObject.TYPE_INT64, _SIZE, default=64 * 1024 * 1024, **number
            )


class Middleware(Strand.Middleware):
    """What wraps calls. A class of GObject.Object and Strand.Middleware has any of do_submit, do_before (which return
    a Strand.Verdict and a value, or raise to refuse), do_after and do_on_error."""

    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        _implement(cls, _telling, ("do_submit", "do_before", "do_after"))


class Serializer(Strand.Serializer):
    """What writes values. A class of GObject.Object and Strand.Serializer has do_serialize and do_deserialize."""

    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        _implement(cls, _telling, ("do_serialize", "do_deserialize"))


for _interface in (Store, Middleware, Serializer):
    globals()[_interface.__name__] = override(_interface)
    __all__.append(_interface.__name__)
