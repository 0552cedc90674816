"""strand.taskrunning — the names of the original's package, wherever they live here.

                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

from ..dispatching import TaskDispatcher
from ..readers import StoreTaskReader, StoreTaskWriter
from ..tasks import CoroutineTaskrunner, MultiprocessTaskrunner, Taskrunner, ThreadTaskrunner, as_task
from .utils import run_process

__all__ = [
    "CoroutineTaskrunner",
    "MultiprocessTaskrunner",
    "StoreTaskReader",
    "StoreTaskWriter",
    "TaskDispatcher",
    "Taskrunner",
    "ThreadTaskrunner",
    "as_task",
    "run_process",
]
