"""tasks.py — the Taskrunner classes: a function with bound arguments and callbacks that runs somewhere when
called.

    runner = ThreadTaskrunner(function, *bound, on_iter=…, on_end=…, on_error=…, **bound_keywords)
    handle = runner(*arguments)

as_task() makes one of a function by decoration.                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import copy
import functools

from strand import calls, functions, running


class Taskrunner:
    """Runs its function where it is called, returns its value and raises its exception: target 'sync'."""

    target = "sync"

    def __init__(self, func, *init_args, on_iter=None, on_end=None, on_error=None, **init_kwargs):
        if not callable(functions.unwrap(func)) and not isinstance(func, str):
            raise TypeError(f"a task needs something to call, not {func!r}")
        inner = func if isinstance(func, Taskrunner) else None
        if not isinstance(func, str):
            functools.update_wrapper(self, func)  # also the attributes, so it comes before our own
            functions.note(func)
        self.strand_function = functions.unwrap(func)
        self.strand_is_static = functions.is_static(func)
        self.init_args = (*(inner.init_args if inner else ()), *init_args)
        self.init_kwargs = {**(inner.init_kwargs if inner else {}), **init_kwargs}
        self.on_iter = on_iter or (inner and inner.on_iter)
        self.on_end = on_end or (inner and inner.on_end)
        self.on_error = on_error or (inner and inner.on_error)

    def __repr__(self):
        return f"<{type(self).__name__} of {functions.name_of(self.strand_function)}>"

    def __get__(self, instance, owner=None):
        """As a method: the instance is the first argument."""
        if instance is None or self.strand_is_static:
            return self
        bound = copy.copy(self)
        bound.strand_function = functools.partial(self.strand_function, instance)
        return bound

    def _settings(self):
        return {"on_iter": self.on_iter, "on_end": self.on_end, "on_error": self.on_error}

    @property
    def func(self):
        """What it calls."""
        return self.strand_function

    def _all_arguments(self, args, kwargs):
        for name in kwargs:
            if name in self.init_kwargs:
                raise TypeError(f"argument '{name}' was bound when the task was made, and is given again")
        return (*self.init_args, *args), {**self.init_kwargs, **kwargs}

    def __call__(self, *args, **kwargs):
        """Calls the function. What is wrong with the call itself is raised, or given to on_error where there is one."""
        try:
            return self._call(*self._all_arguments(args, kwargs))
        except Exception as exception:
            if self.on_error is None or functions.loading_main:
                raise
            self.on_error(exception)
            return None

    def _call(self, args, kwargs):
        if isinstance(self.strand_function, str):
            return calls.launch(self.strand_function, args, kwargs, "sync", **self._settings()).get_result()
        value = self.strand_function(*args, **kwargs)
        if self.on_iter is not None and running.is_iterated(value):
            for item in value:
                self.on_iter(item)
        if self.on_end is not None:
            self.on_end(value)
        return value


class _Launcher(Taskrunner):
    """What gives a handle at once."""

    def _call(self, args, kwargs):
        return calls.launch(self.strand_function, args, kwargs, self.target, **self._settings())


class ThreadTaskrunner(_Launcher):
    """Runs its function in a thread."""

    target = "thread"


class MultiprocessTaskrunner(_Launcher):
    """Runs its function in a helper process, which is kept warm."""

    target = "process"


class CoroutineTaskrunner(_Launcher):
    """Runs its function, an `async def` or not, as a task of the asyncio loop that runs here.

    Where none runs, it gets a loop of its own on a thread. With `yield_on_iter` the loop has its turn after each
    item.
    """

    target = "coroutine"

    def __init__(self, func, *init_args, yield_on_iter=True, **init_kwargs):
        super().__init__(func, *init_args, **init_kwargs)
        self.yield_on_iter = yield_on_iter

    def _settings(self):
        return {**super()._settings(), "yield_on_iter": self.yield_on_iter}

    def _call(self, args, kwargs):
        from strand.coroutines import launch_in_loop

        return launch_in_loop(self.strand_function, args, kwargs, **self._settings())


class TargetTaskrunner(_Launcher):
    """Runs its function at any target: a name in the stack, a Strand.Taskrunner or a Strand.Backend."""

    def __init__(self, func, *init_args, target, **init_kwargs):
        super().__init__(func, *init_args, **init_kwargs)
        self.target = target


_CLASSES = {
    "sync": Taskrunner,
    "thread": ThreadTaskrunner,
    "process": MultiprocessTaskrunner,
    "coroutine": CoroutineTaskrunner,
}


def taskrunner_class(target):
    """The class of a target: a Taskrunner class itself, or one of the names; None for any other target."""
    if isinstance(target, type) and issubclass(target, Taskrunner):
        return target
    if target == "store":
        from strand.readers import StoreTaskWriter

        return StoreTaskWriter
    return _CLASSES.get(target) if isinstance(target, str) else None


def as_task(target="thread", *init_args, **init_kwargs):
    """Decorates a function, so that calling it runs it elsewhere.

    The target is 'thread', 'process', 'coroutine', 'store', 'sync', a Taskrunner class, the name of a target in
    the stack, or such an object. Works with and without brackets.
    """
    if callable(target) and not isinstance(target, (type, Taskrunner)):
        return ThreadTaskrunner(target)
    chosen = taskrunner_class(target)

    def decorate(function):
        if chosen is not None:
            return chosen(function, *init_args, **init_kwargs)
        calls.find_target(target)  # an unknown name is told where it stands
        return TargetTaskrunner(function, *init_args, target=target, **init_kwargs)

    return decorate
