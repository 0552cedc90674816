"""values.py — any plain Python value as a GVariant, and back exactly; and what is made of plain values.

    None                  mv      nothing
    bool                  b
    int                   x       t where it needs 64 bits without a sign
    float                 d
    str                   s
    bytes                 ay
    list                  ax, ad or as where all elements are int, float or str; else av
    tuple                 (…)     of its elements' own types
    dict                  a{sv}   where all keys are str

What has no GVariant type of its own is a lone dictionary entry {sv}, which no plain value becomes: the kind
of value, and what it is made of. So an int beyond 64 bits is {'int',
<'0x1b30964ec395dc24069528d54bbda40d16e966ef9a70eb21b5b'>} (hexadecimal, because reading a long decimal number
takes time that grows with its square); a str with a NUL or a lone surrogate is {'str', <b'…'>} (UTF-8 with
surrogates); a dict with other keys {'dict', <[(k, v), …]>}; and bytearray, complex, frozenset, range and set
are made of a plain value each, as are the dates, paths, dataclasses and others of objects.py. A subclass of another
kind travels as what it extends.

With a type, a value becomes just that, or TypeError says why not: so a C function gets the types it declares.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import array

from gi.repository import GLib

from strand import objects

# Each level of a list is two of a GVariant's, which may have 128 when it comes from elsewhere.
MAX_DEPTH = 60

_INTEGERS = {
    "y": (GLib.Variant.new_byte, 0, 2**8 - 1),
    "n": (GLib.Variant.new_int16, -(2**15), 2**15 - 1),
    "q": (GLib.Variant.new_uint16, 0, 2**16 - 1),
    "i": (GLib.Variant.new_int32, -(2**31), 2**31 - 1),
    "u": (GLib.Variant.new_uint32, 0, 2**32 - 1),
    "x": (GLib.Variant.new_int64, -(2**63), 2**63 - 1),
    "t": (GLib.Variant.new_uint64, 0, 2**64 - 1),
    "h": (GLib.Variant.new_handle, -(2**31), 2**31 - 1),
}

# Arrays of numbers have the layout of array.array, so they are copied as a whole.
_TYPECODES = {"n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}

_ANY = GLib.VariantType.new("v")
_NOTHING = GLib.Variant.new_maybe(_ANY, None)


def to_variant(value, type_string=None):
    """Makes a GVariant of a Python value: the natural one, or one of the given type.

    A GLib.Variant is taken as it is. Raises TypeError for what cannot become one, ValueError where it is nested
    more than 60 levels deep, and OverflowError for a number that the given type cannot hold.
    """
    if type_string is None or type_string == "*":
        return _natural(value, 0)
    return _typed(value, type_string, 0)


def from_variant(variant):
    """Makes a Python value of a GVariant of any type; None of None."""
    return None if variant is None else _READERS[variant.get_type_string()[0]](variant)


def to_arguments(positional):
    """Makes the av of a Python function's positional arguments."""
    return _array_of_variants(positional, 0)


def to_keywords(keywords):
    """Makes the a{sv} of a Python function's keyword arguments."""
    return _dictionary(keywords, 0)


# From Python.


def _natural(value, depth):
    writer = _WRITERS.get(type(value))
    if writer is None:
        writer = _find_writer(value)
    return writer(value, depth)


def _find_writer(value):
    which = objects.own_kind(type(value))
    if which is not None:
        return _made_of(which, lambda value: objects.take_apart(value, which))
    for kind in type(value).__mro__:
        if kind in _WRITERS:
            return _WRITERS[kind]
    raise TypeError(
        f"a value of type '{type(value).__qualname__}' cannot leave the process: None, bool, int, float, str, "
        "bytes, list, tuple, dict, set, frozenset, range, complex and bytearray can, the standard library's dates, "
        "times, decimal numbers, fractions, UUIDs and paths, and dataclasses, enumerations and named tuples that are "
        "defined at the top level of a module"
    )


def _deeper(depth):
    if depth >= MAX_DEPTH:
        raise ValueError(f"the value is nested more than {MAX_DEPTH} levels deep, or contains itself")
    return depth + 1


def _tagged(kind, content):
    return GLib.Variant.new_dict_entry(GLib.Variant.new_string(kind), GLib.Variant.new_variant(content))


def _from_int(value, depth):
    if -(2**63) <= value < 2**63:
        return GLib.Variant.new_int64(value)
    if 0 <= value < 2**64:
        return GLib.Variant.new_uint64(value)
    return _tagged("int", GLib.Variant.new_string(hex(value)))


