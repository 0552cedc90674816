"""What several tests need.                                         SPDX-License-Identifier: LGPL-2.1-or-later"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from pathlib import Path

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


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="strand-python-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def wait_until(self, holds):
        """Looks at what nothing announces."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)

    def run_program(self, source, *arguments):
        """Runs a program as its user would, from a file; gives what it printed, or fails with its stderr."""
        path = self.folder / "program.py"
        path.write_text(textwrap.dedent(source))
        done = run_python(path, *arguments, cwd=self.folder)
        self.assertEqual(done.returncode, 0, f"\n{done.stdout}\n{done.stderr}")
        return done

    def start_redis(self):
        """Starts a server for this test; gives the path of its socket."""
        if shutil.which("redis-server") is None:
            self.skipTest("no redis-server is installed")
        path = self.folder / "socket"
        words = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", self.folder]
        server = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        with socket.socket(socket.AF_UNIX) as connection:
            self.wait_until(lambda: connection.connect_ex(os.fspath(path)) == 0)
        return path


def run_python(*words, **settings):
    """Runs an interpreter to its end; gives what became of it."""
    words = [sys.executable, *map(str, words)]
    settings = {"timeout": PATIENCE, **settings}
    return subprocess.run(words, capture_output=True, text=True, check=False, **settings)
