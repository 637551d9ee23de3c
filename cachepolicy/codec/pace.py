"""Streams that are replayed: generators over chunks, at once or at a pace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from cachepolicy.codec.recording import Recording


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast chunks come at a replay.

    Attributes:
        seconds: between two chunks; None: as they came.
        longest: seconds that a pause may take.
    """

    seconds: float | None = 0.0
    longest: float = 0.0

    def pauses(self, recording: Recording) -> Sequence[float] | None:
        """Return the seconds before each chunk; None: they come at once."""
        if self.seconds is None:
            return [min(pause, self.longest) for pause in recording.pauses]
        return [self.seconds] * len(recording.chunks) if self.seconds else None


def play(chunks: Sequence[object]) -> Iterator[object]:
    """Give chunks at once."""
    yield from chunks


async def play_async(chunks: Sequence[object]) -> AsyncIterator[object]:
    """Give chunks at once."""
    for chunk in chunks:
        yield chunk


def play_slowly(
    chunks: Sequence[object], pauses: Sequence[float], sleep: Callable[[float], None]
) -> Iterator[object]:
    """Give each chunk after its pause."""
    for chunk, pause in zip(chunks, pauses, strict=True):
        if pause:
            sleep(pause)
        yield chunk


async def play_slowly_async(
    chunks: Sequence[object], pauses: Sequence[float], sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[object]:
    """Give each chunk after its pause."""
    for chunk, pause in zip(chunks, pauses, strict=True):
        if pause:
            await sleep(pause)
        yield chunk
