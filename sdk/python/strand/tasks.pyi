from typing import Any, Callable, Dict, Optional, Tuple, Type, Union, overload
from typing_extensions import Literal
from .handles import ComputationHandle

class Taskrunner:
    strand_function: Union[Callable[..., Any], str]
    strand_is_static: bool
    init_args: Tuple[Any, ...]
    init_kwargs: Dict[str, Any]
    on_iter: Optional[Callable[[Any], Any]]
    on_end: Optional[Callable[[Any], Any]]
    on_error: Optional[Callable[[Exception], Any]]
    target: Any
    def __init__(
        self,
        func: Union[Callable[..., Any], str],
        *init_args: Any,
        on_iter: Optional[Callable[[Any], Any]] = ...,
        on_end: Optional[Callable[[Any], Any]] = ...,
        on_error: Optional[Callable[[Exception], Any]] = ...,
        **init_kwargs: Any,
    ) -> None: ...
    def __get__(self, instance: Any, owner: Any = ...) -> Any: ...
    @property
    def func(self) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class _Launcher(Taskrunner):
    def __call__(self, *args: Any, **kwargs: Any) -> ComputationHandle[Any]: ...

class ThreadTaskrunner(_Launcher):
    target: str

class MultiprocessTaskrunner(_Launcher):
    target: str

class CoroutineTaskrunner(_Launcher):
    yield_on_iter: bool
    target: str
    def __init__(
        self,
        func: Union[Callable[..., Any], str],
        *init_args: Any,
        yield_on_iter: bool = ...,
        **init_kwargs: Any,
    ) -> None: ...

class TargetTaskrunner(_Launcher):
    target: Any
    def __init__(
        self,
        func: Union[Callable[..., Any], str],
        *init_args: Any,
        target: Any,
        **init_kwargs: Any,
    ) -> None: ...

def taskrunner_class(target: Any) -> Optional[Type[Taskrunner]]: ...

@overload
def as_task(
    target: Literal["thread", "process", "coroutine", "store"] = ..., *init_args: Any, **init_kwargs: Any
) -> Callable[[Callable[..., Any]], Callable[..., ComputationHandle[Any]]]: ...
@overload
def as_task(  # type: ignore[misc]
    target: Union[str, Type[Taskrunner]], *init_args: Any, **init_kwargs: Any
) -> Callable[[Callable[..., Any]], Any]: ...
@overload
def as_task(target: Callable[..., Any]) -> ThreadTaskrunner: ...
@overload
def as_task(target: Any = ..., *init_args: Any, **init_kwargs: Any) -> Callable[[Callable[..., Any]], Any]: ...
