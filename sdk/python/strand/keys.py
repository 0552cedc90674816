"""keys.py — what a mapping calls a key, and what strand calls it.

A mapping takes any text for a key, strand only `[A-Za-z0-9._-]{1,128}`. Others are written so that they can be read
back: `computation:1` is `python.computation_3a_1`.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import re

_KEY = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}\Z")
_FOREIGN = "python."


def strand_key(key):
    """The key under which strand knows what a mapping calls `key`; some clients of databases list bytes."""
    if isinstance(key, bytes):
        key = key.decode("utf-8", "backslashreplace")
    if _KEY.match(key) and not key.startswith(_FOREIGN):
        return key
    return _FOREIGN + "".join(c if c.isascii() and c.isalnum() or c == "-" else "_%x_" % ord(c) for c in key)


def mapping_key(key):
    """What the mapping calls a key of strand's."""
    if not key.startswith(_FOREIGN):
        return key
    return re.sub(r"_([0-9a-f]+)_", lambda match: chr(int(match[1], 16)), key[len(_FOREIGN) :])
