"""What stands in a function's place under limits: with its signature, and of its own kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from cachepolicy.decorators.colour import is_async
from cachepolicy.keys.signature import Shape


class Form(Enum):
    """How a function is called."""

    FUNCTION = auto()
    COROUTINE = auto()
    GENERATOR = auto()
    ASYNC_GENERATOR = auto()


_FACTORY: Final = """
def __cp_factory(__cp_call):
    {define} __cp_wrapper({parameters}):
        {body}

    def __cp_pass({names}):
        return {positional}, {keywords}

    return __cp_wrapper, lambda values: __cp_pass(*values)
"""
_CALL: Final = "__cp_call(({values}), {positional}, {keywords})"
_BODIES: Final = {
    Form.FUNCTION: f"return {_CALL}",
    Form.COROUTINE: f"return await {_CALL}",
    Form.GENERATOR: f"return (yield from {_CALL})",
    Form.ASYNC_GENERATOR: f"""
        __cp_stream = {_CALL}
        try:
            async for __cp_chunk in __cp_stream:
                yield __cp_chunk
        finally:
            await __cp_stream.aclose()""",
}
_ASYNC: Final = frozenset({Form.COROUTINE, Form.ASYNC_GENERATOR})


class Compiled(NamedTuple):
    """A wrapper, and what makes of argument values what is passed on."""

    wrapper: Any
    passing: Callable[[Sequence[object]], tuple[tuple[object, ...], Mapping[str, object]]]


def form_of(function: Any) -> Form:
    """Tell how a function is called."""
    if inspect.isasyncgenfunction(function):
        return Form.ASYNC_GENERATOR
    if is_async(function):
        return Form.COROUTINE
    return Form.GENERATOR if inspect.isgeneratorfunction(function) else Form.FUNCTION


def compiled(shape: Shape, call: Callable[..., Any], form: Form) -> Compiled:
    """Compile a wrapper.

    Args:
        shape: the function's signature as source.
        call: takes the arguments in the order of their names, and how to pass them on.
        form: how the function is called.
    """
    words = {
        "values": f"{shape.values}," if shape.values else "",
        "names": shape.values,
        "parameters": shape.parameters,
        "positional": shape.positional,
        "keywords": shape.keywords,
        "define": "async def" if form in _ASYNC else "def",
    }
    source = _FACTORY.format(body=_BODIES[form].format(**words), **words)
    names: dict[str, Any] = dict(shape.defaults)
    exec(compile(source, "<cachepolicy limits>", "exec"), names)  # noqa: S102 - identifiers of a real signature only
    return Compiled(*names["__cp_factory"](call))
