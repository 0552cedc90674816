#!/usr/bin/env python3
"""sqlite-python.py — reads and writes the database of a sqlite store with Python's own sqlite3 and json.

Shows that docs/stores.md and docs/record-format.md are all another program needs. Called by test-sqlite-store.c
with the database.                                 SPDX-License-Identifier: LGPL-2.1-or-later
"""
import base64
import json
import math
import sqlite3
import struct
import sys

# What `metadata` holds of each type, as its values are written.
TYPES = {
    "b": ("b", True),
    "y": ("y", 255),
    "n": ("n", -32768),
    "q": ("q", 65535),
    "i": ("i", -2147483648),
    "u": ("u", 4294967295),
    "x": ("x", -9223372036854775808),
    "t": ("t", 18446744073709551615),
    "d": ("d", 0.1),
    "inf": ("d", "-inf"),
    "s": ("s", "é\n\U0001f600"),
    "o": ("o", "/org/example"),
    "g": ("g", "a{sv}"),
    "v": ("v", {"type": "i", "value": 1}),
    "ay": ("ay", base64.b64encode(b"\0\xff").decode()),
    "ai": ("ai", [1, -2]),
    "dict": ("a{si}", {"a": 1}),
    "numbers": ("a{us}", [[1, "a"]]),
    "tuple": ("(is)", [1, "x"]),
    "unit": ("()", []),
    "nothing": ("ms", None),
    "just": ("ms", ["x"]),
    "deep": ("aav", [[{"type": "mmb", "value": [None]}]]),
}


def same(a, b):
    """Equal, and of the same kind: True is not 1, and 1.0 is not 1."""
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("d", a) == struct.pack("d", b)
    return type(a) is type(b) and a == b


def read(db):
    db.row_factory = sqlite3.Row
    (row,) = db.execute("SELECT * FROM records WHERE key = 'from-strand'")
    assert row["status"] == 3 and row["revision"] == 1 and row["kind"] == "call"
    assert row["priority"] == -9223372036854775808
    assert row["not-before"] == 9223372036854775807
    assert row["ttl"] == -1 and row["queue"] == "mail" and row["unique"] is None
    assert same(row["progress"], 0.1)
    assert row["message"] == "é\n\U0001f600"
    assert json.loads(row["headers"]) == {'a"b': "c\\d"}
    assert json.loads(row["warnings"]) == ["slow"]
    metadata = json.loads(row["metadata"])
    assert metadata.keys() == TYPES.keys()
    for name, (kind, value) in TYPES.items():
        assert metadata[name]["type"] == kind, name
        assert same(metadata[name]["value"], value), name
    ((attempt, worker, time, domain, nick, code, text),) = json.loads(row["causes"])
    assert (attempt, worker, domain, nick, text) == (2, "alpha", "g-io-error-quark", "not-found", "gone")
    assert time > 0 and code == 1
    assert row["arguments-type"] == "(xx)" and json.loads(row["arguments"]) == [2, 3]
    assert row["value"] == bytes(range(256))
    return row


def write(db, row):
    """The same record under another key; then a call for a worker."""
    names = [name for name in row.keys() if name not in ("id", "key", "later")]
    quoted = ", ".join(f'"{name}"' for name in names)
    db.execute(
        f"INSERT INTO records (key, {quoted}) VALUES (?{', ?' * len(names)})",
        ["from-python", *(row[name] for name in names)],
    )
    db.execute(
        "INSERT INTO records (key, revision, function, queue, serializer, created, \"arguments-type\", arguments)"
        " VALUES ('call', 1, 'demo.add', 'mail', 'json', 1795338778493611, '(xd)', ?)",
        [json.dumps([9223372036854775807, math.nextafter(1.0, 2.0)]).encode()],
    )
    changed = db.execute(
        "UPDATE records SET message = 'from python', revision = revision + 1 WHERE key = 'from-strand' AND revision = 1"
    )
    assert changed.rowcount == 1


def main(path):
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with db:
        write(db, read(db))
    db.close()


main(*sys.argv[1:])
