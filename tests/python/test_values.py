"""Every plain Python value becomes a GVariant and comes back the same.    SPDX-License-Identifier: LGPL-2.1-or-later"""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import threading
import typing
import unittest
import uuid
import zoneinfo

from gi.repository import GLib

from strand import from_variant, to_variant


class Colour(enum.IntEnum):
    RED = 3


class Shade(enum.Enum):
    PALE = "pale"
    PAIR = (1, 2)


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


Point = collections.namedtuple("Point", "x y")


class Named(typing.NamedTuple):
    name: str
    at: Point


@dataclasses.dataclass(frozen=True)
class Shape:
    corners: list
    shade: Shade = Shade.PALE
    made: typing.Optional[datetime.datetime] = None
    inner: typing.Optional["Shape"] = None
    area: float = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "area", math.nan)


@dataclasses.dataclass
class Slotted:
    __slots__ = ("a", "b")
    a: int
    b: int


class RoundTrip(unittest.TestCase):
    def assert_same(self, value):
        # Through bytes, as a store or another process has it.
        made = to_variant(value)
        kept = GLib.Variant.new_from_bytes(made.get_type(), made.get_data_as_bytes(), False)
        back = from_variant(kept)
        self.assertEqual(back, value)
        self.assertIs(type(back), type(value))

    def test_scalars(self):
        for value in (None, True, False, 0.5, -0.0, math.inf, 1e308, 5e-324, "", "grün", "🐟", b"", b"\0\xff"):
            self.assert_same(value)
        self.assertTrue(math.isnan(from_variant(to_variant(math.nan))))
        self.assertEqual(math.copysign(1, from_variant(to_variant(-0.0))), -1)

    def test_integers_of_any_size(self):
        for bits in (0, 1, 31, 32, 63, 64, 65, 128, 20000):
            for value in (2**bits - 1, 2**bits, 2**bits + 1):
                self.assert_same(value)
                self.assert_same(-value)
                self.assert_same([value, -value])

    def test_strings_that_no_gvariant_string_holds(self):
        for value in ("a\0b", "\ud800", "name\udcff.txt", ["\0"], {"\0": 1}):
            self.assert_same(value)

    def test_containers(self):
        for value in ([], [1, 2], [1.5], ["a"], [True, 1], [None], [[], [[]]], (), (1,), ((), []), {}, {"a": {"b": [1]}},
                      [(1, "a", None)], {"int": "1"}, ("int", "1"), [{"set": []}]):
            self.assert_same(value)

    def test_containers_that_gvariant_lacks(self):
        for value in (set(), {1, 2}, frozenset("ab"), {1: 2, (3, 4): {5}}, {None: 0}, range(1, 10, 3), 1 + 2j,
                      bytearray(b"a\0")):
            self.assert_same(value)

    def test_order_of_a_dictionary(self):
        value = {"z": 1, "a": 2, "m": 3}
        self.assertEqual(list(from_variant(to_variant(value))), ["z", "a", "m"])

    def test_subclasses_travel_as_what_they_extend(self):
        local = collections.namedtuple("Local", "x y")(1, 2)  # nobody elsewhere finds its type
        for value, plain in ((local, (1, 2)), (collections.OrderedDict(a=1), {"a": 1}),
                             (collections.Counter("aa"), {"a": 2})):
            back = from_variant(to_variant(value))
            self.assertEqual(back, plain)
            self.assertIs(type(back), type(plain))

    def test_dates_and_numbers_of_the_standard_library(self):
        berlin = zoneinfo.ZoneInfo("Europe/Berlin")
        for value in (datetime.date(2024, 2, 29), datetime.time(23, 59, 59, 999999), datetime.timedelta(-1, 5, 7),
                      datetime.datetime.min, datetime.datetime.max,
                      datetime.datetime(2024, 2, 29, 1, 2, 3, 4, datetime.timezone.utc),
                      datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=-3.5))),
                      decimal.Decimal("1.10"), decimal.Decimal("-Infinity"), fractions.Fraction(-2**80, 3),
                      uuid.UUID(int=2**127), pathlib.Path("/a/b"), pathlib.PurePosixPath("a"),
                      {pathlib.Path("a"): [datetime.date.min]}):
            self.assert_same(value)
        for fold in (0, 1):
            twice = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=fold)
            back = from_variant(to_variant(twice))
            self.assertEqual((back.utcoffset(), back.fold, back.tzinfo), (twice.utcoffset(), fold, berlin))

    def test_a_programs_own_data_types(self):
        shape = Shape([Point(1, 2), (3, 4)], Shade.PAIR, datetime.datetime(2024, 1, 1), Shape([]))
        object.__setattr__(shape, "area", 4.5)  # what __post_init__ set is kept, so it does not run again
        object.__setattr__(shape.inner, "area", 0.5)
        for value in (Colour.RED, Shade.PAIR, Rights.READ | Rights.WRITE, Point(1, "a"), Named("n", Point(0, None)), shape,
                      Slotted(1, 2), {Shade.PALE: {Point(1, 2)}}):
            self.assert_same(value)
        self.assertIs(type(from_variant(to_variant(shape)).corners[0]), Point)

    def test_own_type_that_is_unknown_is_what_it_is_made_of(self):
        for value, plain in ((Slotted(1, 2), {"a": 1, "b": 2}), (Shade.PAIR, (1, 2)), (Point(1, 2), (1, 2))):
            elsewhere = to_variant(value).print_(True).replace(__name__, "no.such.module")
            self.assertEqual(from_variant(GLib.Variant.parse(None, elsewhere, None, None)), plain)

    def test_no_other_type_is_made_of_data(self):
        for kind in ("dataclass", "enum", "namedtuple"):
            text = f"{{'{kind}', <('threading', 'Thread', {{'name': <'a'>}})>}}"
            self.assertEqual(from_variant(GLib.Variant.parse(None, text, None, None)), {"name": "a"})

    def test_own_type_that_nobody_finds_is_refused(self):
        local = dataclasses.make_dataclass("Local", ["x"])
        with self.assertRaisesRegex(TypeError, "'Local' cannot leave the process: .*top level of a module"):
            to_variant(local(1))

    def test_many_numbers(self):
        self.assert_same(list(range(200000)))
        self.assert_same([number / 7 for number in range(200000)])

    def test_deep_nesting_is_kept_or_refused(self):
        value = 1
        for _ in range(60):
            value = [value, None]
        self.assert_same(value)
        with self.assertRaisesRegex(ValueError, "60 levels"):
            to_variant([value])

    def test_value_that_contains_itself_is_refused(self):
        value = []
        value.append(value)
        with self.assertRaisesRegex(ValueError, "contains itself"):
            to_variant(value)

    def test_unknown_type_is_refused_by_name(self):
        with self.assertRaisesRegex(TypeError, "'Thread' cannot leave the process"):
            to_variant({"a": threading.Thread()})


