"""Whether a function must be awaited, whatever was put around it."""

from __future__ import annotations

import functools
import inspect

from cachepolicy.keys.clients import is_of_sdk


def is_async(function: object) -> bool:
    """Tell whether a call of it must be awaited."""
    while isinstance(function, functools.partial):
        function = function.func
    inner = function
    if callable(function) and is_of_sdk(getattr(function, "__module__", None) or ""):
        inner = inspect.unwrap(function)  # an SDK checks arguments in a def around its async def
    call = getattr(type(function), "__call__", None)  # noqa: B004 - an instance with an async __call__
    return any(map(inspect.iscoroutinefunction, (function, inner, call)))
