"""A store that brings scripts along, and a clock for the scripts of limits that a test sets."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers import limit_leases, limits
from cachepolicy.tiers.commands import Command, Repeat, put
from cachepolicy.tiers.scripts import Script
from tests.tiers import store_contract

T = TypeVar("T")


class Store:
    """A store of either colour; a script that it does not know is brought along."""

    def __init__(self, store: store_contract.Store) -> None:
        self._store = store

    def do(self, command: Command[T]) -> T:
        """Carry out a command."""
        try:
            return self._store.do(command)
        except StoreError as fault:
            if fault.fault is not Fault.NOSCRIPT:
                raise
        return self._store.do(command.with_source())

    def all(self, *commands: Command[Any]) -> list[Any]:
        """Carry out several at once, whose scripts are known."""
        return self._store.all(*commands)

    def ask(self, *words: str) -> Any:
        """Ask the server whatever there is no command for."""
        return self._store.do(Command(words, words[1], lambda reply: reply, Repeat.ONCE))


class ScriptedClock:
    """The time of the server, for scripts of limits: the source asks a key in place of ``TIME``.

    Keys still end by the server's own clock, which goes on while this one stands. So they are kept for
    ``SLACK`` after their use has ended, and not for a second: no test takes as long.
    """

    KEY = "clock"
    SLACK = 60_000
    """ms"""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, now: int = 1_795_648_053_212) -> None:
        self._store = store
        for module in (limits, limit_leases):
            for name, script in list(vars(module).items()):
                if isinstance(script, Script):
                    monkeypatch.setattr(module, name, _with_key(script))
        self.now = now
        self.set(now)

    def at(self, now: int) -> Command[None]:
        """Return the command that sets it, ms since the epoch."""
        return put(self.KEY, f"{now // 1000} {now % 1000 * 1000 + 999}".encode(), 3600)

    def set(self, now: int) -> None:
        """Set it; it may go back."""
        self.now = now
        self._store.do(self.at(now))

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.set(self.now + milliseconds)


def _with_key(script: Script) -> Script:
    asked, slack = "redis.call('TIME')", "local SLACK = 1000 "
    assert script.source.count(asked) == script.source.count(slack) == 1
    told = f"{{string.match(redis.call('GET', '{ScriptedClock.KEY}'), '(%d+) (%d+)')}}"
    source = script.source.replace(asked, told).replace(slack, f"local SLACK = {ScriptedClock.SLACK} ")
    in_a_line = "need + moment - now + 1000)"  # the common call has it spelled out
    assert source.count(in_a_line) == source.count("-- The common call")
    return Script(source.replace(in_a_line, f"need + moment - now + {ScriptedClock.SLACK})"))
