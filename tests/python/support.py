"""What several tests need.                                         SPDX-License-Identifier: LGPL-2.1-or-later"""

import os
import subprocess
import sys
import tempfile
import textwrap
import threading

# Longer than a busy machine takes for anything; nothing waits for it to pass.
PATIENCE = 60


class Collector:
    """Callbacks that note what they are given, and on which thread."""

    def __init__(self):
        self.items = []
        self.ends = []
        self.errors = []
        self.threads = set()
        self._over = threading.Event()

    def on_iter(self, item):
        self.threads.add(threading.get_ident())
        self.items.append(item)

    def on_end(self, value):
        self.threads.add(threading.get_ident())
        self.ends.append(value)
        self._over.set()

    def on_error(self, error):
        self.threads.add(threading.get_ident())
        self.errors.append(error)
        self._over.set()

    @property
    def callbacks(self):
        return {"on_iter": self.on_iter, "on_end": self.on_end, "on_error": self.on_error}

    def wait(self):
        assert self._over.wait(PATIENCE), "neither on_end nor on_error came"


def run_program(source, *arguments):
    """Runs a program as its user would, from a file; gives what it printed, or fails with its stderr."""
    with tempfile.TemporaryDirectory(prefix="strand-program-") as folder:
        path = os.path.join(folder, "program.py")
        with open(path, "w") as file:
            file.write(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, path, *arguments], capture_output=True, text=True, timeout=PATIENCE, cwd=folder, check=False
        )
        assert done.returncode == 0, f"exit status {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout
