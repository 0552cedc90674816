"""Functions of a program's own file run in a helper, and the program does not run twice.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later"""

import unittest

from support import Case, run_python


class WithoutGuard(Case):
    def assert_prints(self, source, *lines):
        self.assertEqual(self.run_program(source).stdout.splitlines(), list(lines))

    def test_program_runs_once(self):
        self.assert_prints(
            """
            import os
            from strand import MultiprocessTaskrunner

            print("begins")
            with open("runs", "a") as file:
                file.write("x")

            def square(number):
                return number * number, os.getpid()

            handle = MultiprocessTaskrunner(square)(7)
            value, process = handle.get_result(timeout=60)
            print(value, process != os.getpid(), open("runs").read())
            """,
            "begins",
            "49 True x",
        )

    def test_what_it_prints_comes_before_its_value(self):
        self.assert_prints(
            """
            from strand import as_task

            @as_task("process")
            def say(what):
                print(what)

            say("inside").get_result(timeout=60)
            print("outside")
            """,
            "inside",
            "outside",
        )

    def test_decorated_function(self):
        self.assert_prints(
            """
            from strand import as_task

            @as_task("process")
            def square(number):
                return number * number

            print(square(7).get_result(timeout=60))
            print(square(2**70).get_result(timeout=60) == 2**140)
            """,
            "49",
            "True",
        )

    def test_data_types_of_the_program_go_there_and_back(self):
        self.assert_prints(
            """
            import dataclasses, enum
            from datetime import date
            from strand import as_task
            from strand.au import SerializationFormat, async_compute

            print("begins")

            class Unit(enum.Enum):
                METRE = "m"

            @dataclasses.dataclass(frozen=True)
            class Length:
                value: float
                unit: Unit = Unit.METRE
                seen: date = date(2024, 2, 29)

            class TooLong(Exception):
                pass

            @as_task("process")
            def double(length):  # which mentions neither of the types
                return dataclasses.replace(length, value=2 * length.value), type(length).__name__

            @async_compute(base_path="results", serialization=SerializationFormat.PICKLE)
            def refuse(length):
                if length.value > 1:
                    raise TooLong(length)
                return [length]

            print(double(Length(4)).get_result(timeout=60) == (Length(8), "Length"))
            print(refuse(Length(1)).get_result(timeout=60))
            try:
                refuse(Length(2)).get_result(timeout=60)
            except TooLong as error:
                print(error.args == (Length(2),))
            """,
            "begins",
            "True",
            "[Length(value=1, unit=<Unit.METRE: 'm'>, seen=datetime.date(2024, 2, 29))]",
            "True",
        )

    def test_what_the_function_needs_is_there(self):
        self.assert_prints(
            """
            import math, sys
            from dataclasses import dataclass
            from strand import MultiprocessTaskrunner

            FACTOR = 2
            TABLE = {}
            TABLE["a"] = FACTOR * 3
            try:
                import no_such_module
            except ImportError:
                no_such_module = None

            @dataclass
            class Point:
                x: int = FACTOR

            def helper(number):
                return math.floor(number) * TABLE["a"]

            def work(number):
                return helper(number) + Point().x, no_such_module is None, sys.argv[1:]

            print(MultiprocessTaskrunner(work)(2.5).get_result(timeout=60))
            """,
            "(14, True, [])",
        )

    def test_what_it_does_not_need_is_not_executed(self):
        self.assert_prints(
            """
            from strand import as_task

            def note(what):
                with open("notes", "a") as file:
                    file.write(what)
                return what

            unneeded = note("a")
            for letter in "bc":
                looped = note(letter)

            @as_task("process")
            def work():
                unneeded = 1
                return unneeded

            handle = work()
            result = handle.get_result(timeout=60)
            print(result, open("notes").read())
            """,
            "1 abc",
        )

    def test_function_that_is_defined_in_a_with(self):
        self.assert_prints(
            """
            import contextlib
            from strand import as_task

            @contextlib.contextmanager
            def scope():
                print("in")
                yield as_task("process")
                print("out")

            with scope() as in_process:
                @in_process
                def square(number):
                    return number * number

                print(square(9).get_result(timeout=60))
            """,
            "in",
            "81",
            "out",
        )

    def test_own_exception_comes_back(self):
        self.assert_prints(
            """
            from strand import as_task

            class Refused(Exception):
                pass

            @as_task("process")
            def refuse(why):
                raise Refused(why, 3)

            try:
                refuse("no").get_result(timeout=60)
            except Refused as error:
                print(error.args)
            """,
            "('no', 3)",
        )

    def test_needed_value_that_calls_a_task_is_refused(self):
        self.assert_prints(
            """
            from strand import as_task

            @as_task("process")
            def first():
                return 1

            value = first().get_result(timeout=60)

            @as_task("process")
            def second():
                return value + 1

            try:
                second().get_result(timeout=60)
            except RuntimeError as error:
                print("__main__" in str(error))
            """,
            "True",
        )


class WithGuard(Case):
    PROGRAM = """
        from strand import as_task

        NAMES = []
        NAMES.append("a")

        @as_task("process")
        def names():
            return NAMES, __name__ == "__main__"

        if __name__ == "__main__":
            print(names().get_result(timeout=60))
        """

    def test_everything_outside_of_the_guard_is_executed(self):
        self.assertEqual(self.run_program(self.PROGRAM).stdout, "(['a'], False)\n")


class OtherPrograms(Case):
    def test_program_run_as_a_module(self):
        (self.folder / "package").mkdir()
        for name, text in (
            ("__init__.py", ""),
            ("other.py", "FACTOR = 5\n"),
            (
                "__main__.py",
                "from strand import as_task\nfrom .other import FACTOR\n@as_task('process')\ndef times(n):\n"
                "    return n * FACTOR\nprint(times(4).get_result(60))\n"
                "import typing\nclass Pair(typing.NamedTuple):\n    a: int\n    b: int\n"
                "@as_task('process')\ndef turn(pair):\n    return Pair(pair.b, pair.a)\n"
                "print(turn(Pair(1, 2)).get_result(60))\n",
            ),
        ):
            (self.folder / "package" / name).write_text(text)
        done = run_python("-m", "package", cwd=self.folder)
        self.assertEqual((done.stdout, done.returncode), ("20\nPair(a=2, b=1)\n", 0), done.stderr)

    def test_program_that_was_typed_in(self):
        program = (
            "from strand import *\ndef f(): pass\ntry:\n  MultiprocessTaskrunner(f)().get_result(60)\n"
            "except UnsafeError as error:\n  print('put it into a file' in str(error))\n"
        )
        done = run_python("-c", program)
        self.assertEqual((done.stdout, done.returncode), ("True\n", 0), done.stderr)
