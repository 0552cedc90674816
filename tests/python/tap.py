"""tap.py MODULE — runs the unittest cases of one module and says in TAP how they went.

State goes to a folder of its own, so that no test meets what another, or the person who runs it, has left.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys
import tempfile
import traceback
import unittest


class TapResult(unittest.TestResult):
    """One line a test, with what went wrong above it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def say(self, line, test, tail=""):
        self.count += 1
        name = test.id().partition(".")[2].replace("_", "-")
        print(f"{line} {self.count} - {name}{tail}", flush=True)

    def say_failed(self, test, error):
        for line in "".join(traceback.format_exception(*error)).splitlines():
            print(f"# {line}")
        self.say("not ok", test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say("ok", test)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say_failed(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.say_failed(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.say_failed(subtest, error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say("ok", test, f" # SKIP {reason}")

    def addExpectedFailure(self, test, error):
        self.say_failed(test, error)

    def addUnexpectedSuccess(self, test):
        self.say("not ok", test)


def main():
    try:
        import gi  # noqa: F401
    except ImportError as missing:
        print(f"1..0 # SKIP {missing}")
        return 0
    sys.stdout.reconfigure(errors="backslashreplace")
    with tempfile.TemporaryDirectory(prefix="strand-python-") as home:
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
            os.environ[name] = os.path.join(home, name.lower())
            os.mkdir(os.environ[name], 0o700)
        result = TapResult()
        unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]).run(result)
        print(f"1..{result.count}", flush=True)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
