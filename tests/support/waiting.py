"""Waiting for what another process or the kernel does: no clock of ours rules it, so it is polled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cachepolicy import StoreError

T = TypeVar("T")

_PATIENCE = 20.0
_POLL = 0.005


def until(
    condition: Callable[[], object], what: str, patience: float = _PATIENCE, every: float = _POLL
) -> None:
    """Wait until a condition holds, asked ``every`` so many seconds; fail when it does not in twenty."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(every)


async def until_async(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until a condition holds, with the loop running; fail when it does not in twenty seconds."""
    end = time.monotonic() + _PATIENCE
    while not await condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        await asyncio.sleep(_POLL)


def at_last(call: Callable[[], T]) -> T:
    """Call until Redis answers: it was out, or a busy machine was slower than a deadline."""
    while True:
        try:
            return call()
        except StoreError:
            continue


def block(seconds: float) -> None:
    """Keep this thread, and whatever loop it runs, from doing anything else."""
    time.sleep(seconds)


async def rest(seconds: float) -> None:
    """Let the loop do other things for a while."""
    await asyncio.sleep(seconds)
