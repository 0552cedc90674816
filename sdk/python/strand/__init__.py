"""strand for Python: functions in threads, coroutines and processes, with results that are kept and watched.

How the package is cut, from the ground up; each module uses only what stands above it:

    values.py       to_variant(value, type_string=None), from_variant(variant): any plain Python value and back
    errors.py       to_error(exception), from_error(gerror): what a GError is as a Python exception, and back
    running.py      context(): what a running function may ask and say (emit, progress, metadata, cancelled)
    functions.py    function_for(callable): the Strand.Function behind a callable, found elsewhere by module and name
    keys.py         what a mapping calls a key, and what strand calls it
    results.py      ComputationStatus, ComputationResult, SerializationFormat: what a record is as a Python value, and back
    exiting.py      the end of a program: its calls end first
    handles.py      ComputationHandle
    calls.py        launch(): one call of a function at a target; where its callbacks come
    coroutines.py   the target that is an asyncio loop
    tasks.py        Taskrunner and its subclasses, as_task()
    helper.py       the program that runs functions for a process runner, or one as a process of its own
    mainmodule.py   functions of a program's main module, without running the program again

    arguments.py    a call's function and arguments, as Python has them and as strand has them
    stores.py       ComputationStore as a MutableMapping; FileSystemStore and the others
    middleware.py   Middleware in Python, and the names of the shipped ones
    backends.py     ComputationBackend, ProcessBackend, ThreadBackend
    computing.py    async_compute(), temporary_async_compute()
    readers.py      StoreTaskWriter, StoreTaskReader
    dispatching.py  TaskDispatcher
    taskrunning/utils.py   run_process()

    au.py           the names of the original `au`

gi/overrides/Strand.py makes `gi.repository.Strand` itself take and give Python values; it imports this package only
inside its functions, because this package imports it.              SPDX-License-Identifier: LGPL-2.1-or-later
"""

import gi

# Without PyGObject, the folder of gi/overrides makes an empty `gi`.
if not hasattr(gi, "require_version"):
    raise ImportError("strand needs PyGObject, which this Python lacks: install python3-gi, or PyGObject with pip")
gi.require_version("Strand", "1")

from strand.calls import launch, use_main_loop  # noqa: E402
from strand.dispatching import TaskDispatcher  # noqa: E402
from strand.errors import (  # noqa: E402
    CallTimeoutError,
    CancelledError,
    CrashedError,
    NotFoundError,
    NotReadyError,
    RefusedError,
    RemoteError,
    RemoteTraceback,
    StrandError,
    UnsafeError,
)
from strand.handles import ComputationHandle  # noqa: E402
from strand.readers import StoreTaskReader, StoreTaskWriter  # noqa: E402
from strand.results import ComputationResult, ComputationStatus  # noqa: E402
from strand.running import context  # noqa: E402
from strand.tasks import (  # noqa: E402
    CoroutineTaskrunner,
    MultiprocessTaskrunner,
    TargetTaskrunner,
    Taskrunner,
    ThreadTaskrunner,
    as_task,
)
from strand.taskrunning.utils import run_process  # noqa: E402
from strand.values import from_variant, to_variant  # noqa: E402

__all__ = [
    "CallTimeoutError",
    "CancelledError",
    "ComputationHandle",
    "ComputationResult",
    "ComputationStatus",
    "CoroutineTaskrunner",
    "CrashedError",
    "MultiprocessTaskrunner",
    "NotFoundError",
    "NotReadyError",
    "RefusedError",
    "RemoteError",
    "RemoteTraceback",
    "StoreTaskReader",
    "StoreTaskWriter",
    "StrandError",
    "TargetTaskrunner",
    "TaskDispatcher",
    "Taskrunner",
    "ThreadTaskrunner",
    "UnsafeError",
    "as_task",
    "context",
    "from_variant",
    "launch",
    "run_process",
    "to_variant",
    "use_main_loop",
]
