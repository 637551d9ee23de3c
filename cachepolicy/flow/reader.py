"""One caller's part of a stream that runs: iterators that a generator's users are used to."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

from cachepolicy.flow.tape import Place


class Reads(Protocol):
    """A stream that runs in threads."""

    def read(self, place: Place) -> object:
        """Return the next chunk, or raise StopIteration."""
        ...

    def leave(self, place: Place) -> None:
        """Let a reader go."""
        ...


class AsyncReads(Protocol):
    """A stream that runs on a loop."""

    async def read(self, place: Place) -> object:
        """Return the next chunk, or raise StopAsyncIteration."""
        ...

    def leave(self, place: Place) -> None:
        """Let a reader go."""
        ...

    async def left(self, place: Place) -> None:
        """Let a reader go; with the last, wait until the origin is closed."""
        ...


class _Part:
    __slots__ = ("__weakref__", "_is_over", "_place", "_tee")

    _tee: Any
    _place: Place

    def __init__(self) -> None:
        self._is_over = False

    def __del__(self) -> None:
        if not self._is_over:
            self._tee.leave(self._place)


class Reader(_Part):
    """A part of a stream that runs in threads; as a generator, but nothing can be sent."""

    __slots__ = ()

    def __init__(self, tee: Reads, place: Place) -> None:
        super().__init__()
        self._tee = tee
        self._place = place

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> object:
        if self._is_over:
            raise StopIteration
        try:
            return self._tee.read(self._place)
        except BaseException:
            self.close()
            raise

    def send(self, value: None, /) -> object:
        """Go on; nothing can be sent to what others read too."""
        if value is not None:
            raise TypeError("a cached stream takes nothing: others read it too")
        return next(self)

    def throw(self, error: BaseException, /, *_: TracebackType | None) -> object:
        """Read no more, and raise."""
        self.close()
        raise error

    def close(self) -> None:
        """Read no more; with its last reader the stream ends."""
        if not self._is_over:
            self._is_over = True
            self._tee.leave(self._place)


class AsyncReader(_Part):
    """A part of a stream that runs on a loop; as an async generator, but nothing can be sent."""

    __slots__ = ()

    def __init__(self, tee: AsyncReads, place: Place) -> None:
        super().__init__()
        self._tee = tee
        self._place = place

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> object:
        if self._is_over:
            raise StopAsyncIteration
        try:
            return await self._tee.read(self._place)
        except Exception:
            await self.aclose()
            raise

    async def asend(self, value: None, /) -> object:
        """Go on; nothing can be sent to what others read too."""
        if value is not None:
            raise TypeError("a cached stream takes nothing: others read it too")
        return await anext(self)

    async def athrow(self, error: BaseException, /, *_: TracebackType | None) -> object:
        """Read no more, and raise."""
        await self.aclose()
        raise error

    async def aclose(self) -> None:
        """Read no more; with its last reader the stream ends."""
        if not self._is_over:
            self._is_over = True
            await self._tee.left(self._place)
