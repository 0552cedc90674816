"""functions.py — the Strand.Function behind a Python callable, and how it is found elsewhere.

In this process a function is the object itself. Another process finds it by where it stands: its module and its name
there. So what can be found is a `def` at the top level of a module or of a class, also under decorators: strand's
own note what they were given, so the name need not lead to the bare function. A lambda, a function inside another
one, a method of an object: these have no such name, and the reason says so.

A function of Python's takes any arguments and returns any plain value: `arguments:av keywords:a{sv} -> v`. A helper
knows one function of that signature, which is told by the header `strand.location` which one it stands for.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import functools
import hashlib
import inspect
import json
import os
import re
import subprocess
import sys
import threading
import types

from gi.repository import GLib, Strand

from strand import errors, objects, running
from strand.values import from_variant, to_variant

SIGNATURE = "arguments:av keywords:a{sv} -> v"
DELEGATE = "strand.python"

# A call that wants the elements of a returned list one by one says so, because its helper cannot know.
ITEMS_HEADER = "strand-python-items"

_lock = threading.Lock()  # guards the next three
_by_location = {}  # what a decorator was given
_by_name = {}  # what a registered Strand.Function calls
_registered = {}  # Strand.Function by name
_command = None

# Set while a helper loads the program's main module.
loading_main = False


class NotPortableError(TypeError):
    """A function that no other process can find."""


def unwrap(function):
    """The callable that a strand decorator was given, at whatever depth."""
    while True:
        if isinstance(function, staticmethod):
            function = function.__func__
        if getattr(function, "strand_function", None) is None:
            return function
        function = function.strand_function


def is_static(function):
    """Whether a decorator of strand's was given a staticmethod, so that it takes no instance."""
    return isinstance(function, staticmethod) or getattr(function, "strand_is_static", False)


def locate(function):
    """Says where another process finds a function, as MODULE:QUALNAME, or raises NotPortableError."""
    function = unwrap(function)
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if isinstance(function, functools.partial):
        raise NotPortableError(
            "a functools.partial has no name by which another process could find it: bind the arguments in the task"
        )
    if isinstance(function, types.MethodType) and not isinstance(function.__self__, type):
        raise NotPortableError(f"'{name}' is a method of one object, which exists only in this process")
    if isinstance(function, types.BuiltinMethodType) and not isinstance(function.__self__, (type, types.ModuleType)):
        raise NotPortableError(f"'{name}' is a method of one object, which exists only in this process")
    if name is None or module is None:
        raise NotPortableError(
            f"an object of type '{type(function).__qualname__}' has no name by which another process could find it"
        )
    if name.endswith("<lambda>"):
        raise NotPortableError(
            "a lambda has no name by which another process could find it: define it with 'def' at the top level of a "
            "module"
        )
    if "<locals>" in name:
        raise NotPortableError(
            f"'{name}' is defined inside another function, where another process cannot find it: define it at the top "
            "level of a module"
        )
    if module == "__main__" and _main_source() is None:
        raise NotPortableError(f"'{name}' was typed in, so another process cannot find it: put it into a file")
    return f"{'__main__' if module == objects.HELPER_MAIN else module}:{name}"


def _main_source():
    """What the program is: ['module', NAME] or ['path', PATH]; None where it was typed in."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return ["module", spec.name]
    path = getattr(main, "__file__", None)
    return ["path", os.path.abspath(path)] if path is not None and os.path.exists(path) else None


def note(function):
    """Remembers what stands at a location, for strand's decorators to call. Nothing where it has none."""
    try:
        location = locate(function)
    except NotPortableError:
        return
    with _lock:
        _by_location[location] = unwrap(function)


def find(location):
    """The function at MODULE:QUALNAME; its module is imported."""
    module, _, name = location.partition(":")
    with _lock:
        noted = _by_location.get(location)
    if noted is not None:
        return noted
    if module == "__main__":
        from strand.mainmodule import find_in_main

        return find_in_main(name)
    __import__(module)
    with _lock:
        noted = _by_location.get(location)
    if noted is not None:
        return noted
    found = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return unwrap(found)


def defined_in(module):
    """The functions that a module defines: at its top level, and those of its classes that need no object."""
    for thing in list(vars(module).values()):
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            members = vars(thing).items()
            yield from (getattr(thing, name) for name, how in members if isinstance(how, (staticmethod, classmethod)))
        elif inspect.isroutine(unwrap(thing)):
            yield unwrap(thing)


def _public_module(module):
    """A module's name for others: a program that was started as a module can be imported as that."""
    if module not in ("__main__", objects.HELPER_MAIN):
        return module
    kind, name = _main_source() or (None, None)
    return name if kind == "module" else "__main__"


