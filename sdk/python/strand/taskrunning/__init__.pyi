from ..dispatching import TaskDispatcher as TaskDispatcher
from ..readers import StoreTaskReader as StoreTaskReader, StoreTaskWriter as StoreTaskWriter
from ..tasks import (
    CoroutineTaskrunner as CoroutineTaskrunner,
    MultiprocessTaskrunner as MultiprocessTaskrunner,
    Taskrunner as Taskrunner,
    ThreadTaskrunner as ThreadTaskrunner,
    as_task as as_task,
)
from .utils import run_process as run_process

__all__: list[str]
