"""What a type checker makes of the stubs: a program that uses everything, and the modules themselves.
                                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import importlib.util
import os
import re
import unittest
from pathlib import Path

import strand
import strand.au
import strand.taskrunning.utils
from support import PATIENCE, Case, run_python

HERE = Path(__file__).parent
PACKAGE = Path(strand.__file__).parent


@unittest.skipUnless(importlib.util.find_spec("mypy"), "no mypy is installed")
class TestTypes(Case):
    def check(self, *words):
        """Runs a part of mypy, with its cache here."""
        environment = {**os.environ, "MYPYPATH": str(PACKAGE.parent), "MYPY_CACHE_DIR": str(self.folder / "cache")}
        return run_python("-m", *words, cwd=self.folder, env=environment, timeout=5 * PATIENCE)

    def test_program_with_types(self):
        done = self.check("mypy", "--strict", HERE / "typed_sample.py")
        self.assertEqual((done.returncode, done.stdout), (0, "Success: no issues found in 1 source file\n"), done.stderr)

    def test_program_has_every_public_name(self):
        words = set(re.findall(r"\w+", (HERE / "typed_sample.py").read_text()))
        for module in (strand, strand.au):
            self.assertEqual(set(module.__all__) - words, set())

    def test_stubs_are_what_the_modules_have(self):
        config, allowed = self.folder / "config", self.folder / "allowed"
        config.write_text("[mypy]\nignore_missing_imports = True\n")
        allowed.write_text("strand.coroutines.LoopTaskrunner\n")  # GObject's metaclass has no stub
        words = ["--concise", "--mypy-config-file", config, "--ignore-missing-stub", "--allowlist", allowed]
        done = self.check("mypy.stubtest", *words, "strand")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


if __name__ == "__main__":
    unittest.main()
