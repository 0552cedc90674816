"""objects.py — values that say what they are made of: taken apart into plain ones, and put together again.

These are the standard library's dates, times, decimal numbers, fractions, UUIDs and paths, and a program's own
dataclasses, enumerations and named tuples. An own type goes by its module and name, and is found elsewhere only where
it is there already: data must not make a program import anything. Where it is not, the value is what it is made of: a
dict of the fields, the enumeration's value, a tuple.

A dataclass has its fields back as they were; neither its __init__ nor its __post_init__ runs.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import sys
import uuid
import zoneinfo

# What a helper runs as the main module is the program's.
HELPER_MAIN = "__strand_main__"


def _name_of_main():
    """The main module's name for others: a program that was started as a module can be imported as that."""
    return getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "__main__")


def find_type(module, name):
    """A type by its module and qualified name, or None where it is not there yet."""
    found = sys.modules.get("__main__" if module == _name_of_main() else module)
    if getattr(found, "__name__", None) == HELPER_MAIN:
        from strand.mainmodule import define_in_main

        define_in_main(name)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def name_type(kind):
    """The module and qualified name of a type, as another process knows them."""
    module = kind.__module__
    return _name_of_main() if module in ("__main__", HELPER_MAIN) else module, kind.__qualname__


# A program's own types.


def _is_named_tuple(kind):
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def own_kind(kind):
    """'dataclass', 'enum' or 'namedtuple', where another process can find the type; else None."""
    if issubclass(kind, enum.Enum):
        which = "enum"
    elif _is_named_tuple(kind):
        which = "namedtuple"
    elif dataclasses.is_dataclass(kind):
        which = "dataclass"
    else:
        return None
    return which if find_type(*name_type(kind)) is kind else None


def take_apart(value, which):
    """What goes instead of the value: its type's module and name, and what it is made of."""
    if which == "enum":
        parts = value.value
    elif which == "namedtuple":
        parts = tuple(value)
    else:
        names = [field.name for field in dataclasses.fields(value)]
        parts = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return (*name_type(type(value)), parts)


def _find_own(module, name, which):
    kind = find_type(module, name)
    return kind if kind is not None and own_kind(kind) == which else None


def _to_enum(module, name, value):
    kind = _find_own(module, name, "enum")
    return value if kind is None else kind(value)


def _to_named_tuple(module, name, values):
    kind = _find_own(module, name, "namedtuple")
    return values if kind is None else tuple.__new__(kind, values)


def _to_dataclass(module, name, fields):
    kind = _find_own(module, name, "dataclass")
    if kind is None:
        return fields
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        if field.name in fields:
            object.__setattr__(made, field.name, fields[field.name])  # the type may be frozen
    return made


# The standard library's.


def _zone_of(value):
    """A zone by its name, or how far it is from UTC then; None for none."""
    key = getattr(value.tzinfo, "key", None)
    return key if isinstance(key, str) else value.utcoffset()


def _to_zone(zone):
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    return zone if zone is None else datetime.timezone(zone)


def _from_clock(value):
    return value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone_of(value)


def _to_datetime(text, fold, zone):
    return datetime.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_to_zone(zone))


def _to_time(text, fold, zone):
    return datetime.time.fromisoformat(text).replace(fold=fold, tzinfo=_to_zone(zone))


# By type: the kind's name, and how to take one apart.
PARTS = {
    datetime.datetime: ("datetime", _from_clock),
    datetime.date: ("date", datetime.date.isoformat),
    datetime.time: ("time", _from_clock),
    datetime.timedelta: ("timedelta", lambda value: (value.days, value.seconds, value.microseconds)),
    decimal.Decimal: ("decimal", str),
    fractions.Fraction: ("fraction", lambda value: (value.numerator, value.denominator)),
    pathlib.Path: ("path", str),
    pathlib.PurePath: ("purepath", str),
    uuid.UUID: ("uuid", str),
}

# By the kind's name: what makes one of the parts.
REMAKERS = {
    "dataclass": lambda parts: _to_dataclass(*parts),
    "date": datetime.date.fromisoformat,
    "datetime": lambda parts: _to_datetime(*parts),
    "decimal": decimal.Decimal,
    "enum": lambda parts: _to_enum(*parts),
    "fraction": lambda parts: fractions.Fraction(*parts),
    "namedtuple": lambda parts: _to_named_tuple(*parts),
    "path": pathlib.Path,
    "purepath": pathlib.PurePath,
    "time": lambda parts: _to_time(*parts),
    "timedelta": lambda parts: datetime.timedelta(*parts),
    "uuid": uuid.UUID,
}
