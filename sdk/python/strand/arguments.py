"""arguments.py — a call's function and arguments, as Python has them and as strand has them.

                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib

from . import functions, values

_OF_PYTHON = "(ava{sv})"


def pack(args, kwargs):
    """The arguments of a call of a Python function."""
    return GLib.Variant.new_tuple(values.to_arguments(args), values.to_keywords(kwargs))


def unpack(arguments):
    """Positional arguments and keywords of a call of any function; one of C's has no keywords left."""
    content = values.from_variant(arguments)
    if arguments.get_type_string() == _OF_PYTHON:
        return tuple(content[0]), content[1]
    return content, {}


def callable_of(function):
    """The callable that a `Strand.Function` stands for; one of C's stands for itself."""
    return functions.callable_by_name(function.get_name()) or function
