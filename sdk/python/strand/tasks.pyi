from typing import Any, Callable, Optional

class Taskrunner:
    strand_function: Any
    init_args: Any
    init_kwargs: Any
    on_iter: Any
    on_end: Any
    on_error: Any
    target: str
    def __init__(
        self,
        func: Callable[..., Any],
        *init_args: Any,
        on_iter: Optional[Callable[[Any], Any]] = ...,
        on_end: Optional[Callable[[Any], Any]] = ...,
        on_error: Optional[Callable[[BaseException], Any]] = ...,
        **init_kwargs: Any,
    ) -> None: ...
    def __get__(self, instance: Any, owner: Any = ...) -> Any: ...
    @property
    def func(self) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class ThreadTaskrunner(Taskrunner):
    target: str

class MultiprocessTaskrunner(Taskrunner):
    target: str

class CoroutineTaskrunner(Taskrunner):
    yield_on_iter: Any
    target: str
    def __init__(
        self,
        func: Callable[..., Any],
        *init_args: Any,
        yield_on_iter: bool = ...,
        **init_kwargs: Any,
    ) -> None: ...

class TargetTaskrunner(Taskrunner):
    target: Any
    def __init__(
        self,
        func: Callable[..., Any],
        *init_args: Any,
        target: Any,
        **init_kwargs: Any,
    ) -> None: ...

def taskrunner_class(target: Any) -> Any: ...

def as_task(target: Any = ..., *init_args: Any, **init_kwargs: Any) -> Any: ...
