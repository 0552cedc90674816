#!/usr/bin/env python3
"""count.py BUILD TESTLOG.json — counts test cases in what `meson test` has logged.

Prints the cases that were skipped or failed, then `N passed, N failed`, with `, N skipped` if there are any. A program that
speaks TAP counts with its cases. One that ends before the end of its plan has failed with each case that it
did not get to, and one that ends badly after its plan, or has none, with one more. A program without TAP is
one case. What failed with a seed of its own, which it says as `# seed N`, is named with what plays it again. Exit
status: 0 if some passed and none failed, else 1.
                                                   SPDX-License-Identifier: LGPL-2.1-or-later"""

import collections
import json
import re
import sys

CASE = re.compile(r"(not )?ok\b\s*\d*\s*-?\s*([^#]*)(?:#\s*(skip)?\S*\s*(.*))?", re.IGNORECASE)
SEED = re.compile(r"^# seed (\d+)$", re.MULTILINE)
PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*(skip)\b)?", re.IGNORECASE)


def count_tap(output, went_well):
    """The number of passed cases, and what to say of each skipped and of each failed one."""
    plan, passed, skipped, failed = None, 0, [], []
    for line in output.splitlines():
        if match := PLAN.match(line):
            plan = int(match[1])
            if plan == 0 and match[2]:
                return 0, ["all cases"], []
        elif match := CASE.match(line):
            if match[1]:
                failed.append(match[2].strip())
            elif match[3]:
                skipped.append(f"{match[2].strip()}: {match[4]}")
            else:
                passed += 1

    missing = 0 if plan is None else plan - passed - len(skipped) - len(failed)
    failed += ["a case that was not reached"] * missing
    if plan is None:
        failed.append("no plan")
    elif missing < 0:
        failed.append("more cases than planned")
    elif not went_well and not failed:
        failed.append("the program ended badly")
    return passed, skipped, failed


def count_exit(result):
    if result == "OK":
        return 1, [], []
    return (0, ["exit status 77"], []) if result == "SKIP" else (0, [], ["exit status"])


def tell_again(name, output):
    """How to play it again with the seed that it had; "" where there was none."""
    seed = SEED.search(output)
    return f"; again: sh tests/run.sh {name} --test-args=--seed={seed[1]}" if seed else ""


def main(build, log_path):
    with open(f"{build}/meson-info/intro-tests.json", encoding="utf-8") as file:
        protocols = {test["name"]: test["protocol"] for test in json.load(file)}
    with open(log_path, encoding="utf-8") as file:
        log = [json.loads(line) for line in file]

    passed, skipped, failed = 0, 0, 0
    for test in log:
        # Logged as `project:suite / name`.
        name = test["name"].rpartition(" / ")[2]
        if protocols[name] == "tap":
            result = count_tap(test["stdout"], test["result"] in ("OK", "SKIP"))
        else:
            result = count_exit(test["result"])
        passed += result[0]
        skipped += len(result[1])
        failed += len(result[2])
        for what in result[1]:
            print(f"skipped: {test['name']}: {what}")
        for what, times in collections.Counter(result[2]).items():
            print(f"failed: {test['name']}: {what} ({test['result']})" + (f", {times} times" if times > 1 else "")
                  + tell_again(name, test["stdout"]))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
