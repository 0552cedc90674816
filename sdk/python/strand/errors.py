"""errors.py — what a GError is as a Python exception, and back.

In one process an exception is the object that was raised. Through a store or a process goes a GError of the domain
`strand-python-error` that says `ValueError: x must be positive`, and beside it, in the call's metadata under
`python.error`, the type's module and name, its arguments and the text of its traceback. On the other side the
exception is made again where its type is known there without importing anything, and has the traceback's text as its
cause; elsewhere it is a RemoteError that says the same.              SPDX-License-Identifier: LGPL-2.1-or-later
"""

import traceback

from gi.overrides.Strand import tell as tell_c
from gi.repository import Gio, GLib, Strand

from strand import objects
from strand.values import from_variant, to_variant

DOMAIN = "strand-python-error"
METADATA = "python.error"


class StrandError(Exception):
    """Something that strand itself says: `code` is a Strand.Error, `domain` the GError's."""

    def __init__(self, message, code=Strand.Error.FAILED, domain="strand-error-quark"):
        super().__init__(message)
        self.code = code
        self.domain = domain


class NotReadyError(StrandError, RuntimeError):
    """The call has not ended."""


class NotFoundError(StrandError, LookupError):
    """No record has this key."""


class CallTimeoutError(StrandError, TimeoutError):
    """The wait for a call, or the call itself, took too long: `code` says which."""


class CancelledError(StrandError):
    """The call was cancelled."""


class RefusedError(StrandError):
    """A middleware refused the call."""


class CrashedError(StrandError):
    """The process that ran the call died."""


class UnsafeError(StrandError, TypeError):
    """The function must not run at this target."""


class RemoteError(Exception):
    """An exception of a type that is unknown here. `type_name` names it."""

    def __init__(self, message, type_name="Exception"):
        super().__init__(message)
        self.type_name = type_name


class RemoteTraceback(Exception):
    """The cause of an exception that was raised elsewhere: its traceback there, as text."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text

    def __str__(self):
        return "\n" + self.text


_CLASSES = {
    Strand.Error.NOT_READY: NotReadyError,
    Strand.Error.NOT_FOUND: NotFoundError,
    Strand.Error.WAIT_TIMED_OUT: CallTimeoutError,
    Strand.Error.TIMED_OUT: CallTimeoutError,
    Strand.Error.REFUSED: RefusedError,
    Strand.Error.CRASHED: CrashedError,
    Strand.Error.UNSAFE: UnsafeError,
}
_STRAND_DOMAIN = GLib.quark_to_string(Strand.error_quark())


def as_failure(exception):
    """What a call ends with: an exit or an interrupt of a function is not one of its caller's."""
    if isinstance(exception, Exception):
        return exception
    failure = RemoteError(f"{type(exception).__name__}: {exception}", type(exception).__name__)
    failure.__cause__ = exception
    return failure


def to_error(exception):
    """Makes a GLib.Error of an exception; one that was a GError stays what it was."""
    if isinstance(exception, GLib.Error):
        return exception
    if isinstance(exception, CancelledError):
        domain = GLib.quark_from_string("g-io-error-quark")
        return GLib.Error.new_literal(domain, str(exception), Gio.IOErrorEnum.CANCELLED)
    if isinstance(exception, StrandError):
        return GLib.Error.new_literal(GLib.quark_from_string(exception.domain), str(exception), int(exception.code))
    text = "".join(traceback.format_exception_only(type(exception), exception)).strip()
    text = text.encode("utf-8", "replace").decode().replace("\0", "\\0")
    return GLib.Error.new_literal(GLib.quark_from_string(DOMAIN), text, 0)


def tell(exception):
    """What a function that C calls raises so that C is told of the exception, and nobody else."""
    return tell_c(to_error(exception))


def describe(exception):
    """Makes the metadata that goes beside the error, as a GVariant."""
    kind = type(exception)
    try:
        arguments = to_variant(exception.args)
    except (TypeError, ValueError):
        arguments = to_variant((str(exception),))
    module, name = objects.name_type(kind)
    text = "".join(traceback.format_exception(kind, exception, exception.__traceback__))
    description = {"module": module, "name": name, "arguments": arguments, "traceback": text}
    return to_variant(description)


def _find_type(module, name):
    found = objects.find_type(module, name)
    return found if found is not None and issubclass(found, Exception) else None


def _make_again(description, message):
    kind = _find_type(description["module"], description["name"])
    if kind is not None:
        try:
            return kind(*description["arguments"])
        except Exception:  # its constructor takes something else than its `args`
            pass
    return RemoteError(message, f"{description['module']}.{description['name']}")


def from_error(error, metadata=None):
    """Makes an exception of a GLib.Error, with what the call's metadata (a dict) says of it."""
    description = (metadata or {}).get(METADATA)
    if error.domain == DOMAIN:
        if not isinstance(description, dict):
            return RemoteError(error.message, error.message.partition(":")[0])
        exception = _make_again(description, error.message)
        exception.__cause__ = RemoteTraceback(description["traceback"])
        return exception
    if error.domain == "g-io-error-quark" and error.code == Gio.IOErrorEnum.CANCELLED:
        return CancelledError(error.message, error.code, error.domain)
    if error.domain == _STRAND_DOMAIN:
        code = Strand.Error(error.code)
        return _CLASSES.get(code, StrandError)(error.message, code, error.domain)
    return error


def result_of(variant):
    """The Python value that a call's GVariant stands for."""
    return None if variant is None or variant.get_type_string() == "()" else from_variant(variant)
