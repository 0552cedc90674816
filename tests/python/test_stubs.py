"""Each module's stub says what the module has, with the parameters that it really takes.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import ast
import importlib
import inspect
import unittest
from pathlib import Path

import strand

PACKAGE = Path(strand.__file__).parent
STUBS = sorted(PACKAGE.rglob("*.pyi"))
SPECIAL = {"__init__", "__call__", "__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__", "__await__"}


def module_of(stub):
    words = stub.relative_to(PACKAGE.parent).with_suffix("").parts
    return importlib.import_module(".".join(words[:-1] if words[-1] == "__init__" else words))


def described(tree):
    """What a stub says it has: name to node. Imported names count where they are exported."""
    found = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not node.name.startswith("_"):
                found[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
        elif isinstance(node, ast.ImportFrom):
            found.update((name.asname, node) for name in node.names if name.asname == name.name)
    return found


def parameters_said(node):
    """Name and kind of each parameter in a stub, and whether it may be left out."""
    given = node.args
    places = given.posonlyargs + given.args
    required = len(places) - len(given.defaults)
    said = [(arg.arg, "place", number >= required) for number, arg in enumerate(places)]
    if given.vararg:
        said.append((given.vararg.arg, "places", True))
    said += [(arg.arg, "keyword", default is not None) for arg, default in zip(given.kwonlyargs, given.kw_defaults)]
    if given.kwarg:
        said.append((given.kwarg.arg, "keywords", True))
    return said


def parameters_taken(function):
    kinds = {
        inspect.Parameter.POSITIONAL_ONLY: "place",
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "place",
        inspect.Parameter.VAR_POSITIONAL: "places",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
        inspect.Parameter.VAR_KEYWORD: "keywords",
    }
    return [
        (name, kinds[one.kind], kinds[one.kind].endswith("s") or one.default is not one.empty)
        for name, one in inspect.signature(function).parameters.items()
    ]


def public_members(cls):
    """What a class has of its own that a program may use."""
    return {name for name in vars(cls) if not name.startswith("_") or (name in SPECIAL and callable(vars(cls)[name]))}


class TestStubs(unittest.TestCase):
    maxDiff = None

    def test_every_public_module_has_a_stub_and_is_marked_as_typed(self):
        self.assertTrue((PACKAGE / "py.typed").exists())
        modules = {path.with_suffix("") for path in PACKAGE.rglob("*.py") if path.stem != "helper"}
        self.assertEqual({path.with_suffix("") for path in STUBS}, modules)

    def test_stub_has_the_names_of_its_module(self):
        for stub in STUBS:
            with self.subTest(stub=stub.name):
                module = module_of(stub)
                own = {
                    name
                    for name, thing in vars(module).items()
                    if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
                }
                names = described(ast.parse(stub.read_text()))
                self.assertEqual(own - set(names), set(), "not in the stub")
                self.assertEqual({name for name in names if not hasattr(module, name)}, set(), "not in the module")
                self.assertLessEqual(set(getattr(module, "__all__", ())), set(names))

    def test_functions_take_what_their_stub_says(self):
        for stub in STUBS:
            module = module_of(stub)
            for name, node in described(ast.parse(stub.read_text())).items():
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    with self.subTest(stub=stub.name, name=name):
                        self.assertEqual(parameters_said(node), parameters_taken(getattr(module, name)))

    def test_classes_have_what_their_stub_says(self):
        for stub in STUBS:
            module = module_of(stub)
            for name, node in described(ast.parse(stub.read_text())).items():
                if isinstance(node, ast.ClassDef):
                    with self.subTest(stub=stub.name, name=name):
                        self.check_class(getattr(module, name), node)

    def is_set(self, cls, name):
        """Whether a method gives its object an attribute of that name."""
        return any(f"self.{name}" in inspect.getsource(base) for base in cls.__mro__ if base.__module__.startswith("strand"))

    def check_class(self, cls, node):
        said = {}
        for member in node.body:
            if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)):
                said[member.name] = member
            elif isinstance(member, ast.AnnAssign):
                said[member.target.id] = None
            elif isinstance(member, ast.Assign):
                said[member.targets[0].id] = None
        fields = set(getattr(cls, "__dataclass_fields__", ()))
        self.assertEqual(public_members(cls) - set(said), set() if not fields else {"__init__"} - set(said))
        for name, member in said.items():
            if member is None:
                self.assertTrue(hasattr(cls, name) or name in fields or self.is_set(cls, name), name)
                continue
            thing = inspect.getattr_static(cls, name)
            decorators = [ast.unparse(decorator) for decorator in member.decorator_list]
            if isinstance(thing, property) or "property" in decorators:
                self.assertIsInstance(thing, property, name)
                self.assertIn("property", decorators, name)
            else:
                thing = getattr(thing, "__func__", thing)
                self.assertEqual(parameters_said(member), parameters_taken(thing), name)


if __name__ == "__main__":
    unittest.main()
