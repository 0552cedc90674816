#!/usr/bin/env python3
"""test-docs.py SOURCE BUILD [PYTHON] — holds README.md and the pages below docs/ to the code.

    ```c FILE        lines that stand in FILE exactly so; FILE is compiled by the build, or a header
    ```js FILE       likewise, and ```vala, ```cpp: FILE is run by a test in tests/languages
    ```python FILE   the same of a program, which PYTHON runs; a ```text block that follows is what it prints
    ```python        a program that stands on the page alone: likewise
    ```ini [NAME]    a keyfile that passes `strand check`; NAME: the page's commands find it under that name
    ```console       commands after "$ ", run from top to bottom of the page in one empty folder, and what they print;
                     blanks count as one, "…" stands for anything. "$ COMMAND &" goes on beside the others, "kill %N" ends
                     the page's Nth of these and waits until it has ended
    ```text, ```json and indented lines are not looked at

A ```c block that is the whole of its file, or the last of those that are it together, with a blank line between them, is there
for the page's commands, too. Beside the blocks: links lead somewhere,
`[file](…), `function`` finds the function in the file, the table of errors has every code there is, and the tables of keys
are those of `strand inspect`.
`test-docs.py SOURCE BUILD --tables` prints these.          SPDX-License-Identifier: LGPL-2.1-or-later"""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

FENCE = re.compile(r"^```(.*)$")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
BENCHMARK = re.compile(r"\b(bench-[a-z]+)\b")
STEP = re.compile(r"\]\((?:\.\./)*([^)]+\.c)\)[,|\s]+((?:`\w+`\s*)+)")
KILL = re.compile(r"kill (?:-(\w+) )?%(\d+)")
PUBLIC = re.compile(r"^STRAND_AVAILABLE_IN_\w+\n[\w *]*\b(strand_\w+) \(", re.MULTILINE)
COMMENT = re.compile(r"^/\*\*\n \* (strand_\w+):.*?\n(.*?)\*/", re.MULTILINE | re.DOTALL)
WORDS = re.compile(r"^ \*\n \* (?!Returns:|Since:)", re.MULTILINE)
MENTION = re.compile(r"\bstrand ([a-z]+)\b([^|]*)")
SCRIPT = re.compile(r"\bsh ((?:sdk|tests)/\S+\.sh)")

# What auth.md's keyfile finds in its environment: base64 of 32 bytes.
SECRETS = f"example {'QUFB' * 10}QUE= web"

# Longer than a compiler takes on a busy machine, or a suite of conformance.
COMMAND_SECONDS = 300


class Block:
    def __init__(self, page, line, words, lines):
        self.page, self.line, self.lines = page, line, lines
        self.kind = words[0] if words else ""
        self.name = words[1] if len(words) > 1 else None
        self.text = "".join(line + "\n" for line in lines)
        self.title = f"{page.name}:{line}"


def read_blocks(page):
    blocks, words, start, lines = [], None, 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if fence and words is None:
            words, start, lines = fence[1].split(), number, []
        elif fence:
            blocks.append(Block(page, start, words, lines))
            words = None
        elif words is not None:
            lines.append(line)
    assert words is None, f"{page.name}:{start}: the block has no end"
    return blocks


