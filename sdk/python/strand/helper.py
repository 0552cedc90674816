"""helper.py — the program that runs Python functions for a process taskrunner, or one of them as a process.

functions.helper_command() starts it, with the program's folders and arguments. describe() is for programs that are not
Python: it says how they start it, and for what (python.c).
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import importlib
import os
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


def describe(source, program=None):
    """Prints what to know of the functions of a module, or of the `program` itself, which is a file, as GVariant text."""
    from gi.repository import GLib

    from strand import functions, mainmodule

    printed = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever an import prints is for people
    sys.argv = [program or ""]
    main = None
    if program is not None:
        sys.path.insert(0, os.path.dirname(program))
        main = ["path", program]
        mainmodule.set_program(main)
    found = mainmodule.defined_in_main() if source == program else functions.defined_in(importlib.import_module(source))
    told = {functions.name_of(each): (functions.help_of(each), functions.locate(each)) for each in found}
    rows = [(name, *rest) for name, rest in told.items()]
    description = GLib.Variant("(asa(sss))", (functions.helper_command("helper", main=main), rows))
    with printed:
        printed.write(description.print_(True))


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
