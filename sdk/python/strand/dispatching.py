"""dispatching.py — many calls at once, and what became of each, in the order in which they were made.

`results`, `status` and `errors` have one place for each call, whichever ends first. They belong to one dispatcher,
and to what it has done since `reset()`: a call that ends later than that finds its place gone.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import functools
import threading
import time

from .calls import main_loop_runs
from .errors import CallTimeoutError
from .tasks import TargetTaskrunner, taskrunner_class

# How soon a wait looks again at what nothing announces: somebody's `check_complete`, and a callback that is about to
# end on another thread.
_LOOK_SECONDS = 0.01


class TaskDispatcher:
    """Makes calls of any functions, runs them together, and waits for all of them."""

    def __init__(self, target="thread", check_complete=None):
        """`check_complete(results, status, errors)` may decide when all is done; else it is when each has ended."""
        self._target = target
        self._check_complete = check_complete
        self._changed = threading.Condition()  # guards all that reset() makes
        self.reset()

    def reset(self):
        """Forgets all calls. Those that run go on."""
        with self._changed:
            self.results, self.status, self.errors = [], [], []
            self._queued = []
            self._handles = []
            self._is_complete = False

    def enqueue(
        self,
        func,
        *init_args,
        target=None,
        on_iter=None,
        on_end=None,
        on_error=None,
        args=None,
        kwargs=None,
        **init_kwargs,
    ):
        """Makes a call that run() starts."""
        runner = self._make_runner(func, init_args, init_kwargs, target, on_iter, on_end, on_error)
        with self._changed:
            self._queued.append((runner, args or (), kwargs or {}))

    def dispatch(
        self,
        func,
        *init_args,
        target=None,
        on_iter=None,
        on_end=None,
        on_error=None,
        args=None,
        kwargs=None,
        **init_kwargs,
    ):
        """Starts one call at once, and returns what its runner does: its handle."""
        runner = self._make_runner(func, init_args, init_kwargs, target, on_iter, on_end, on_error)
        return self._start(runner, args or (), kwargs or {})

    def run(self, timeout=10):
        """Starts what was enqueued, in that order, and waits until all is done: True, or TimeoutError."""
        deadline = time.monotonic() + timeout
        with self._changed:
            queued, self._queued = self._queued, []
        for runner, args, kwargs in queued:
            self._start(runner, args, kwargs)
        while not self.complete:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{self.status.count(None)} calls have not ended after {timeout} s")
            self._wait(deadline)
        return True

    @property
    def complete(self):
        """Whether all is done."""
        with self._changed:
            if not self._is_complete:
                if self._check_complete is not None:
                    self._is_complete = bool(self._check_complete(self.results, self.status, self.errors))
                else:
                    self._is_complete = None not in self.status
            return self._is_complete

    def _note(self, lists, which, word, place, outcome):
        with self._changed:
            lists[which][place] = outcome
            lists[1][place] = word
            self._changed.notify_all()

    def _make_runner(self, func, init_args, init_kwargs, target, on_iter, on_end, on_error):
        target = self._target if target is None else target
        kind = taskrunner_class(target) or functools.partial(TargetTaskrunner, target=target)
        with self._changed:
            self._is_complete = False
            place = len(self.status)
            lists = self.results, self.status, self.errors
            for one in lists:
                one.append(None)

        def noting(which, word, callback):
            def noted(outcome):
                try:
                    if callback is not None:
                        callback(outcome)
                finally:
                    self._note(lists, which, word, place, outcome)

            return noted

        runner = kind(
            func,
            *init_args,
            on_iter=on_iter,
            on_end=noting(0, "success", on_end),
            on_error=noting(2, "error", on_error),
            **init_kwargs,
        )
        return runner, lists, place

    def _start(self, made, args, kwargs):
        runner, lists, place = made
        handle = runner(*args, **kwargs)
        if hasattr(handle, "wait"):
            thread = threading.get_ident() if main_loop_runs() else None
            with self._changed:
                self._handles.append((handle, lists, place, thread))
        return handle

    def _wait(self, deadline):
        """Waits for something to happen. A handle's wait has this thread's callbacks called meanwhile."""
        with self._changed:
            ended = [one for one in self._handles if one[0].is_ready()]
            self._handles = [one for one in self._handles if one not in ended]
            handle = self._handles[0][0] if self._handles else None
            if handle is None and not ended:
                self._changed.wait(_LOOK_SECONDS)
        for one in ended:
            self._look_at(*one)
        if handle is not None:
            left = max(deadline - time.monotonic(), 0)
            try:
                handle.wait(min(left, _LOOK_SECONDS) if self._check_complete is not None else left)
            except CallTimeoutError:
                pass  # run() says so, or looks again

    def _look_at(self, handle, lists, place, thread):
        """A callback of this thread's main context comes when the loop turns again: its outcome is known now."""
        if thread != threading.get_ident():
            return
        error = handle.exception()
        if error is None:
            self._note(lists, 0, "success", place, handle.get_result())
        else:
            self._note(lists, 2, "error", place, error)
