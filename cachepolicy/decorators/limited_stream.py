"""A result that comes in parts, under limits: settled at its end to what was seen of it, and no sooner.

What is closed early, or breaks off, has used what passed. One that is thrown away without being closed is
left at its estimate: nothing can be asked while garbage is collected.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from cachepolicy.flow.admitting import Admission
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.limiter import Limiter
    from cachepolicy.llm.seen import Seen
    from cachepolicy.runtime.compose import Runtime


class Ending:
    """What is done when a stream ends, however it does; once.

    Args:
        runtime: that it is done under.
        limiter: a rule of the call.
        admission: of the call.
        requests: how many it counts for.
        seen: reads its parts; None: what it takes is not counted.
    """

    def __init__(
        self, runtime: Runtime, limiter: Limiter, admission: Admission, requests: int, seen: Seen | None
    ) -> None:
        self._runtime: Final = runtime
        self._limiter: Final = limiter
        self._admission: Final = admission
        self._requests: Final = requests
        self._seen = seen
        self._is_over = False

    def add(self, chunk: object) -> None:
        """Take note of a part."""
        if self._seen is not None:
            try:
                self._seen.add(chunk)
            except Exception as error:  # noqa: BLE001 - a part's own attributes may raise anything: counted
                self._bug(error)

    def end(self) -> None:
        """End it in this thread."""
        if not self._is_over:
            self._is_over = True
            self._runtime.engine.run(self._flow(), self._runtime.stores.sync_io(self._limiter.site))

    async def aend(self) -> None:
        """End it on the running loop."""
        if not self._is_over:
            self._is_over = True
            await self._runtime.engine.arun(self._flow(), self._runtime.stores.async_io(self._limiter.site))

    def abandon(self) -> None:
        """Give up its places; it takes no lock."""
        if not self._is_over:
            self._admission.abandon()

    def _flow(self) -> Flow[object]:
        from cachepolicy.flow.limited import ended

        usage = None
        if self._seen is not None:
            try:
                usage = self._seen.usage()
            except Exception as error:  # noqa: BLE001 - as above
                self._bug(error)
        return ended(self._admission, self._requests, usage, settles=self._seen is not None)

    def _bug(self, error: Exception) -> None:
        from cachepolicy.flow import incidents

        incidents.bug(self._limiter, error)


class _Passing:
    """What passes on all that it does not do itself."""

    def __init__(self, inner: Any, ending: Ending) -> None:
        self._inner = inner
        self._ending = ending

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<limited {self._inner!r}>"

    def __del__(self) -> None:
        self._ending.abandon()


class LimitedStream(_Passing):
    """An iterator and all that it can do besides, such as an SDK's stream."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._inner)
        except BaseException:
            self._ending.end()
            raise
        self._ending.add(chunk)
        return chunk

    def close(self) -> None:
        """Close the stream."""
        try:
            close = getattr(self._inner, "close", None)
            if close is not None:
                close()
        finally:
            self._ending.end()

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
            self._ending.end()


class LimitedAsyncStream(_Passing):
    """The same, of an asynchronous iterator."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await anext(self._inner)
        except (StopAsyncIteration, Exception):  # a reader that was cancelled may come again, or close it
            await self._ending.aend()
            raise
        self._ending.add(chunk)
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
            await self._ending.aend()

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
            await self._ending.aend()


def limited_stream(value: object, ending: Callable[[], Ending]) -> object:
    """Return what stands in for a result that comes in parts; None: it does not."""
    kind = type(value)
    if hasattr(kind, "__anext__"):
        return LimitedAsyncStream(value, ending())
    if hasattr(kind, "__next__") and not isinstance(value, io.IOBase):
        return LimitedStream(value, ending())
    return None
