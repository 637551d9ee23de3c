"""Streams that somebody watches: they pass on every part, and tell of each and of their end."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, Self


class Watcher(Protocol):
    """What is told of one stream. Of its end it may be told again: what broke off is closed too."""

    def add(self, chunk: object, /) -> None:
        """Take note of a part."""
        ...

    def end(self, error: BaseException | None, /) -> None:
        """Take note of its end.

        Args:
            error: what came instead of a part, ``StopIteration`` at a proper end; None: it was closed.
        """
        ...

    async def aend(self, error: BaseException | None, /) -> None:
        """Take note of the end of one that is read on a loop."""
        ...

    def abandon(self) -> None:
        """Take note that nobody can read on; it takes no lock: garbage collection may call."""
        ...


class _Passing:
    """What passes on all that it does not do itself."""

    def __init__(self, inner: Any, watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    @property  # type: ignore[misc] # nobody sets it
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] # nobody sets it
        kind: type = self._inner.__class__
        return kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<watched {self._inner!r}>"

    def __del__(self) -> None:
        self._watcher.abandon()


class PassingStream(_Passing):
    """An iterator and all that it can do besides, such as an SDK's stream."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._inner)
        except BaseException as error:
            self._watcher.end(error)
            raise
        self._watcher.add(chunk)
        return chunk

    def close(self) -> None:
        """Close the stream."""
        try:
            close = getattr(self._inner, "close", None)
            if close is not None:
                close()
        finally:
            self._watcher.end(None)

    def __enter__(self) -> Self:
        enter = getattr(self._inner, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            leave = getattr(self._inner, "__exit__", None)
            if leave is not None:
                leave(*raised)
        finally:
            self._watcher.end(None)


class PassingAsyncStream(_Passing):
    """The same, of an asynchronous iterator."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await anext(self._inner)
        except (
            StopAsyncIteration,
            Exception,
        ) as error:  # a reader that was cancelled may come again, or close it
            await self._watcher.aend(error)
            raise
        self._watcher.add(chunk)
        return chunk

    async def aclose(self) -> None:
        """Close the stream."""
        await self._closed("aclose", "close")

    async def close(self) -> None:
        """Close the stream, as SDKs call it."""
        await self._closed("close", "aclose")

    async def _closed(self, *names: str) -> None:
        try:
            for name in names:
                close = getattr(self._inner, name, None)
                if close is not None:
                    await close()
                    break
        finally:
            await self._watcher.aend(None)

    async def __aenter__(self) -> Self:
        enter = getattr(self._inner, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(self, *raised: object) -> None:
        try:
            leave = getattr(self._inner, "__aexit__", None)
            if leave is not None:
                await leave(*raised)
        finally:
            await self._watcher.aend(None)


def passing(value: object, watcher: Callable[[], Watcher]) -> object:
    """Return what stands in for a result that comes in parts; None: it does not."""
    kind = type(value)
    if hasattr(kind, "__anext__"):
        return PassingAsyncStream(value, watcher())
    if hasattr(kind, "__next__") and not isinstance(value, io.IOBase):
        return PassingStream(value, watcher())
    return None
