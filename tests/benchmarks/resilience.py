"""What the resilience layer costs a command that succeeds: with a store that answers at once, and without."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

from cachepolicy.clock import SYSTEM
from cachepolicy.flow import drive
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.effects import Ask, AsyncIO, Flow, SyncIO
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.resilience import Budget, Guard, ask
from cachepolicy.tiers import commands
from cachepolicy.tiers.commands import Command
from tests.benchmarks.harness import OURS, Row, Table, timed, timed_async

SYNC = "resilience layer, def"
ASYNC = "resilience layer, async def"
WITHOUT = "the same effect without the layer"

_THROUGH = "drive(ask(guard, command, Budget(system, 0.1)), io)"
_PLAIN = "drive(plain(command), io)"


class _Instant:
    """A store that answers at once."""

    def execute(self, command: Command[Any], timeout: float) -> Any:
        return b"value"

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any]:
        return [b"value"]

    def node(self, key: str) -> str:
        return ""

    def spread(self) -> list[str]:
        return [""]

    def close(self) -> None:
        """Nothing is open."""


class _InstantAsync:
    async def execute(self, command: Command[Any], timeout: float) -> Any:
        return b"value"

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any]:
        return [b"value"]

    def node(self, key: str) -> str:
        return ""

    def spread(self) -> list[str]:
        return [""]

    async def aclose(self) -> None:
        """Nothing is open."""


def tables(loop: asyncio.AbstractEventLoop) -> Iterator[Table]:
    """Compare a flow that asks through the layer with one that asks by itself."""
    guard = Guard(RetryRule(), BreakerRule(), SYSTEM, random.random)
    names: dict[str, Any] = {"command": commands.head("answers:1")}
    through = names | {"ask": ask, "guard": guard, "Budget": Budget, "system": SYSTEM}
    plain = names | {"plain": _plain}
    note = "one command, a store that answers at once"
    sync: dict[str, Any] = {"drive": drive.run, "io": SyncIO(_Instant(), _never, lambda *_: False)}
    rows = [Row(WITHOUT, timed(_PLAIN, **sync, **plain)), Row(OURS, timed(_THROUGH, **sync, **through))]
    yield Table(SYNC, note, rows)
    on: dict[str, Any] = {"drive": drive.arun, "io": AsyncIO(_InstantAsync(), _never)}
    rows = [
        Row(WITHOUT, timed_async(loop, f"await {_PLAIN}", **on, **plain)),
        Row(OURS, timed_async(loop, f"await {_THROUGH}", **on, **through)),
    ]
    yield Table(ASYNC, note, rows)


def _plain(command: Command[Any]) -> Flow[object]:
    result: object = yield Ask(command, 0.1)
    return result


def _never(*_: object) -> None:
    raise NotImplementedError
