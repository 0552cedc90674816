from typing import Any, Callable, Optional

def use_main_loop(announced: Any = ...) -> None: ...

def main_loop_runs() -> Any: ...

def report(exception: BaseException) -> None: ...

class Stream:
    context: Any
    items: Any
    ended: Any
    dropping: Any
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
    by_value: Any
    stream: Any
    yield_on_iter: Any
    crowded: Any
    handle: Any
    looked: Any
    value: Any
    exception: Any
    def __init__(
        self,
        function: Any,
        arguments: Any,
        keywords: Any,
        on_iter: Optional[Callable[[Any], Any]],
        on_end: Optional[Callable[[Any], Any]],
        on_error: Optional[Callable[[BaseException], Any]],
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
    function: Any,
    arguments: Any,
    keywords: Any,
    target: Any = ...,
    on_iter: Optional[Callable[[Any], Any]] = ...,
    on_end: Optional[Callable[[Any], Any]] = ...,
    on_error: Optional[Callable[[BaseException], Any]] = ...,
    options: Any = ...,
    *,
    yield_on_iter: bool = ...,
    announce: Any = ...,
    is_left: Any = ...,
) -> Any: ...
