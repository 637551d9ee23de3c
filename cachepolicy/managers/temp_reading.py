"""A file that is read piece by piece, by ``for`` or ``async for``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from cachepolicy.runtime.manage import Work

if TYPE_CHECKING:
    from cachepolicy.flow.depot import Places
    from cachepolicy.flow.download import Transfer
    from cachepolicy.flow.effects import Flow
    from cachepolicy.policy.rules import TempRule
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.records import Records

T = TypeVar("T")


class Reading(NamedTuple):
    """What a file is read with: where it is, and who claims it where it can be read once."""

    runtime: Runtime
    records: Records[TempRule]
    places: Places
    claimed: str

    def work(self, verb: str, flow: Flow[T]) -> Work[T]:
        """Have a flow run where the file is."""
        return Work(self.runtime, self.records.site, self.records.watched(verb, flow))


class Download:
    """Pieces of a file, in order, each of them checked. Ended by an error, it cannot be gone on with.

    Attributes:
        position: where in the file the next piece begins, once the first step was made.
        claim: with which a file that can be read once can be read on: ``stream(id, position, claim=claim)``.
    """

    def __init__(
        self, reading: Callable[[str], Reading], start: int | None, stop: int | None, claim: str
    ) -> None:
        self.position: int = 0
        self.claim: str = claim
        self._reading = reading
        self._range = start, stop
        self._pieces: deque[bytes] = deque()
        self._opened: Reading | None = None
        self._transfer: Transfer | None = None
        self._is_over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if not self._pieces and not self._is_over:
            runtime, site, flow = self._work()
            runtime.engine.run(flow, runtime.stores.sync_io(site))
        if self._is_over:
            raise StopIteration
        return self._piece()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces and not self._is_over:
            runtime, site, flow = self._work()
            await runtime.engine.arun(flow, runtime.stores.async_io(site))
        if self._is_over:
            raise StopAsyncIteration
        return self._piece()

    def _piece(self) -> bytes:
        piece = self._pieces.popleft()
        self.position += len(piece)
        return piece

    def _work(self) -> Work[None]:
        if self._opened is None:
            self._opened = self._reading(self.claim)
        return self._opened.work("stream", self._step(self._opened))

    def _step(self, reading: Reading) -> Flow[None]:
        from cachepolicy.flow import download  # loaded with the first policy

        if self._transfer is None:
            found = yield from download.found(reading.places, reading.claimed)
            self._transfer = download.cut(found, *self._range)
            self.position = self._transfer.start
        pieces = yield from self._transfer.read_on()
        if not pieces:
            yield from self._transfer.ended()
        self._pieces.extend(pieces)
        self._is_over = not pieces
