"""strand.taskrunning.utils — a process for as long as a `with` block lasts, and other names of the original.

The process is a `Strand.Process`: a guard starts it and ends it with all that it has started, also when this program
is killed. A Python function is found there by its module and name, as on a process runner.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib, Strand

from .. import arguments, errors, functions
from ..tasks import taskrunner_class

__all__ = ["RunningProcess", "conditional_logger", "resolve_runner_cls", "run_process"]


def resolve_runner_cls(target):
    """The Taskrunner class of a name, or the class itself."""
    kind = taskrunner_class(target)
    if kind is None:
        raise ValueError(
            f"{target!r} is no target: 'thread', 'process', 'coroutine', 'store', 'sync' and Taskrunner classes are"
        )
    return kind


def conditional_logger(verbose=False, log_func=print):
    """`log_func` if verbose, else a function that says nothing."""
    return log_func if verbose else lambda *args, **kwargs: None


class RunningProcess:
    """A process that run_process() has started."""

    def __init__(self, process):
        self.native = process

    @property
    def name(self):
        return self.native.get_name()

    @property
    def pid(self):
        return self.native.get_pid()

    @property
    def exitcode(self):
        """None while it runs; then its exit status, or minus the signal that ended it."""
        if self.is_alive():
            return None
        return os.waitstatus_to_exitcode(self.native.get_wait_status())

    def is_alive(self):
        return self.native.is_alive()

    def join(self, timeout=None):
        """Waits until it ends by itself, at most so many seconds."""
        try:
            self.native.wait(_microseconds(timeout), None)
        except GLib.Error as error:
            if error.matches(Strand.error_quark(), Strand.Error.WAIT_TIMED_OUT):
                return
            if not self.is_alive():
                return  # exitcode tells how it ended
            raise

    def terminate(self):
        """Ends it and what it has started."""
        self.native.end(None)

    kill = terminate


def _microseconds(seconds):
    return -1 if seconds is None else round(seconds * 1e6)


def _new_process(func, args, kwargs):
    if callable(func):
        text = arguments.pack(args, kwargs or {}).print_(True)
        return Strand.Process.new(functions.helper_command("run", functions.locate(func), text))
    command = [func] if isinstance(func, str) else [str(word) for word in func]
    return Strand.Process.new(command + [str(word) for word in args])


def _say_when_ready(process, is_ready, failures):
    """What the question raises ends the start, and is noted in `failures`."""

    def ask(process, *data):
        try:
            return bool(is_ready())
        except Exception as exception:
            failures.append(exception)
            raise errors.tell(exception) from None

    if callable(is_ready):
        process.set_ready_func(ask)
    elif is_ready is not None:
        process.set_ready_after(_microseconds(is_ready))


def _asked_first(process_already_running):
    try:
        return bool(process_already_running())
    except Exception as error:
        raise RuntimeError(f"Could not find out whether the process is running already: {error}") from error


@contextlib.contextmanager
def run_process(
    func,
    func_args=(),
    func_kwargs=None,
    *,
    process_name=None,
    is_ready=None,
    timeout=30,
    force_kill=True,
    verbose=False,
    process_already_running=None,
):
    """Runs a process for the duration of a context, which is given the process, or None if it runs already.

    `func` is a Python function, or a program: its name, or a list of its words. `is_ready` is asked until it says so,
    or is a number of seconds. `force_kill=False` waits at the end until the process has ended by itself.
    """
    log = conditional_logger(verbose)
    if process_already_running is not None and _asked_first(process_already_running):
        yield None
        return

    process = _new_process(func, func_args, func_kwargs)
    process.set_name(process_name or getattr(func, "__name__", None) or process.get_name())
    process.set_timeout(_microseconds(timeout))
    process.set_forced_end(force_kill)
    failures = []
    _say_when_ready(process, is_ready, failures)
    log(f"Starting process '{process.get_name()}'")
    try:
        process.start(None)
    except GLib.Error as error:
        raise (failures[0] if failures else _start_error(error)) from None
    log(f"Process '{process.get_name()}' is ready")
    try:
        yield RunningProcess(process)
    finally:
        process.end(None)
        log(f"Process '{process.get_name()}' has ended")


def _start_error(error):
    if error.matches(Strand.error_quark(), Strand.Error.TIMED_OUT):
        return TimeoutError(error.message)
    return errors.from_error(error)
