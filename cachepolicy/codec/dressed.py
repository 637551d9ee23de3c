"""Stream objects of provider SDKs, made around chunks that come from elsewhere than the network.

They are known by what their classes have, and made of the very classes, so that all that is built upon them
works: the raw stream that ``create(stream=True)`` returns, the helper that accumulates what it says, and the
manager that opens such a helper. Nothing of an SDK is imported.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_SENTINELS: Final = ("omit", "not_given")  # what an SDK calls an argument that is not given
_ITERATES: Final = {False: ("__next__", "__enter__"), True: ("__anext__", "__aenter__")}


def is_raw(kind: type, *, is_async: bool) -> bool:
    """Tell whether this is the class of streams as they come from the network."""
    needs = (*_ITERATES[is_async], "__stream__", "_iter_events", "close")
    return all(hasattr(kind, name) for name in needs)


def is_helper(kind: type, *, is_async: bool) -> bool:
    """Tell whether this is the class of objects that accumulate what a raw stream says."""
    return all(hasattr(kind, name) for name in _ITERATES[is_async]) and "raw_stream" in _parameters(kind)


def is_manager(kind: type, *, is_async: bool) -> bool:
    """Tell whether this is the class of context managers that open such helpers."""
    return hasattr(kind, _ITERATES[is_async][1]) and "api_request" in _parameters(kind)


class Tailor(NamedTuple):
    """How a helper is made around chunks.

    Attributes:
        helper: its class.
        raw: the class of its raw stream.
        chunk: the type of the chunks.
        arguments: what else its constructor takes.
    """

    helper: type
    raw: type
    chunk: object
    arguments: Mapping[str, object]

    def make(self, chunks: Any, response: object) -> Any:
        """Make one."""
        return self.helper(raw_stream=raw_around(self.raw, chunks, response), **self.arguments)


def tailor(helper: type, form: object) -> Tailor:
    """Say how a helper is made.

    Args:
        helper: its class.
        form: the type that it parses texts to; anything but a class: none.

    Raises:
        LookupError, NameError, TypeError: its annotations do not say.
    """
    annotation = typing.get_type_hints(helper.__init__)["raw_stream"]  # type: ignore[misc] # of the class, not of an instance
    raw, (chunk,) = typing.get_origin(annotation), typing.get_args(annotation)
    if raw is None:
        raise TypeError("no class of streams")
    return Tailor(helper, raw, chunk, _arguments(helper, form))


def opened_by(manager: type, *, is_async: bool) -> type:
    """Return the class of the helpers that a manager opens.

    Raises:
        LookupError, NameError, TypeError: its annotations do not say.
    """
    annotation = typing.get_type_hints(getattr(manager, _ITERATES[is_async][1]))["return"]
    helper = typing.get_origin(annotation) or annotation
    if not isinstance(helper, type):
        raise TypeError("no class of helpers")
    return helper


def parses_alike(made: object, form: object) -> bool:
    """Tell whether a helper, or its manager, parses to what the annotation says: a replay knows no other."""
    held = {**vars(made), **getattr(getattr(made, "_state", None), "__dict__", {})}
    for name, value in held.items():
        if name.endswith("_format") and inspect.isclass(value) and value is not form:
            return False
        if name.endswith("input_tools") and isinstance(value, list | tuple) and value:
            return False
    return True


def raw_around(kind: type, chunks: Any, response: object) -> Any:
    """Make a raw stream around chunks.

    Args:
        kind: its class.
        chunks: an iterator that can be closed.
        response: of the network, while there is one.
    """
    stream: Any = object.__new__(kind)
    vars(stream).update(_iterator=chunks, response=StandIn(chunks, response))
    return stream


class StandIn:
    """Stands for the HTTP response of a stream: closing it closes this reader's part, and nobody else's."""

    def __init__(self, chunks: Any, response: object) -> None:
        self._chunks = chunks
        self._response = response
        self.is_closed = False
        self.status_code: int = getattr(response, "status_code", 200)
        self.headers: Mapping[str, str] = getattr(response, "headers", _NO_HEADERS)

    def close(self) -> None:
        """Read no more."""
        self.is_closed = True
        self._chunks.close()

    async def aclose(self) -> None:
        """Read no more."""
        self.is_closed = True
        await self._chunks.aclose()

    def __getattr__(self, name: str) -> Any:
        if name in {"_response", "_chunks"} or self._response is None:
            raise AttributeError(f"a stream that comes from the cache has no response.{name}")
        return getattr(self._response, name)


def managed(kind: type, begin: Callable[[], Any], *, is_async: bool) -> Any:
    """Make a manager that opens what ``begin`` returns, or promises: a helper, or a manager of one."""
    made: Any = object.__new__(_manager(kind, is_async))
    made.begin = begin
    made.opened = None
    return made


@cache
def _manager(kind: Any, is_async: bool) -> Any:  # noqa: FBT001 - a cache key
    def enter(self: Any) -> Any:
        found: Any = self.begin()
        self.opened = found.__enter__() if isinstance(found, kind) else found
        return self.opened

    def leave(self: Any, *_: object) -> None:
        if self.opened is not None:
            self.opened.close()

    async def enter_async(self: Any) -> Any:
        found: Any = await self.begin()
        self.opened = (await found.__aenter__()) if isinstance(found, kind) else found
        return self.opened

    async def leave_async(self: Any, *_: object) -> None:
        if self.opened is not None:
            await self.opened.close()

    verbs: dict[str, Any] = (
        {"__aenter__": enter_async, "__aexit__": leave_async}
        if is_async
        else {"__enter__": enter, "__exit__": leave}
    )
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, **verbs})


def _parameters(kind: type) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(kind.__init__).parameters  # type: ignore[misc] # of the class, not of an instance
    except (TypeError, ValueError):
        return {}


def _arguments(helper: type, form: object) -> dict[str, object]:
    """Return what a constructor takes besides the raw stream, as where nobody says anything."""
    module = vars(sys.modules[helper.__module__])
    nothing = next((module[name] for name in _SENTINELS if name in module), None)
    given: dict[str, object] = {}
    for name, parameter in _parameters(helper).items():
        if name in {"self", "raw_stream"} or parameter.default is not parameter.empty:
            continue
        text = str(parameter.annotation)
        is_class = isinstance(form, type) and form is not type(None)
        given[name] = form if name.endswith("_format") and is_class else nothing
        if given[name] is nothing and "None" in text and "Omit" not in text and "NotGiven" not in text:
            given[name] = None
    return given
