"""What is put around any function, and leaves it what it is: a method, static, cached with its verbs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast

from cachepolicy.decorators.layers import put_around
from cachepolicy.decorators.limited_form import Form, form_of
from cachepolicy.decorators.methods import ClassMethodHandle, MethodHandle
from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import Shape, name_of, shape_of


class Layer(Protocol):
    """What stands behind a wrapper."""

    wrapper: Any


Wrap = Callable[[Callable[..., Any], Shape, str, Form], Layer]
"""Takes a function, its signature, its name, and how it is called; returns what has what calls it."""


def around(decorated: Any, wrap: Wrap, what: str) -> Any:
    """Return what stands in a function's place.

    Args:
        decorated: a function, or what a class has for one.
        wrap: makes what calls it.
        what: is done with it, for messages: ``limited``.

    Raises:
        DecorationError: it is no function.
    """
    kind = cast("type[object]", type(decorated))
    rewrap = cast("Callable[[Any], Any]", kind)
    if issubclass(kind, staticmethod | classmethod):
        return rewrap(around(decorated.__func__, wrap, what))
    if not callable(decorated) or kind in {functools.partialmethod, property, functools.cached_property}:
        raise DecorationError(
            f"a {kind.__name__} cannot be {what}; put the decorator directly above the function"
        )
    if inspect.isclass(decorated):
        raise DecorationError(
            f"{name_of(decorated)}: a class cannot be {what}; decorate a function that makes it"
        )
    layer = wrap(decorated, shape_of(decorated), name_of(decorated), form_of(decorated))
    wrapper = functools.update_wrapper(layer.wrapper, decorated)
    put_around(wrapper, layer, decorated)
    return rewrap(wrapper) if issubclass(kind, MethodHandle | ClassMethodHandle) else wrapper
