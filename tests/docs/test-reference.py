#!/usr/bin/env python3
"""test-reference.py GI_DOCGEN CONFIG CONTENT GIR — holds the reference to the interface.

gi-docgen looks for what has no description, parameter by parameter. It does not look at methods of interfaces that a
plugin implements, so these are looked for here. Pages are made in a folder that goes away, and a warning is a failure:
a link to a symbol that is not there, say.                         SPDX-License-Identifier: LGPL-2.1-or-later"""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

CORE = "{http://www.gtk.org/introspection/core/1.0}"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run(*command):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=240, check=False)
    return result.returncode, COLOURS.sub("", result.stdout.decode("utf-8", "replace"))


def warnings(output):
    return [line.partition(": ")[2] for line in output.splitlines() if line.startswith(("WARNING", "ERROR"))]


def undocumented(gi_docgen, config, gir):
    status, output = run(gi_docgen, "check", "--config", config, gir)
    return warnings(output) or ([output] if status != 0 else [])


def undocumented_methods(gir):
    """Virtual methods and signals."""
    missing = []
    for kind in ElementTree.parse(gir).iter():
        for name in ("virtual-method", "{http://www.gtk.org/introspection/glib/1.0}signal"):
            for method in kind.findall(name if name.startswith("{") else CORE + name):
                if method.find(CORE + "doc") is None:
                    missing.append(f"{kind.get('name')}.{method.get('name')} has no description")
    return missing


def bad_pages(gi_docgen, config, content, gir):
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(gi_docgen, "generate", "--quiet", "--fatal-warnings", "--config", config, "--content-dir", content,
                             "--output-dir", folder, gir)
        return warnings(output) or ([output] if status != 0 else [])


def main():
    gi_docgen, config, content, gir = sys.argv[1:]
    cases = [("public symbols are described", undocumented(gi_docgen, config, gir)),
             ("methods of interfaces are described", undocumented_methods(gir)),
             ("pages are made without a warning", bad_pages(gi_docgen, config, content, gir))]
    print(f"1..{len(cases)}")
    for number, (name, problems) in enumerate(cases, 1):
        print(f"{'not ok' if problems else 'ok'} {number} - {name}")
        for problem in problems:
            print("# " + problem.replace("\n", "\n# "))
    return 1 if any(problems for _, problems in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
