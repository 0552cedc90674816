#!/usr/bin/env python3
"""otlp-shape.py FILE — holds a file of OTLP/JSON lines to the protocol, and tells its spans.

Each line must be an ExportTraceServiceRequest as opentelemetry-proto's JSON form has it: known names only, ids in
lower-case hexadecimal of the right length and not all zeros, 64-bit numbers as decimal strings, enumerations
as numbers, attributes as typed values. Prints one line a span: traceId spanId parentSpanId kind name status
attempt state ("-" for none). SPDX-License-Identifier: LGPL-2.1-or-later"""

import json
import re
import sys

NANOS = re.compile(r"(0|[1-9][0-9]{0,19})\Z")
VALUES = {"stringValue": str, "boolValue": bool, "doubleValue": float, "intValue": str}


def hexadecimal(text, digits):
    return isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", text) and text.strip("0")


def members(thing, required, optional=()):
    assert isinstance(thing, dict), thing
    assert set(required) <= set(thing) <= set(required) | set(optional), sorted(thing)


def attributes(those):
    seen = {}
    for one in those:
        members(one, ["key", "value"])
        assert isinstance(one["key"], str) and one["key"] not in seen, one
        assert len(one["value"]) == 1, one
        (kind, value), = one["value"].items()
        assert type(value) is VALUES[kind], one
        if kind == "intValue":
            assert re.fullmatch(r"-?[0-9]+", value) and -2**63 <= int(value) < 2**63, one
        seen[one["key"]] = value
    return seen


def span(one):
    members(one, ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano"],
            ["parentSpanId", "traceState", "attributes", "status"])
    assert hexadecimal(one["traceId"], 32) and hexadecimal(one["spanId"], 16), one
    assert "parentSpanId" not in one or hexadecimal(one["parentSpanId"], 16), one
    assert isinstance(one["name"], str) and one["name"], one
    assert type(one["kind"]) is int and 1 <= one["kind"] <= 5, one
    times = [one["startTimeUnixNano"], one["endTimeUnixNano"]]
    assert all(isinstance(time, str) and NANOS.match(time) for time in times), one
    assert int(times[0]) <= int(times[1]), one
    values = attributes(one.get("attributes", []))
    status = one.get("status", {})
    members(status, [], ["code", "message"])
    assert type(status.get("code", 0)) is int and 0 <= status.get("code", 0) <= 2, one
    print(one["traceId"], one["spanId"], one.get("parentSpanId", "-"), one["kind"], one["name"].replace(" ", "_"),
          status.get("code", 0), values.get("strand.attempt", "-"), one.get("traceState", "-"))


def line(text):
    request = json.loads(text)
    members(request, ["resourceSpans"])
    for resource in request["resourceSpans"]:
        members(resource, ["resource", "scopeSpans"], ["schemaUrl"])
        members(resource["resource"], ["attributes"])
        assert attributes(resource["resource"]["attributes"]).get("service.name"), resource
        for scope in resource["scopeSpans"]:
            members(scope, ["scope", "spans"], ["schemaUrl"])
            members(scope["scope"], ["name"], ["version"])
            assert scope["spans"], "a scope without spans"
            for one in scope["spans"]:
                span(one)


with open(sys.argv[1], encoding="utf-8", newline="\n") as file:
    for number, text in enumerate(file, 1):
        assert text.endswith("\n"), f"line {number} has no end"
        line(text)
