from typing import Any, Callable, List, Optional

class TaskDispatcher:
    results: List[Any]
    status: List[Any]
    errors: List[Any]
    def __init__(
        self,
        target: Any = ...,
        check_complete: Optional[Callable[[List[Any], List[Any], List[Any]], Any]] = ...,
    ) -> None: ...
    def reset(self) -> None: ...
    def enqueue(
        self,
        func: Callable[..., Any],
        *init_args: Any,
        target: Any = ...,
        on_iter: Optional[Callable[[Any], Any]] = ...,
        on_end: Optional[Callable[[Any], Any]] = ...,
        on_error: Optional[Callable[[BaseException], Any]] = ...,
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
        on_error: Optional[Callable[[BaseException], Any]] = ...,
        args: Any = ...,
        kwargs: Any = ...,
        **init_kwargs: Any,
    ) -> Any: ...
    def run(self, timeout: Optional[float] = ...) -> bool: ...
    @property
    def complete(self) -> bool: ...
