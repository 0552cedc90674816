"""mainmodule.py — functions of a program's main module, in a helper that must not run the program again.

A main module with a guard (`if __name__ == "__main__":`) says itself what is program and what is definition:
it is executed as a module of another name. Without one, only what a function needs is executed: its `def`,
and the statements that give a value to the global names that it mentions, and to those that they mention, in
the order of the file; and all imports. A statement that is only a call is never executed, nor is the part of
a `for`, `while` or `with` at the top level that defines nothing. So what such a call does to a global
(`names.append ("x")`) is not seen here; a guard, or a module of their own, is for functions that need it.

Calls of tasks that a needed statement makes are refused (functions.loading_main).
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import ast
import dis
import importlib.util
import sys
import types

from strand import functions, objects

_program = None  # what set_program() was given
_main = None


def set_program(program):
    """Says what the program is: ['path', PATH], ['module', NAME] or None."""
    global _program
    _program = program


def find_in_main(name):
    """The function of the main module with this qualified name."""
    global _main
    if _main is None:
        _main = _Main(*_read_program())
    return _main.find(name)


def define_in_main(name):
    """Executes what defines a name of the main module that a helper has begun to run, unless that is done."""
    if not _main.guarded:
        _main.execute_for(name)


def defined_in_main():
    """The functions that the main module defines."""
    global _main
    _main = _Main(*_read_program())
    return _main.defined()


def _read_program():
    if _program is None:
        raise LookupError("the program was typed in, so no helper has its functions")
    kind, where = _program
    if kind == "path":
        path, spec = where, None
    else:
        spec = importlib.util.find_spec(where)
        path = spec.origin
    with open(path, "rb") as file:
        return path, spec, ast.parse(file.read(), path)


def _is_guard(statement):
    """if __name__ == "__main__":"""
    test = statement.test if isinstance(statement, ast.If) else None
    if not isinstance(test, ast.Compare) or len(test.comparators) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, test.comparators[0]]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    texts = [side.value for side in sides if isinstance(side, ast.Constant)]
    return names == ["__name__"] and texts == ["__main__"]


def _flatten(body):
    """The statements that stand for themselves: a loop's or a `with`'s are looked at one by one."""
    for statement in body:
        if isinstance(statement, (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith)):
            yield from _flatten(statement.body)
        else:
            yield statement


class _Statement:
    """One statement at the top level: what it gives a value to, and which names it mentions."""

    def __init__(self, node, path, flags):
        self.node = node
        self.code = compile(ast.Module([node], []), path, "exec", flags, True)
        self.binds = set()
        self.uses = set()
        self._look(self.code, True)
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            self._look_at_targets(node)
        self.is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        self.is_definition = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))

    def _look(self, code, at_top):
        for step in dis.get_instructions(code):
            if step.opname in ("STORE_NAME", "DELETE_NAME") and at_top or step.opname == "STORE_GLOBAL":
                self.binds.add(step.argval)
            elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
                self.uses.add(step.argval)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._look(constant, False)

    def _look_at_targets(self, node):
        """`table["a"] = 1` gives `table` something."""
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            while isinstance(target, (ast.Attribute, ast.Subscript)):
                target = target.value
            if isinstance(target, ast.Name):
                self.binds.add(target.id)


class _Main:
    """The main module, of which more is executed as it is needed."""

    def __init__(self, path, spec, tree):
        self.path = path
        self.module = types.ModuleType(objects.HELPER_MAIN)
        self.module.__file__ = path
        if spec is not None:
            self.module.__spec__ = spec
            self.module.__package__ = spec.parent
        sys.modules[objects.HELPER_MAIN] = sys.modules["__main__"] = self.module
        self.tree = tree
        self.guarded = any(map(_is_guard, tree.body))
        self.executed = set()
        self.flags = 0
        if self.guarded:
            self._load(compile(tree, path, "exec", 0, True))
        else:
            self._take_apart()

    def _load(self, code):
        functions.loading_main = True
        try:
            exec(code, self.module.__dict__)
        finally:
            functions.loading_main = False

    def _take_apart(self):
        import __future__

        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                for alias in node.names:
                    self.flags |= getattr(__future__, alias.name).compiler_flag
        self.statements = [_Statement(node, self.path, self.flags) for node in _flatten(self.tree.body)]

    def find(self, name):
        location = f"__main__:{name}"
        if not self.guarded:
            self.execute_for(name)
        noted = functions._by_location.get(location)
        if noted is not None:
            return noted
        found = self.module
        for part in name.split("."):
            found = getattr(found, part)
        return functions.unwrap(found)

    def defined(self):
        if not self.guarded:
            for statement in self.statements:
                if statement.is_definition:
                    self.execute_for(statement.node.name)
        return functions.defined_in(self.module)

    def execute_for(self, name):
        """Executes what is needed for a qualified name and has not been executed yet."""
        needed = {name.partition(".")[0]}
        chosen = set()
        grown = True
        while grown:
            grown = False
            for place, statement in enumerate(self.statements):
                if place not in chosen and (statement.is_import or statement.binds & needed):
                    chosen.add(place)
                    needed |= statement.uses
                    grown = True
        for place in sorted(chosen - self.executed):
            self.executed.add(place)
            self._load(self._code_of(self.statements[place]))

    def _code_of(self, statement):
        """A definition that stood in a `with` has decorators that exist only there: it does without."""
        node = statement.node
        if not statement.is_definition or node in self.tree.body or not node.decorator_list:
            return statement.code
        node.decorator_list = []
        return compile(ast.Module([node], []), self.path, "exec", self.flags, True)