class Docs:
    def __init__(self, source, build):
        self.source, self.build = source, build
        self.python = None
        self.pages = [source / "README.md", *sorted((source / "docs").rglob("*.md"))]
        self.blocks = {page: read_blocks(page) for page in self.pages}
        compiled = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
        self.compiled = {os.path.realpath(Path(c["directory"]) / c["file"]) for c in compiled}
        self.failed = self.count = 0
        self.helps = {}

    # Cases.

    def report(self, name, problem):
        self.count += 1
        print(f"{'not ok' if problem else 'ok'} {self.count} - {name}", flush=True)
        for line in str(problem or "").splitlines():
            print(f"# {line}", flush=True)
        self.failed += bool(problem)

    def write_pkg_config(self, state):
        """The build's own, as if nobody might write to the folder of installed plugins: `meson install` is to stay here."""
        folder = Path(state) / "pkgconfig"
        folder.mkdir(exist_ok=True)
        for file in (self.build / "meson-uninstalled").glob("*.pc"):
            text = re.sub(r"(?m)^plugindir=.*", f"plugindir={state}/nobody-s", file.read_text(encoding="utf-8"))
            (folder / file.name).write_text(text, encoding="utf-8")
        return folder

    def environment(self, state):
        environment = dict(os.environ)
        plugins = sorted((self.build / "plugins").glob("*/"))
        environment.update(
            STRAND_PLUGIN_PATH=":".join(str(folder) for folder in plugins if folder.is_dir()),
            STRAND_MODULE_PATH=str(self.build / "sdk" / "demo"),
            STRAND_HELPER=str(self.build / "sdk" / "helper" / "strand-helper"),
            STRAND_TEMPLATES=str(self.source / "sdk" / "templates"),
            PKG_CONFIG_PATH=str(self.write_pkg_config(state)),
            PATH=f"{self.build / 'sdk' / 'command'}:{environment['PATH']}",
            LD_LIBRARY_PATH=str(self.build / "core"), GI_TYPELIB_PATH=str(self.build / "core"),
            PYTHONPATH=str(self.source / "sdk" / "python"), PYTHONDONTWRITEBYTECODE="1", MYAPP_KEYS=SECRETS,
            XDG_STATE_HOME=f"{state}/state", XDG_DATA_HOME=f"{state}/data", LC_ALL="C.UTF-8")
        return environment

    def run(self, command, folder, state):
        result = subprocess.run(command, shell=isinstance(command, str), cwd=folder, env=self.environment(state),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                timeout=COMMAND_SECONDS, check=False)
        return result.returncode, result.stdout.decode("utf-8", "replace")

    def check_quotation(self, block):
        if block.name is None and block.kind == "python":
            return self.run_alone(block) if self.python else None
        if block.name is None:
            return f"a ```{block.kind} block names the file that it quotes"
        path = self.source / block.name
        if not path.is_file():
            return f"there is no file '{block.name}'"
        if block.kind == "python":
            problem = self.run_program(path, block) if self.python else None
            if problem:
                return problem
        elif block.kind != "c":
            tests = (self.source / "tests" / "languages").iterdir()
            if not any(block.name in test.read_text(encoding="utf-8") for test in tests):
                return f"no test in tests/languages runs '{block.name}'"
        elif path.suffix != ".h" and os.path.realpath(path) not in self.compiled:
            return f"the build does not compile '{block.name}'"
        if "\n" + block.text not in "\n" + path.read_text(encoding="utf-8"):
            return f"'{block.name}' has no such lines"
        return None

    def run_alone(self, block):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program.py"
            path.write_text(block.text, encoding="utf-8")
            return self.run_program(path, block)

    def run_program(self, path, block):
        """Prints what the page says, if that says something."""
        blocks = self.blocks[block.page]
        after = blocks[blocks.index(block) + 1:][:1]
        with tempfile.TemporaryDirectory() as state:
            status, output = self.run([self.python, str(path)], state, state)
        good = status == 0 and (not after or after[0].kind != "text" or output == after[0].text)
        return None if good else f"exit status {status}, and it printed:\n{output}"

    def check_keyfile(self, block):
        return self.check_keyfile_text(block.text)

    def check_keyfile_text(self, text):
        """Modules and plugins of the examples may be named, though the page makes them only when its commands are run."""
        with tempfile.TemporaryDirectory() as state:
            path = Path(state) / "stack.conf"
            path.write_text(text, encoding="utf-8")
            examples = self.build / "sdk" / "examples"
            paths = f"STRAND_MODULE_PATH=$STRAND_MODULE_PATH:{examples} STRAND_PLUGIN_PATH=$STRAND_PLUGIN_PATH:{examples}"
            status, output = self.run(f"{paths} strand check {path}", state, state)
        return output or "strand check says nothing" if status != 0 else None

    def check_links(self, page):
        problems = []
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            leads_to = page.parent / target if target else page
            if "://" in target:
                continue
            if not leads_to.exists():
                problems.append(f"'{target}' leads nowhere")
            elif anchor and anchor not in anchors(leads_to):
                problems.append(f"'{target}' has no heading for '#{anchor}'")
        for name in set(BENCHMARK.findall(page.read_text(encoding="utf-8"))):
            if not (self.source / "tests" / "bench" / f"{name}.c").is_file():
                problems.append(f"there is no benchmark '{name}'")
        for script in SCRIPT.findall(page.read_text(encoding="utf-8")):
            if not (self.source / script).is_file():
                problems.append(f"there is no '{script}'")
        return "\n".join(problems)

    def check_reached(self):
        """Whoever begins with the README finds every page by following links."""
        reached, ahead = set(), [self.source / "README.md"]
        while ahead:
            page = ahead.pop().resolve()
            if page in reached or page.suffix != ".md" or not page.is_file():
                continue
            reached.add(page)
            ahead += [page.parent / target for target, _ in LINK.findall(page.read_text(encoding="utf-8")) if target]
        return "\n".join(f"nothing leads to {page}" for page in self.pages if page.resolve() not in reached)

    def check_commands(self, page):
        """Runs a page's commands; the first that does otherwise than the page says is told."""
        with tempfile.TemporaryDirectory() as state:
            folder = Path(state) / "work"
            folder.mkdir()
            jobs, pieces = [], {}
            try:
                for block in self.blocks[page]:
                    self.write_file(block, folder, pieces)
                    problem = self.run_session(block, folder, state, jobs) if block.kind == "console" else None
                    if problem:
                        return problem
            finally:
                for job in jobs:
                    end_job(job, signal.SIGKILL)
        return None

    def write_file(self, block, folder, pieces):
        if block.kind == "ini" and block.name:
            (folder / block.name).write_text(block.text, encoding="utf-8")
        elif block.kind == "c" and block.name:
            source = self.source / block.name
            pieces.setdefault(block.name, []).append(block.text)
            text = "\n".join(pieces[block.name])
            if source.is_file() and source.read_text(encoding="utf-8") == text:
                (folder / source.name).write_text(text, encoding="utf-8")

    def run_command(self, command, folder, state, jobs):
        if command.endswith(" &"):
            jobs.append(subprocess.Popen(["sh", "-c", "exec " + command[:-2]], cwd=folder, env=self.environment(state),
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                         start_new_session=True))
            return 0, ""
        kill = KILL.fullmatch(command)
        if kill:
            end_job(jobs[int(kill[2]) - 1], signal.Signals["SIG" + (kill[1] or "TERM")])
            return 0, ""
        return self.run(command, folder, state)

    def run_session(self, block, folder, state, jobs):
        commands = []
        for line in block.lines:
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif not commands:
                return f"{block.title}: output before the first command"
            else:
                commands[-1][1].append(line)
        for command, expected in commands:
            status, output = self.run_command(command, folder, state, jobs)
            if status < 0 or status > 125 or not matches(expected, output.splitlines()):
                return f"{block.title}: $ {command}\nexit status {status}, and it printed:\n{output}"
        return None

    def check_examples(self):
        """The programs print what the pages let one expect; the second process finds what the first has stored."""
        programs = self.build / "sdk" / "examples"
        with tempfile.TemporaryDirectory() as state:
            for words, expected in [(["hello"], "144\n"), (["many"], "250500250000\n"), (["stored", "run", "key"], "HELLO\n"),
                                    (["stored", "show", "key"], "HELLO\n"),
                                    (["strand", "run", "-q", "-m", str(programs / "lines.so"), "lines.each", "--items",
                                      str(self.source / ".gitignore")],
                                     (self.source / ".gitignore").read_text(encoding="utf-8") + "1\n"),
                                    (["strand", "run", "-q", "-b", "thread", "-m", str(programs / "lines.so"), "lines.model", "['a']"],
                                     "an object of type GListStore\n")]:
                program = programs / words[0]
                command = [str(program) if program.exists() else words[0], *words[1:]]
                status, output = self.run(command, state, state)
                if (status, output) != (0, expected):
                    return f"{' '.join(words)}: exit status {status}, and it printed:\n{output}"
        return None

    def check_picture(self):
        """The picture is what its source draws, and what it names is there."""
        source = runpy.run_path(str(self.source / "tests" / "docs" / "draw-architecture.py"))
        drawn = source["picture"]()
        problems = []
        if drawn != (self.source / "docs" / "architecture.svg").read_text(encoding="utf-8"):
            problems.append("it is another one: python3 tests/docs/draw-architecture.py > docs/architecture.svg")
        headers = self.text_below("core", "*.h")
        functions = self.text_below("core", "*.c")
        problems += [f"core has no type '{name}'" for name in set(re.findall(r"\bStrand[A-Z]\w+", drawn))
                     if not re.search(rf"\b{name}\b", headers)]
        problems += [f"core has no function '{name}'" for name in set(re.findall(r"\bstrand_\w+", drawn))
                     if not re.search(rf"^{name} \(", functions, re.MULTILINE)]
        provided = {}
        for kind, name in re.findall(r'STRAND_PROVIDES_([A-Z]+) \("([^"]+)"', self.text_below("plugins", "*.c")):
            provided.setdefault(kind.lower(), set()).add(name)
        problems += [f"of {kind} it has {sorted(names)}, and plugins/ {sorted(provided.get(kind, []))}"
                     for kind, names in source["PLUGINS"].items() if set(names) != provided.get(kind)]
        return "\n".join(problems)

    def check_headers(self):
        """The page of the record format names each header of strand's own."""
        page = (self.source / "docs" / "record-format.md").read_text(encoding="utf-8")
        headers = re.findall(r'#define STRAND_\w*HEADER\w* "(strand\.[a-z-]+)"', self.text_below("core", "*.h"))
        return "" if headers and all(f"`{name}`" in page for name in headers) else f"not all of {headers} are in it"

    def text_below(self, folder, pattern):
        return "\n".join(path.read_text(encoding="utf-8") for path in sorted((self.source / folder).rglob(pattern)))

    # What the header files promise.

    def check_descriptions(self):
        """Each public function has a comment of its own, which says since when it is there."""
        problems = []
        for folder in ("core", "sdk/conformance"):
            text = self.text_below(folder, "*.[ch]")
            described = {name: body for name, body in COMMENT.findall(text)}
            names = {name for path in (self.source / folder).glob("*.h") if not path.name.endswith("-private.h")
                     for name in PUBLIC.findall(path.read_text(encoding="utf-8"))}
            if not names:
                problems.append(f"{folder} has no public functions that this test can read")
            problems += [f"{name} has no description" for name in sorted(names)
                         if not WORDS.search(described.get(name, "")) and not name.endswith("_get_type")]
            problems += [f"{name} does not say since when it is there" for name in sorted(names)
                         if "Since: " not in described.get(name, "Since: ")]
        return "\n".join(problems)

    def check_names(self):
        """Functions that pages and descriptions name with brackets are there."""
        code = self.text_below("core", "*.[ch]") + self.text_below("sdk", "*.[ch]")
        defined = set(re.findall(r"\b(strand_\w+) \((?!\))", code)) | set(re.findall(r"#define (strand_\w+)\(", code))
        texts = {page.name: page.read_text(encoding="utf-8") for page in self.pages}
        texts.update(COMMENT.findall(code))
        problems = [f"{name} names {function}()" for name, text in texts.items() for function in re.findall(r"\b(strand_\w+)\(\)", text)
                    if function not in defined]
        return "there are none such: " + "; ".join(problems) if problems else None

    def check_options(self):
        """README names every option of the build."""
        page = (self.source / "README.md").read_text(encoding="utf-8")
        options = re.findall(r"^option\('([a-z-]+)'", (self.source / "meson_options.txt").read_text(encoding="utf-8"), re.MULTILINE)
        missing = [option for option in options if f"-D{option}=" not in page]
        return f"without {missing}" if missing or not options else None

    # Commands that pages mention without running them.

    def help_of(self, command):
        if command not in self.helps:
            self.helps[command] = self.run(["strand", *command.split(), "--help"], "/", "/")
        return self.helps[command]

    def check_mentions(self, page):
        """What stands in `…` or in a line of its own as a command is one, and has the options that are named."""
        problems = []
        for line in outside_of_blocks(page):
            code = [line.strip().split("  ")[0]] if line.startswith("    strand ") else re.findall(r"`(strand [^`]*)`", line)
            for command, rest in (mention for text in code for mention in MENTION.findall(text)):
                status, text = self.help_of(command)
                problems += [f"there is no command 'strand {command}'"] if status != 0 else \
                    [f"'strand {command}' has no option '{option}'" for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)
                     if not re.search(rf"{option}\b", text)]
        return "\n".join(problems)

    # The manual.

    def check_manual(self):
        """Pages are well-formed, installed, refer to each other rightly, and name the plugins; their keyfiles are good."""
        pages = {path.name: path.read_text(encoding="utf-8") for path in sorted((self.source / "sdk" / "man").iterdir())}
        installed = (self.source / "sdk" / "meson.build").read_text(encoding="utf-8")
        problems = [f"{name} is not installed" for name in pages if f"'man/{name}'" not in installed]
        for name, text in pages.items():
            problems += [f"{name}: there is no {page}.{section}" for page, section in re.findall(r"^\.BR (strand[^ ]*) \((\d)\)", text, re.MULTILINE)
                         if f"{page.replace(chr(92), '')}.{section}" not in pages]
            if shutil.which("groff"):
                _, output = self.run(["groff", "-man", "-Tutf8", "-ww", "-z", str(self.source / "sdk" / "man" / name)], "/", "/")
                problems += [output] if output else []
        for name in pages:
            command = re.fullmatch(r"strand-([a-z]+)\.1", name)
            status, text = self.help_of(command[1]) if command else (1, "")
            problems += [f"{name} does not name '{option}'" for option in re.findall(r"--[a-z-]+", text.partition("Options of every")[0])
                         if status == 0 and option.replace("-", "\\-") not in pages[name]]
        keyfiles = re.findall(r"^\.nf\n(\[.*?)^\.fi$", pages["strand.conf.5"], re.MULTILINE | re.DOTALL)
        problems += [problem for problem in map(self.check_keyfile_text, (text.replace("\\-", "-") for text in keyfiles)) if problem]
        names = runpy.run_path(str(self.source / "tests" / "docs" / "draw-architecture.py"))["PLUGINS"]
        problems += [f"strand.conf.5 does not name {kind} '{name}'" for kind in names for name in names[kind]
                     if not re.search(rf"\b{name}\b", pages["strand.conf.5"].replace("\\-", "-"))]
        return "\n".join(problems + ([] if keyfiles else ["strand.conf.5 has no keyfile that this test can read"]))

    # The tables that the code decides.

    def error_codes(self):
        header = (self.source / "core" / "strand-error.h").read_text(encoding="utf-8")
        return re.findall(r"^  (STRAND_(?:PLUGIN_)?ERROR_\w+),", header, re.MULTILINE)

    def check_errors(self):
        page = (self.source / "docs" / "errors.md").read_text(encoding="utf-8")
        codes = self.error_codes()
        # Tables name codes without the domain's prefix; the domain stands in the heading above.
        written = []
        prefix = ""
        for line in page.splitlines():
            if heading := re.match(r"## `(STRAND_\w*ERROR)`", line):
                prefix = heading[1] + "_"
            elif line.startswith("## "):
                prefix = ""
            elif (row := re.match(r"\| `([A-Z_]+)` \|", line)) and prefix:
                written.append(prefix + row[1])
                if not re.fullmatch(r"\| [^|]+ \| [^|]*\w[^|]* \| [^|]*\w[^|]* \|", line):
                    return f"'{row[1]}' needs a cause and a cure"
        if not codes or written == codes:
            return None if codes else "the header has no codes that this test can read"
        return (f"missing: {[c for c in codes if c not in written]}, unknown: {[c for c in written if c not in codes]}, "
                "or in another order than the header's")

    def check_steps(self):
        """Where a page names a file and then functions, the file has them."""
        problems = []
        for page in self.pages:
            for path, names in STEP.findall(page.read_text(encoding="utf-8")):
                text = (self.source / path).read_text(encoding="utf-8") if (self.source / path).is_file() else ""
                problems += [f"{page.name}: '{path}' has no function '{name}'" for name in re.findall(r"\w+", names)
                             if not re.search(rf"^{name} \(", text, re.MULTILINE)]
        return "\n".join(problems)

    def types(self):
        with tempfile.TemporaryDirectory() as state:
            plugins = json.loads(self.run(["strand", "plugins", "--json"], state, state)[1])
            return [json.loads(self.run(["strand", "inspect", f"{p['kind']}/{p['type']}", "--json"], state, state)[1])
                    for p in plugins if p["state"] == "available"] + \
                [json.loads(self.run(["strand", "inspect", kind, "--json"], state, state)[1])
                 for kind in ("reader", "schedule")]

    def key_tables(self):
        return "\n".join(key_table(one) for one in self.types())

    def check_key_tables(self):
        page = (self.source / "docs" / "keyfile.md").read_text(encoding="utf-8")
        missing = [table for table in map(key_table, self.types()) if table not in page]
        return "not as `strand inspect` has it:\n" + "\n".join(missing) if missing else None

    def main(self):
        blocks = [block for page in self.pages for block in self.blocks[page]]
        for block in blocks:
            if block.kind in ("c", "js", "vala", "cpp"):
                self.report(f"{block.title} quotes {block.name}", self.check_quotation(block))
            elif block.kind == "python" and block.name:
                self.report(f"{block.title} quotes {block.name}, which runs", self.check_quotation(block))
            elif block.kind == "ini":
                self.report(f"{block.title} is a good keyfile", self.check_keyfile(block))
        for page in self.pages:
            self.report(f"{page.name} has links that lead somewhere", self.check_links(page))
            self.report(f"{page.name} names commands and options that there are", self.check_mentions(page))
            if any(block.kind == "console" for block in self.blocks[page]):
                self.report(f"{page.name} shows what its commands do", self.check_commands(page))
        self.report("every page is reached from README.md", self.check_reached())
        self.report("examples do what they are for", self.check_examples())
        self.report("the picture of the architecture is that of the code", self.check_picture())
        self.report("functions that are named are there", self.check_names())
        self.report("README.md has every option of the build", self.check_options())
        self.report("record-format.md has every header", self.check_headers())
        self.report("manual pages are complete", self.check_manual())
        self.report("public functions are described", self.check_descriptions())
        self.report("files have the functions that pages say they have", self.check_steps())
        self.report("errors.md has every code", self.check_errors())
        self.report("keyfile.md has every key", self.check_key_tables())
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def end_job(job, number):
    """The job itself, which is to end its helpers; these do not outlive it for long."""
    if job.poll() is None:
        job.send_signal(number)
        job.wait(COMMAND_SECONDS)


