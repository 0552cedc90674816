#!/usr/bin/env python3
"""record-format.py — reads a record and writes another with nothing but Python's own json module.

Shows that docs/record-format.md is all another language needs. Called by test-record.c with the file to
read and the file to write.                        SPDX-License-Identifier: LGPL-2.1-or-later
"""
import base64
import json
import sys


def main(source, target):
    with open(source, encoding="utf-8") as file:
        record = json.load(file)

    assert record["v"] == 1
    assert record["key"] == "job-17"
    assert "kind" not in record  # at its default
    assert record["function"] == "demo.add"
    assert record["status"] == "failed"
    assert record["revision"] == 9223372036854775807
    assert record["lease"] == {"owner": "host é", "counter": 3}
    assert record["cancel-requested"] is True
    assert record["progress"] == 0.25
    assert record["headers"] == {"trace": "a\"b\\c\n"}
    assert record["metadata"]["big"] == {"type": "t", "value": 18446744073709551615}
    assert record["metadata"]["inf"] == {"type": "d", "value": "inf"}
    assert base64.b64decode(record["metadata"]["raw"]["value"]) == b"\0\xff"
    assert record["warnings"] == ["slow"]
    (cause,) = record["causes"]
    assert cause["error"]["domain"] == "strand-error-quark"
    assert cause["error"]["nick"] == "timed-out"
    assert cause["error"]["message"] == "took too long"
    assert record["arguments"] == {"type": "(xx)", "data": [1, 2]}
    assert base64.b64decode(record["value"]["base64"]) == b"\1\2\3"

    record["status"] = "pending"
    record["key"] = "from-python"
    record["arguments"] = {"type": "(dst)", "data": [1e308, "é\u2028\U0001f600", 18446744073709551615]}
    record["causes"].append({"error": {"domain": "g-io-error-quark", "nick": "not-found", "message": "gone"}})
    record["something-of-python"] = [None, {"deep": [True, False, 1.5e-7]}]
    # The order is free, white space too, and characters may be escaped.
    shuffled = dict(sorted(record.items(), reverse=True))
    with open(target, "w", encoding="utf-8") as file:
        json.dump(shuffled, file, indent=2, ensure_ascii=True)


main(*sys.argv[1:])
