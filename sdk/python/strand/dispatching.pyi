from typing import Any, Callable, List, Optional
from .handles import ComputationHandle

class TaskDispatcher:
    results: List[Any]
    status: List[Optional[str]]
    errors: List[Optional[Exception]]
    def __init__(
        self,
        target: Any = ...,
        check_complete: Optional[Callable[[List[Any], List[Optional[str]], List[Optional[Exception]]], Any]] = ...,
    ) -> None: ...
    def reset(self) -> None: ...
    def enqueue(
        self,
        func: Callable[..., Any],
        *init_args: Any,
        target: Any = ...,
        on_iter: Optional[Callable[[Any], Any]] = ...,
        on_end: Optional[Callable[[Any], Any]] = ...,
        on_error: Optional[Callable[[Exception], Any]] = ...,
        args: Any = ...,
        kwargs: Any = ...,
        **init_kwargs: Any,
    ) -> None: ...
    def dispatch(
        self,
        func: Callable[..., Any],
        *init_args: Any,
        target: Any = ...,
        on_iter: Optional[Callable[[Any], Any]] = ...,
        on_end: Optional[Callable[[Any], Any]] = ...,
        on_error: Optional[Callable[[Exception], Any]] = ...,
        args: Any = ...,
        kwargs: Any = ...,
        **init_kwargs: Any,
    ) -> ComputationHandle[Any]: ...
    def run(self, timeout: Optional[float] = ...) -> bool: ...
    @property
    def complete(self) -> bool: ...
