"""What a function returns that answers in parts, by its annotation: how it is read, and how made anew."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from cachepolicy.codec import dressed
from cachepolicy.codec.serialize import ABSENT

_SYNC: Final = frozenset({collections.abc.Iterator, collections.abc.Generator})
_ASYNC: Final = frozenset({collections.abc.AsyncIterator, collections.abc.AsyncGenerator})


class Source(NamedTuple):
    """A running stream, as the function returned it.

    Attributes:
        chunks: what gives one after the other.
        close: ends it; of an asynchronous one the result is awaited.
        response: of the network, where it has one.
    """

    chunks: Any
    close: Callable[[], Any]
    response: object = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """One kind of stream.

    Attributes:
        chunk: the annotation of its chunks.
        is_async: its colour.
        source: reads what the function returned; None where that is nothing of this kind.
        present: makes of chunks, and of a response or None, what the function's callers get.
        later: the same of what is only begun when somebody reads; None where a call begins it.
        opens: whether what the function returns is entered first.
    """

    chunk: object
    is_async: bool
    source: Callable[[Any], Source | None]
    present: Callable[[Any, object], Any]
    later: Callable[[Callable[[], Any]], Any] | None = None
    opens: bool = False


class Split(NamedTuple):
    """An annotation that allows for a stream or for something whole, as the call's ``stream`` says."""

    whole: object
    streamed: Streamed


def kind_of(
    function: Callable[..., object], annotation: object, *, is_async: bool
) -> Streamed | Split | None:
    """Say which kind of stream a function returns; None: none.

    Args:
        function: as the user wrote it.
        annotation: of what it returns, resolved; ``ABSENT``.
        is_async: whether it is run on a loop.
    """
    if is_generator(function):
        arguments = typing.get_args(annotation)
        chunk = arguments[0] if arguments else ABSENT
        return _plain(chunk, is_async=is_async, deferred=True)
    deferred = is_async and not is_coroutine(function)
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        arms = typing.get_args(annotation)
        kinds = [_kind(arm, is_async=is_async, deferred=deferred) for arm in arms]
        found = [kind for kind in kinds if kind is not None]
        if len(found) != 1 or len(arms) < 2:
            return None
        rest = [arm for arm, kind in zip(arms, kinds, strict=True) if kind is None]
        return Split(typing.Union[tuple(rest)], found[0])  # noqa: UP007 - made of a list
    return _kind(annotation, is_async=is_async, deferred=deferred)


def is_generator(function: object) -> bool:
    """Tell whether calling it makes a generator, of either colour."""
    call = getattr(type(function), "__call__", None)  # noqa: B004 - an instance whose __call__ is one
    return any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in (function, call)
    )


def is_coroutine(function: object) -> bool:
    """Tell whether it is an ``async def``, or an object with one for ``__call__``."""
    call = getattr(type(function), "__call__", None)  # noqa: B004 - as above
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _kind(annotation: Any, *, is_async: bool, deferred: bool) -> Streamed | None:
    kind, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if not isinstance(kind, type):
        return None
    first = arguments[0] if arguments else ABSENT
    if kind in (_ASYNC if is_async else _SYNC):
        return _plain(first, is_async=is_async, deferred=deferred)
    if deferred and not dressed.is_manager(kind, is_async=is_async):
        return None  # there is nothing to give before it has begun
    if dressed.is_raw(kind, is_async=is_async):
        return Streamed(
            first,
            is_async,
            partial(_source, is_async=is_async),
            partial(dressed.raw_around, kind),
        )
    manages = dressed.is_manager(kind, is_async=is_async)
    if not manages and not dressed.is_helper(kind, is_async=is_async):
        return None
    try:
        helper = dressed.opened_by(kind, is_async=is_async) if manages else kind
        tailor = dressed.tailor(helper, first)
    except (LookupError, NameError, TypeError, ValueError):  # another release of the SDK
        return None
    read = partial(_source_of_helper, is_async=is_async, form=first)
    if not manages:
        return Streamed(tailor.chunk, is_async, read, tailor.make)
    return Streamed(
        tailor.chunk,
        is_async,
        read,
        partial(_opening, kind, tailor, is_async=is_async),
        partial(dressed.managed, kind, is_async=is_async),
        opens=True,
    )


def _plain(chunk: object, *, is_async: bool, deferred: bool) -> Streamed:
    """Return the kind of plain generators and iterators."""
    later = (_later_async if is_async else _later) if deferred else None
    return Streamed(chunk, is_async, partial(_source, is_async=is_async), _itself, later)


def _itself(chunks: Any, _response: object) -> Any:
    return chunks


def _source(returned: Any, *, is_async: bool) -> Source | None:
    if not hasattr(returned, "__anext__" if is_async else "__next__"):
        return None
    names = ("aclose", "close") if is_async else ("close",)
    close = next((getattr(returned, name) for name in names if hasattr(returned, name)), None)
    return Source(
        returned, close or (_nothing_async if is_async else _nothing), getattr(returned, "response", None)
    )


def _source_of_helper(returned: Any, *, is_async: bool, form: object) -> Source | None:
    raw = getattr(returned, "_raw_stream", None)
    if raw is None or not dressed.parses_alike(returned, form):
        return None
    source = _source(raw, is_async=is_async)
    return None if source is None else source._replace(close=returned.close)


def _opening(kind: type, tailor: dressed.Tailor, chunks: Any, response: object, *, is_async: bool) -> Any:
    """Make a manager that opens a helper around chunks."""
    if not is_async:
        return dressed.managed(kind, lambda: tailor.make(chunks, response), is_async=False)

    async def make() -> Any:
        return tailor.make(chunks, response)

    return dressed.managed(kind, make, is_async=True)


def _later(begin: Callable[[], Any]) -> Any:
    """Begin when the first chunk is asked for, as a generator does."""
    yield from begin()


async def _later_async(begin: Callable[[], Any]) -> Any:
    """Begin when the first chunk is asked for, as a generator does."""
    chunks = await begin()
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


def _nothing() -> None:
    """Close what cannot be closed."""


async def _nothing_async() -> None:
    """Close what cannot be closed."""