def _fits_string(value):
    if "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _from_str(value, depth):
    if _fits_string(value):
        return GLib.Variant.new_string(value)
    return _tagged("str", _from_bytes(value.encode("utf-8", "surrogatepass"), depth))


def _serialized(type_string, data):
    return GLib.Variant.new_from_bytes(GLib.VariantType.new(type_string), GLib.Bytes.new(data), True)


def _from_bytes(value, depth):
    return _serialized("ay", bytes(value))


def _array_of_variants(values, depth):
    depth = _deeper(depth)
    boxed = [GLib.Variant.new_variant(_natural(value, depth)) for value in values]
    return GLib.Variant.new_array(_ANY, boxed)


def _from_list(value, depth):
    kinds = set(map(type, value))
    if kinds == {int}:
        try:
            return _serialized("ax", array.array("q", value).tobytes())
        except OverflowError:
            pass
    elif kinds == {float}:
        return _serialized("ad", array.array("d", value).tobytes())
    elif kinds == {str} and all(map(_fits_string, value)):
        return GLib.Variant.new_strv(value)
    return _array_of_variants(value, depth)


def _from_tuple(value, depth):
    depth = _deeper(depth)
    return GLib.Variant.new_tuple(*[_natural(element, depth) for element in value])


def _dictionary(value, depth):
    depth = _deeper(depth)
    entries = GLib.VariantBuilder.new(GLib.VariantType.new("a{sv}"))
    for key, element in value.items():
        entries.add_value(
            GLib.Variant.new_dict_entry(
                GLib.Variant.new_string(key), GLib.Variant.new_variant(_natural(element, depth))
            )
        )
    return entries.end()


def _from_dict(value, depth):
    if all(isinstance(key, str) and _fits_string(key) for key in value):
        return _dictionary(value, depth)
    return _tagged("dict", _array_of_variants(value.items(), depth))


def _made_of(kind, parts):
    """A writer of a kind that a plain value is taken apart into."""
    return lambda value, depth: _tagged(kind, _natural(parts(value), _deeper(depth)))


_WRITERS = {
    type(None): lambda value, depth: _NOTHING,
    bool: lambda value, depth: GLib.Variant.new_boolean(value),
    int: _from_int,
    float: lambda value, depth: GLib.Variant.new_double(value),
    str: _from_str,
    bytes: _from_bytes,
    list: _from_list,
    tuple: _from_tuple,
    dict: _from_dict,
    bytearray: _made_of("bytearray", bytes),
    memoryview: lambda value, depth: _from_bytes(value.tobytes(), depth),
    complex: _made_of("complex", lambda value: (value.real, value.imag)),
    frozenset: _made_of("frozenset", list),
    range: _made_of("range", lambda value: (value.start, value.stop, value.step)),
    set: _made_of("set", list),
    GLib.Variant: lambda value, depth: value,
    **{kind: _made_of(*parts) for kind, parts in objects.PARTS.items()},
}


def split_types(type_string):
    """The types one after the other in a string of them, such as a tuple's without its brackets.

    GLib's own iteration looks beyond a type into the string that it is a part of, and here each is a copy.
    """
    types = []
    start = depth = 0
    for place, letter in enumerate(type_string):
        depth += (letter in "({") - (letter in ")}")
        if depth == 0 and letter not in "am":
            types.append(type_string[start : place + 1])
            start = place + 1
    return types


def _refuse(value, type_string):
    kind = type(value).__qualname__
    raise TypeError(f"a value of type '{kind}' cannot become a GVariant of type '{type_string}'")


def _typed(value, type_string, depth):
    if isinstance(value, GLib.Variant):
        if type_string == "v":
            return value if value.get_type_string() == "v" else GLib.Variant.new_variant(value)
        return value if value.get_type_string() == type_string else _refuse(value, type_string)
    first = type_string[0]
    if first in _INTEGERS:
        return _typed_integer(value, type_string)
    if first in _TYPED:
        return _TYPED[first](value, type_string, depth)
    raise TypeError(f"'{type_string}' is no type of a GVariant")


def _typed_integer(value, type_string):
    new, least, most = _INTEGERS[type_string]
    if not isinstance(value, int):
        _refuse(value, type_string)
    if not least <= value <= most:
        raise OverflowError(f"a GVariant of type '{type_string}' holds {least} to {most}, not {value:#x}")
    return new(value)


def _typed_boolean(value, type_string, depth):
    return GLib.Variant.new_boolean(value) if isinstance(value, bool) else _refuse(value, type_string)


def _typed_double(value, type_string, depth):
    return GLib.Variant.new_double(value) if isinstance(value, (int, float)) else _refuse(value, type_string)