def name_of(function):
    """What strand calls a function: MODULE.QUALNAME, as far as the grammar of names goes."""
    function = unwrap(function)
    inner = getattr(function, "func", function)  # a functools.partial's
    module = _public_module(getattr(function, "__module__", None) or type(function).__module__)
    name = getattr(inner, "__qualname__", None) or type(function).__qualname__
    whole = f"{module}.{name}".replace("<locals>", "locals").replace("<lambda>", "lambda")
    plain = re.sub(r"[^A-Za-z0-9._]", lambda found: f"-{ord(found[0]):x}-", whole)
    if not re.match(r"[A-Za-z_]", plain):
        plain = "_" + plain
    if len(plain) > 128:
        plain = plain[:111] + "-" + hashlib.sha256(whole.encode()).hexdigest()[:16]
    return plain


def help_of(function):
    lines = (getattr(function, "__doc__", None) or "").strip().splitlines()
    return lines[0] if lines else ""


def raise_error(native, exception):
    """Leaves a failed call what its caller makes the exception of again."""
    if not isinstance(exception, (GLib.Error, errors.StrandError)):
        native.set_metadata(errors.METADATA, errors.describe(exception))
    raise errors.tell(exception) from None


def _call_by_value(find_function, native, arguments):
    """Runs a function with arguments out of a GVariant; its value becomes one."""
    try:
        running.refuse_stack_switch()
        function = find_function(native)
        positional, keywords = from_variant(arguments)
        context = running.Context(native, lambda item: native.emit(to_variant(item)))
        wants_items = native.dup_headers().lookup_value(ITEMS_HEADER, None) is not None
        value = running.run(function, positional, keywords, context, wants_items)
        return GLib.Variant.new_variant(to_variant(value))
    except BaseException as exception:
        raise_error(native, errors.as_failure(exception))


def _registered_function(name):
    def find_registered(native):
        with _lock:
            return _by_name[name]

    def call(native, arguments, *_):
        return _call_by_value(find_registered, native, arguments)

    return call


def function_for(function):
    """The Strand.Function behind a callable, in the default registry so that stored calls find it by its name.

    The same name is the same Strand.Function for good; when a program defines it again, calls run the new one.
    """
    function = unwrap(function)
    if isinstance(function, Strand.Function):
        return function
    name = name_of(function)
    with _lock:
        _by_name[name] = function
        known = _registered.get(name)
    try:
        location = locate(function)
    except NotPortableError as error:
        reason = str(error)
        if known is None:
            _register(name, _new_function(name, function, _registered_function(name)))
        # Another one may get the name while a call of this one waits.
        made = _new_function(name, function, _exact_function(function))
        made.set_home_reason(reason)
        return made
    if known is not None:
        return known
    made = _new_function(name, function, _registered_function(name))
    made.set_delegate(DELEGATE, location)
    set_helper_command()
    return _register(name, made)


def _new_function(name, function, call):
    return Strand.Function.new(name, SIGNATURE, help_of(function), Strand.Traits.NONE, call)


def _exact_function(function):
    def call(native, arguments, *_):
        return _call_by_value(lambda native: function, native, arguments)

    return call


def _register(name, made):
    with _lock:
        if name not in _registered:
            Strand.Registry.get_default().add_function(made)
            _registered[name] = made
        return _registered[name]


def callable_by_name(name):
    """What the Strand.Function of this name calls, or None if it is none of Python's."""
    with _lock:
        return _by_name.get(name)


def helper_command(*words, main=None):
    """The command that runs a program of this package as this program runs: same interpreter, same folders. `main` is
    the program's file, if it is not this one's."""
    setup = json.dumps({"path": sys.path, "argv": sys.argv, "main": main or _main_source(), "words": words})
    code = (
        "import json, sys; setup = json.loads(sys.argv[1]); sys.path[:] = setup['path']; "
        "from strand.helper import main; sys.exit(main(setup))"
    )
    return [sys.executable or "/usr/bin/python3", *subprocess._args_from_interpreter_flags(), "-c", code, setup]


def set_helper_command():
    """Has process taskrunners start helpers that know Python, with the folders that are searched now."""
    global _command
    command = helper_command("helper")
    with _lock:
        if command == _command:
            return
        _command = command
    Strand.helper_set_command(command)


def register_delegate():
    """What a helper has: the one function that stands for all of Python's."""

    def call(native, arguments, *_):
        def find_there(native):
            return find(from_variant(native.dup_headers())["strand.location"])

        try:
            return _call_by_value(find_there, native, arguments)
        finally:
            sys.stdout.flush()  # the helper may live long, or be killed

    Strand.Registry.get_default().add(DELEGATE, SIGNATURE, "Calls a function of Python's", call)