def outside_of_blocks(page):
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            yield line


def anchors(page):
    """The names that a page's headings have for links, as they are made by those who show Markdown."""
    words = (re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()) for line in page.read_text(encoding="utf-8").splitlines()
             if re.match(r"#+ ", line))
    return {word.replace(" ", "-") for word in words}


def matches(expected, output):
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*"
        else:
            words = (".*".join(map(re.escape, word.split("…"))) for word in line.split())
            pattern += r"\s+".join(words).replace("\n", "") + "\n"
    return re.fullmatch(pattern, "".join(" ".join(line.split()) + "\n" for line in output)) is not None


def key_table(one):
    """A type's keys as a Markdown table, from what `strand inspect --json` says."""
    lines = [f"### `{one['name']}`", "", one["summary"] + ".", ""]
    if not one["properties"]:
        lines[-2] += " It has no keys."
        return "\n".join(lines)
    lines += ["| key | value | default | what it is |", "| --- | --- | --- | --- |"]
    for key in one["properties"]:
        value = key["type"] + (f": {key['allowed']}" if key["allowed"] else "")
        default = "required" if key["required"] else f"`{key['default']}`" if key["default"] else ""
        lines.append(f"| `{key['name']}` | {value} | {default} | {key['help']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCS = Docs(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
    if sys.argv[3:] == ["--tables"]:
        print(DOCS.key_tables())
        sys.exit(0)
    DOCS.python = sys.argv[3] if sys.argv[3:] else None
    sys.exit(DOCS.main())
