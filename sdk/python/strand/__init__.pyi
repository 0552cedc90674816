from strand.calls import launch as launch, use_main_loop as use_main_loop
from strand.dispatching import TaskDispatcher as TaskDispatcher
from strand.errors import (
    CallTimeoutError as CallTimeoutError,
    CancelledError as CancelledError,
    CrashedError as CrashedError,
    NotFoundError as NotFoundError,
    NotReadyError as NotReadyError,
    RefusedError as RefusedError,
    RemoteError as RemoteError,
    RemoteTraceback as RemoteTraceback,
    StrandError as StrandError,
    UnsafeError as UnsafeError,
)
from strand.handles import ComputationHandle as ComputationHandle
from strand.readers import StoreTaskReader as StoreTaskReader, StoreTaskWriter as StoreTaskWriter
from strand.results import ComputationResult as ComputationResult, ComputationStatus as ComputationStatus
from strand.running import context as context
from strand.tasks import (
    CoroutineTaskrunner as CoroutineTaskrunner,
    MultiprocessTaskrunner as MultiprocessTaskrunner,
    TargetTaskrunner as TargetTaskrunner,
    Taskrunner as Taskrunner,
    ThreadTaskrunner as ThreadTaskrunner,
    as_task as as_task,
)
from strand.taskrunning.utils import run_process as run_process
from strand.values import from_variant as from_variant, to_variant as to_variant

__all__: list[str]
