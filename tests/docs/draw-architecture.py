#!/usr/bin/env python3
"""draw-architecture.py — prints docs/architecture.svg: who talks to whom, and in which process.

The picture is the lists below. test-docs.py holds them to the code: each `Strand…` is a type of core, each `strand_…` a function
of core, PLUGINS has what plugins/ provides; and the file in docs/ is what this prints.
                                                                            SPDX-License-Identifier: LGPL-2.1-or-later"""

import html

WIDTH, HEIGHT = 1080, 704

# A process: its frame, and what it is.
FRAMES = [(16, 44, 680, 396, "a program"), (716, 44, 348, 396, "a worker, here or on another host")]

# Which plugins there are, by kind.
PLUGINS = {
    "backend": ["local", "store"],
    "middleware": ["logging", "metrics", "auth", "trace", "rate-limit", "concurrency-limit", "retry", "timeout", "cache"],
    "serializer": ["json", "gvariant"],
    "store": ["memory", "temporary", "filesystem", "sqlite", "redis"],
    "taskrunner": ["sync", "thread", "coroutine", "process"],
}


def names(kind, start=0, end=None):
    return " ".join(PLUGINS[kind][start:end])


# A thing: where it stands, its name, what it does.
BOXES = [
    (36, 84, 190, 62, "StrandTask", ["function, bound arguments,", "callbacks, target"]),
    (36, 162, 190, 46, "StrandTaskDispatcher", ["many calls, results in order"]),
    (36, 224, 190, 46, "StrandFlow", ["chains and groups of calls"]),
    (36, 362, 190, 62, "StrandHandle", ["status, value, items, progress", "in the caller's main context"]),
    (276, 84, 180, 62, "StrandBackend", [names("backend", 0, 1), "its clerk looks after calls"]),
    (276, 186, 180, 84, "StrandMiddleware", [names("middleware", 0, 4), names("middleware", 4, 6), names("middleware", 6)]),
    (276, 362, 180, 62, "StrandBackend", [names("backend", 1), "leaves calls for readers"]),
    (506, 84, 170, 62, "StrandTaskrunner", [names("taskrunner", 0, 3), names("taskrunner", 3)]),
    (506, 186, 170, 84, "StrandContext", ["what a function is given:", "cancellable, progress, items,", "key, attempt, deadline"]),
    (506, 362, 170, 62, "strand-helper", ["a warm process for each", "place; a crash costs a call"]),
    (736, 84, 138, 62, "StrandSchedule", ["leaves calls by time,", "each once"]),
    (890, 84, 158, 62, "StrandTaskrunner", ["runs functions, perhaps", "in helpers, as on the left"]),
    (890, 186, 158, 62, "StrandMiddleware", ["before and after", "each attempt"]),
    (784, 362, 264, 62, "StrandReader", ["claims calls under leases, renews these,", "settles what became of the calls"]),
    (16, 498, 1048, 62, "StrandStore", [names("store"),
                                         "a StrandRecord by key, its payload by a StrandSerializer: " + names("serializer")]),
    (16, 594, 516, 62, "StrandStack", ["a keyfile: says which of all this there is, and makes each", "object when it is first asked for"]),
    (548, 594, 516, 62, "StrandPlugins", ["finds the .so of each taskrunner, backend, store, serializer and", "middleware, and refuses by its descriptor, unloaded"]),
]

# From here to there, and by which function; the place of its name.
ARROWS = [
    ([(226, 104), (276, 104)], "", 0, 0, "start"),
    ([(226, 126), (250, 126), (250, 392), (276, 392)], "strand_backend_launch", 257, 318, "start"),
    ([(56, 270), (56, 362)], "strand_handle_new_for_call", 63, 318, "start"),
    ([(346, 146), (346, 186)], "strand_chain_submit", 353, 170, "start"),
    ([(456, 104), (506, 104)], "strand_taskrunner_submit", 481, 77, "middle"),
    ([(591, 146), (591, 186)], "strand_call_run", 598, 170, "start"),
    ([(591, 270), (591, 362)], "with process", 598, 318, "start"),
    ([(456, 130), (481, 130), (481, 498)], "strand_store_put", 474, 468, "end"),
    ([(306, 424), (306, 498)], "", 0, 0, "end"),
    ([(131, 498), (131, 424)], "strand_handle_new", 138, 468, "start"),
    ([(756, 146), (756, 498)], "strand_store_put", 749, 468, "end"),
    ([(876, 424), (876, 498)], "strand_store_claim", 869, 468, "end"),
    ([(1008, 424), (1008, 498)], "strand_store_change", 1001, 468, "end"),
    ([(969, 362), (969, 248)], "strand_chain_before", 962, 318, "end"),
    ([(969, 186), (969, 146)], "", 0, 0, "start"),
]

FONT = "font-family=\"DejaVu Sans, Verdana, sans-serif\""


def text(x, y, words, size, colour, extra=""):
    return f'<text x="{x}" y="{y}" {FONT} font-size="{size}" fill="{colour}"{extra}>{html.escape(words)}</text>'


def frame(x, y, width, height, title):
    return [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="#f3f6fa" stroke="#9db2c8" stroke-dasharray="5 4"/>',
            text(x + 14, y + 24, title, 14, "#42566b")]


def box(x, y, width, height, name, lines):
    drawn = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="#ffffff" stroke="#2f5d8c" stroke-width="1.5"/>',
             text(x + 10, y + 19, name, 13, "#14304d", ' font-weight="bold"')]
    return drawn + [text(x + 10, y + 36 + 16 * n, line, 11, "#33475b") for n, line in enumerate(lines)]


def arrow(points, label, x, y, anchor):
    path = " ".join(f"{'M' if n == 0 else 'L'} {px} {py}" for n, (px, py) in enumerate(points))
    drawn = [f'<path d="{path}" fill="none" stroke="#b3541e" stroke-width="1.6" marker-end="url(#head)"/>']
    return drawn + ([text(x, y, label, 10.5, "#8a3d12", f' text-anchor="{anchor}"')] if label else [])


def picture():
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
             "<!-- Printed by tests/docs/draw-architecture.py; change that, not this. -->",
             "<title>strand: who talks to whom, and in which process</title>",
             '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
             '<path d="M 0 0 L 8 4 L 0 8 z" fill="#b3541e"/></marker></defs>',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
             text(16, 28, "One stored call, run here or by a worker", 17, "#14304d", ' font-weight="bold"')]
    for draw, things in ((frame, FRAMES), (box, BOXES), (arrow, ARROWS)):
        for thing in things:
            lines += draw(*thing)
    lines.append(text(16, 690, "Arrows are functions of core; a task aimed at a taskrunner goes there without backend, middleware and store.", 12, "#42566b"))
    return "\n".join(lines + ["</svg>", ""])


if __name__ == "__main__":
    print(picture(), end="")
