"""Round trips to a store, counted: what goes to Redis together is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cachepolicy.flow.stores import Stores
from cachepolicy.tiers.commands import Command


class Trips(list[list[str]]):
    """The round trips so far, each as the names of its commands."""

    def take(self) -> list[list[str]]:
        """Return those since this was last asked."""
        taken = self[:]
        self.clear()
        return taken

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count those of stores that are opened from now on, of either colour."""
        for name in ("_connect_sync", "_connect_async"):
            open_store = getattr(Stores, name)
            monkeypatch.setattr(
                Stores, name, lambda stores, place, connect=open_store: _Counted(connect(stores, place), self)
            )


class _Counted:
    def __init__(self, store: Any, trips: Trips) -> None:
        self._store = store
        self._trips = trips

    def execute(self, command: Command[Any], timeout: float) -> Any:
        self._trips.append([str(command.words[0])])
        return self._store.execute(command, timeout)

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> Any:
        self._trips.append([str(command.words[0]) for command in commands])
        return self._store.execute_all(commands, timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
