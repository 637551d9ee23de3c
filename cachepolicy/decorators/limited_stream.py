"""A result that comes in parts, under limits: settled at its end to what was seen of it, and no sooner.

What is closed early, or breaks off, has used what passed. One that is thrown away without being closed is
left at its estimate: nothing can be asked while garbage is collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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

    def end(self, _: BaseException | None) -> None:
        """End it in this thread."""
        if not self._is_over:
            self._is_over = True
            self._runtime.engine.run(self._flow(), self._runtime.stores.sync_io(self._limiter.site))

    async def aend(self, _: BaseException | None) -> None:
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
