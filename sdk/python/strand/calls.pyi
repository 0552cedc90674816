from typing import Any, Callable, Mapping, Optional, Sequence, Union
from .handles import ComputationHandle

def use_main_loop(announced: bool = ...) -> None: ...

def main_loop_runs() -> bool: ...

def report(exception: BaseException) -> None: ...

class Stream:
    context: Any
    items: Any
    ended: bool
    dropping: bool
    def __init__(self) -> None: ...
    def push(self, item: Any) -> None: ...
    def take(self) -> Any: ...
    def drain(self, timeout: Optional[float] = ...) -> None: ...
    def abandon(self) -> None: ...

class Call:
    function: Any
    arguments: Any
    keywords: Any
    on_iter: Any
    on_end: Any
    on_error: Any
    by_value: bool
    on_runner: bool
    stream: Any
    yield_on_iter: bool
    crowded: bool
    handle: Any
    looked: bool
    value: Any
    exception: Optional[BaseException]
    over: bool
    def __init__(
        self,
        function: Any,
        arguments: Any,
        keywords: Any,
        on_iter: Optional[Callable[[Any], Any]],
        on_end: Optional[Callable[[Any], Any]],
        on_error: Optional[Callable[[Exception], Any]],
    ) -> None: ...
    def when_ended(self, tell: Any) -> None: ...
    def run_here(self, native: Any, arguments: Any, *_: Any) -> Any: ...
    def note(self, exception: BaseException) -> None: ...
    def push_here(self, native: Any) -> Any: ...
    def item_came(self, native: Any, item: Any, *_: Any) -> Any: ...
    def completed(self, native: Any, value: Any, *_: Any) -> None: ...
    def failed(self, native: Any, error: BaseException, *_: Any) -> None: ...
    def dropped(self) -> None: ...
    def make_task(self, target: Any) -> Any: ...
    def pack(self) -> Any: ...

def find_target(target: Any) -> Any: ...

def launch(
    function: Union[Callable[..., Any], str],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    target: Any = ...,
    on_iter: Optional[Callable[[Any], Any]] = ...,
    on_end: Optional[Callable[[Any], Any]] = ...,
    on_error: Optional[Callable[[Exception], Any]] = ...,
    options: Any = ...,
    *,
    yield_on_iter: bool = ...,
    announce: Any = ...,
    is_left: bool = ...,
) -> ComputationHandle[Any]: ...
