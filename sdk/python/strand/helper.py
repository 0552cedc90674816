"""helper.py — the program that runs Python functions for a process taskrunner, or one of them as a process.

functions.helper_command() starts it, with the program's folders and arguments.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import sys

from strand.values import from_variant


def run_function(location, text):
    """Runs one function as a whole process: MODULE:QUALNAME and a GVariant text of `(arguments, keywords)`."""
    from gi.repository import GLib

    from strand import functions, running

    packed = GLib.Variant.parse(GLib.VariantType.new("(ava{sv})"), text, None, None)
    positional, keywords = from_variant(packed)
    context = running.Context(None, lambda item: None)
    running.run(functions.find(location), positional, keywords, context, False)
    return 0


def main(setup):
    from strand import functions, mainmodule

    added = sys.argv[-2:]  # by the taskrunner
    sys.argv = setup["argv"] or [""]
    mainmodule.set_program(setup["main"])
    words = setup["words"]
    if words[0] == "run":
        return run_function(*words[1:])
    from gi.repository import Strand

    functions.register_delegate()
    functions.set_helper_command()
    return Strand.helper_run(added)