class Typed(unittest.TestCase):
    def test_declared_types(self):
        for value, kind in ((1, "y"), (-1, "n"), (1, "q"), (-1, "i"), (1, "u"), (-(2**63), "x"), (2**64 - 1, "t"),
                            (True, "b"), (1.5, "d"), ("a", "s"), ("/a", "o"), ("a{sv}", "g"), (b"a", "ay"), ([[1]], "aau"), (["a"], "as"), (None, "ms"), ("a", "ms"), ((1, "a"), "(us)"),
                            ({"a": 1}, "a{su}"), ({1: "a"}, "a{us}"), ({"a": [1]}, "a{sv}"), (None, "v")):
            variant = to_variant(value, kind)
            self.assertEqual(variant.get_type_string(), kind)
            self.assertEqual(from_variant(variant), value)

    def test_whole_number_for_a_double(self):
        self.assertEqual(from_variant(to_variant(2, "d")), 2.0)

    def test_number_out_of_range(self):
        for value, kind in ((256, "y"), (-1, "u"), (2**63, "x"), (-1, "t")):
            with self.assertRaisesRegex(OverflowError, f"'{kind}' holds"):
                to_variant(value, kind)

    def test_wrong_types(self):
        for value, kind in ((1.5, "x"), ("1", "x"), (1, "s"), (1, "b"), ("abc", "as"), ([1], "as"), ((1,), "(xx)"),
                            ([], "a{sv}"), (None, "s")):
            with self.assertRaises(TypeError, msg=f"{value!r} as {kind}"):
                to_variant(value, kind)

    def test_variant_as_it_is(self):
        self.assertEqual(from_variant(to_variant(GLib.Variant("u", 1))), 1)
        self.assertEqual(to_variant([GLib.Variant("u", 1)]).print_(True), "[<uint32 1>]")
        with self.assertRaises(TypeError):
            to_variant(GLib.Variant("u", 1), "x")

    def test_what_c_functions_return(self):
        for text, value in (("@mi nothing", None), ("@mmi just nothing", None), ("[1, 2]", [1, 2]),
                            ("{'a': <1>}", {"a": 1}), ("{1: 'b'}", {1: "b"}), ("[byte 1]", b"\x01"),
                            ("(1, 'a', [true])", (1, "a", [True])), ("{1, 2}", (1, 2))):
            self.assertEqual(from_variant(GLib.Variant.parse(None, text, None, None)), value)

    def test_unknown_kind_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "'tomorrow' is unknown"):
            from_variant(GLib.Variant.parse(None, "{'tomorrow', <1>}", None, None))
