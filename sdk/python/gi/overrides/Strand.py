"""What `from gi.repository import Strand` gives beyond the typelib: methods that take and give Python values.

The package `strand` imports this module, so this one imports the package inside its functions only.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

from gi.overrides import override
from gi.repository import GLib

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
