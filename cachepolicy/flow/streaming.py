"""How a function that answers in parts is opened, up to its first chunk."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cachepolicy.codec.serialize import Serializer
from cachepolicy.codec.streamed import Source, Streamed

NO_CHUNK: Final = object()
"""In the place of a first chunk, where the stream ended before it."""


@dataclass(frozen=True, slots=True)
class Streaming:
    """What a plan knows of streams.

    Attributes:
        kind: of the streams.
        chunks: how one chunk is written.
        open: calls the function and reads the first chunk: an ``Opening``, or what the function returned.
        straight: calls the function and returns what it does.
    """

    kind: Streamed
    chunks: Serializer
    open: Callable[..., Any]
    straight: Callable[..., Any]


class Opening(NamedTuple):
    """A stream that has begun.

    Attributes:
        source: the rest of it.
        first: its first chunk, or ``NO_CHUNK``.
        context: that it runs in.
        took: seconds until the first chunk; whoever has them fills them in.
    """

    source: Source
    first: object
    context: Context
    took: float = 0.0


def opener(function: Callable[..., Any], kind: Streamed) -> Callable[..., Any]:
    """Return what calls a function and reads the first chunk of its stream, in the function's colour."""
    return _opener_async(function, kind) if kind.is_async else _opener(function, kind)


def straight(function: Callable[..., Any], kind: Streamed) -> Callable[..., Any]:
    """Return what calls a function, in its colour as flows know it: a ``def`` may return what is async."""
    if not kind.is_async:
        return function

    async def call(*args: Any, **kwargs: Any) -> Any:
        return await _called(function, args, kwargs)

    return call


def _opener(function: Callable[..., Any], kind: Streamed) -> Callable[..., Any]:
    def open_it(*args: Any, **kwargs: Any) -> Any:
        returned = function(*args, **kwargs)
        if kind.opens:
            returned = returned.__enter__()
        source = kind.source(returned)
        if source is None:
            return returned
        context = copy_context()
        try:
            return Opening(source, context.run(next, source.chunks, NO_CHUNK), context)
        except BaseException:
            source.close()
            raise

    return open_it


def _opener_async(function: Callable[..., Any], kind: Streamed) -> Callable[..., Any]:
    async def open_it(*args: Any, **kwargs: Any) -> Any:
        returned = await _called(function, args, kwargs)
        if kind.opens:
            returned = await returned.__aenter__()
        source = kind.source(returned)
        if source is None:
            return returned
        try:
            return Opening(source, await anext(source.chunks, NO_CHUNK), copy_context())
        except BaseException:
            await source.close()
            raise

    return open_it


async def _called(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    returned = function(*args, **kwargs)
    return await returned if hasattr(returned, "__await__") else returned