def _typed_string(value, type_string, depth):
    if not isinstance(value, str):
        _refuse(value, type_string)
    if not _fits_string(value):
        raise ValueError(f"a GVariant of type '{type_string}' holds neither NUL nor lone surrogates")
    if type_string == "o":
        if not GLib.Variant.is_object_path(value):
            raise ValueError("the string is no object path")
        return GLib.Variant.new_object_path(value)
    if type_string == "g":
        if not GLib.Variant.is_signature(value):
            raise ValueError("the string is no signature")
        return GLib.Variant.new_signature(value)
    return GLib.Variant.new_string(value)


def _typed_variant(value, type_string, depth):
    return GLib.Variant.new_variant(_natural(value, depth))


def _typed_maybe(value, type_string, depth):
    inner = type_string[1:]
    content = None if value is None else _typed(value, inner, _deeper(depth))
    return GLib.Variant.new_maybe(GLib.VariantType.new(inner), content)


def _typed_array(value, type_string, depth):
    element = type_string[1:]
    depth = _deeper(depth)
    if type_string == "ay" and isinstance(value, (bytes, bytearray, memoryview)):
        return _from_bytes(value, depth)
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        _refuse(value, type_string)
    builder = GLib.VariantBuilder.new(GLib.VariantType.new(type_string))
    if element[0] == "{":
        if not isinstance(value, dict):
            _refuse(value, type_string)
        value = value.items()
    for item in value:
        builder.add_value(_typed(item, element, depth))
    return builder.end()


def _typed_parts(value, type_string, depth):
    types = split_types(type_string[1:-1])
    if not isinstance(value, (tuple, list)):
        _refuse(value, type_string)
    if len(value) != len(types):
        raise TypeError(f"{len(value)} values cannot become a GVariant of type '{type_string}'")
    parts = [_typed(part, kind, _deeper(depth)) for part, kind in zip(value, types)]
    if type_string[0] == "{":
        return GLib.Variant.new_dict_entry(*parts)
    return GLib.Variant.new_tuple(*parts)


_TYPED = {
    "b": _typed_boolean,
    "d": _typed_double,
    "s": _typed_string,
    "o": _typed_string,
    "g": _typed_string,
    "v": _typed_variant,
    "m": _typed_maybe,
    "a": _typed_array,
    "(": _typed_parts,
    "{": _typed_parts,
}


# To Python.


def _children(variant):
    return [from_variant(variant.get_child_value(place)) for place in range(variant.n_children())]


def _to_array(variant):
    element = variant.get_type_string()[1:]
    if element == "y":
        return variant.get_data_as_bytes().get_data() or b""
    if element in _TYPECODES:
        values = array.array(_TYPECODES[element])
        values.frombytes(variant.get_data_as_bytes().get_data() or b"")
        return values.tolist()
    if element == "s":
        return variant.get_strv()
    if element[0] == "{":
        return dict(_to_pair(variant.get_child_value(place)) for place in range(variant.n_children()))
    return _children(variant)


def _to_pair(variant):
    return from_variant(variant.get_child_value(0)), from_variant(variant.get_child_value(1))


def _to_entry(variant):
    key, content = _to_pair(variant)
    if variant.get_type_string() != "{sv}":
        return key, content
    if key not in _REMAKERS:
        raise ValueError(f"a value of kind '{key}' is unknown here: was it made by a newer strand?")
    return _REMAKERS[key](content)


_REMAKERS = {
    "int": lambda text: int(text, 16),
    "str": lambda data: data.decode("utf-8", "surrogatepass"),
    "dict": dict,
    "bytearray": bytearray,
    "complex": lambda parts: complex(*parts),
    "frozenset": frozenset,
    "range": lambda parts: range(*parts),
    "set": set,
    **objects.REMAKERS,
}

_READERS = {
    "b": GLib.Variant.get_boolean,
    "y": GLib.Variant.get_byte,
    "n": GLib.Variant.get_int16,
    "q": GLib.Variant.get_uint16,
    "i": GLib.Variant.get_int32,
    "u": GLib.Variant.get_uint32,
    "x": GLib.Variant.get_int64,
    "t": GLib.Variant.get_uint64,
    "h": GLib.Variant.get_handle,
    "d": GLib.Variant.get_double,
    "s": GLib.Variant.get_string,
    "o": GLib.Variant.get_string,
    "g": GLib.Variant.get_string,
    "v": lambda variant: from_variant(variant.get_variant()),
    "m": lambda variant: from_variant(variant.get_maybe()),
    "a": _to_array,
    "(": lambda variant: tuple(_children(variant)),
    "{": _to_entry,
}
