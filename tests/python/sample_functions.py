"""Functions that tests run elsewhere: what a module of a user's has.    SPDX-License-Identifier: LGPL-2.1-or-later"""

import functools
import os
import threading
import time

from strand import as_task, context
from strand.au import async_compute


class OwnError(Exception):
    def __init__(self, what, number=0):
        super().__init__(what, number)
        self.number = number


class HardError(Exception):
    """Cannot be made again from its args."""

    def __init__(self, first, second):
        super().__init__(first)


def square(number):
    return number * number


def echo(*args, **kwargs):
    return args, kwargs


def process_id():
    return os.getpid()


def fail(kind, *args):
    raise {"own": OwnError, "hard": HardError, "value": ValueError}[kind](*args)


def fail_deeply(levels):
    if levels == 0:
        raise ValueError("at the bottom")
    fail_deeply(levels - 1)


def chunks(total, size):
    for start in range(0, total, size):
        yield range(start, min(start + size, total))
    return total


def count_for_ever():
    number = 0
    while True:
        yield number
        number += 1


def sleep(seconds):
    context().progress(0.5, "asleep")
    context().sleep(seconds)


def wait_in_vain():
    while not context().cancelled:
        time.sleep(0.001)
    context().check()


def note(name, value):
    context().set_metadata(name, value)
    context().progress(1, "noted")


async def add_later(first, second):
    return first + second


class Tools:
    @staticmethod
    def double(number):
        return 2 * number

    def double_own(self):
        return 2 * self.number

    @classmethod
    def name(cls):
        return cls.__name__


def twice(function):
    @functools.wraps(function)
    def wrapper(*args):
        return 2 * function(*args)

    return wrapper


@as_task("process")
def decorated(number):
    return number + 1


@as_task("process")
@twice
def decorated_inside(number):
    return number + 1


@twice
def only_wrapped(number):
    return number + 1


class OddError(Exception):
    """Has something that cannot leave the process."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lock = threading.Lock()


def fail_oddly():
    raise OddError("odd", 3)


def fail_with_a_cause():
    try:
        return 1 // 0
    except ZeroDivisionError as error:
        raise KeyError("effect") from error


def interrupt():
    raise KeyboardInterrupt


def keywords_only(*, first, second=2):
    return first, second


def defaults(first, second=("a",), *others, third=None, **more):
    return first, second, others, third, more


def count_and_fail(number):
    yield from range(number)
    raise LookupError("in the end")


async def count_later(number):
    for each in range(number):
        yield each


@async_compute()
@as_task("process")
def decorated_by_both(number):
    return number + 1


@as_task("thread")
@as_task("process")
@as_task
def decorated_thrice(number):
    return number + 2


class Decorated:
    @as_task("process")
    @staticmethod
    def outside(number):
        return number * 2

    @async_compute
    @staticmethod
    def computed(number):
        return number * 5

    @staticmethod
    @as_task("process")
    def inside(number):
        return number * 3

    @classmethod
    @as_task("thread")
    def of_the_class(cls, number):
        return cls.__name__, number

    def __call__(self, number):
        return number * 4
