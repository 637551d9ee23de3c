"""Work that goes on in a thread while a flow asks Redis: hashing, compressing, encrypting, reading a disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cachepolicy.flow.background import Background
from cachepolicy.flow.effects import Flow, join
from cachepolicy.flow.signal import Signal

T = TypeVar("T")


class Hand(Generic[T]):
    """A piece of work, and what comes of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._ended = Signal(threading.Lock())
        self._results: list[T] = []
        self._error: BaseException | None = None

    def __call__(self) -> None:
        """Do it."""
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        finally:
            self._ended.set()

    def outcome(self) -> Flow[T]:
        """Wait for it; raises what it raised."""
        if not self._ended.is_set:
            yield from join(self._ended, None)
        if self._error is not None:
            raise self._error
        return self._results.pop()


def lend(background: Background, work: Callable[[], T], *, worth: bool) -> Hand[T]:
    """Begin a piece of work.

    Args:
        background: the threads.
        work: what is to be done; nobody else touches what it touches, until it is waited for.
        worth: whether it is worth a thread; else it is done here and now.
    """
    hand = Hand(work)
    if not worth or not background.submit(hand):
        hand()
    return hand
