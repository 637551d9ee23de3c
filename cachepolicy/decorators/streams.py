"""What is known of a function that answers in parts before any policy is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from cachepolicy.keys.signature import Shape

if TYPE_CHECKING:
    from cachepolicy.flow.plan import Plan

_ASYNC: Final = re.compile(r"""^(?:<class ')?(?:\w+\.)*Async\w*(?:Iterator|Generator|StreamManager)\b""")
"""The annotation of a ``def`` that gives what is read on a loop, as text: it need not be resolvable yet."""
_STREAM: Final = "stream"  # the argument by which the SDKs' methods tell one shape from the other


def defers(function: Any) -> bool:
    """Tell whether a call begins nothing: a generator function, or one that gives what is read on a loop."""
    return _is_generator(function) or is_async_source(function) or _opens_later(function)


def is_async_source(function: Any) -> bool:
    """Tell whether a ``def`` gives what is read on a loop."""
    if any(map(inspect.isasyncgenfunction, _called(function))):
        return True
    return not any(map(inspect.iscoroutinefunction, _called(function))) and bool(
        _ASYNC.match(_annotation(function))
    )


def streams_at(shape: Shape) -> Callable[[Sequence[object]], bool] | None:
    """Return what tells of a call's values whether it asks for parts; None: no argument says it."""
    names = shape.names
    if _STREAM in names:
        at = names.index(_STREAM)
        return lambda values: bool(values[at])
    rest = re.search(r"\*\*(\w+)$", shape.parameters)
    if rest is None:
        return None
    at = names.index(rest[1])

    def asks(values: Sequence[object]) -> bool:
        more: Any = values[at]
        return bool(more.get(_STREAM))

    return asks


def promised(plan: Plan, begin: Callable[[], Any]) -> Any:
    """Return what begins a call when it is read."""
    streaming = plan.streaming
    if streaming is None or streaming.kind.later is None:
        raise TypeError(f"{plan.name}: its return annotation names no stream that can be read")
    return streaming.kind.later(begin)


def _called(function: Any) -> tuple[Any, Any]:
    call: Any = getattr(function.__class__, "__call__", None)  # noqa: B004 - an instance whose __call__ is one
    return function, call


def _is_generator(function: Any) -> bool:
    return any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in _called(function)
    )


def _opens_later(function: Any) -> bool:
    """Tell whether a ``def`` gives a context manager that opens a stream when it is entered."""
    return "StreamManager" in _annotation(function).partition("[")[0] and not any(
        map(inspect.iscoroutinefunction, _called(function))
    )


def _annotation(function: Any) -> str:
    annotation = getattr(function, "__annotations__", {}).get("return", "")
    return annotation if isinstance(annotation, str) else repr(annotation)
