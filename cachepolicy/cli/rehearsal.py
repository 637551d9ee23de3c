"""A rehearsal: a policy over an empty Redis in this process, where calls run and no function is called.

What it records are the commands that the library itself makes; none of them is written down here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeVar

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import StoreError
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow, SyncIO
from cachepolicy.flow.stores import Site
from cachepolicy.policy import LoadedPolicy, NamespaceRule
from cachepolicy.policy.rules import TempRule
from cachepolicy.runtime import current
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.ports import SyncStore

T = TypeVar("T")
Trip = list[Command[Any]]
"""Commands that go to Redis together."""

_BRINGS_A_SCRIPT: Final = "EVAL"  # an empty server knows none; one that is in use does


class Rehearsal:
    """What stands in for a program that uses a policy."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime: Final = runtime
        self._trips: list[Trip] = []
        runtime.stores.around = self._heard

    def run(self, site: Site, flow: Flow[T]) -> T:
        """Drive a flow to its end, with all that it would leave to others."""
        store = self.runtime.stores.sync_io(site).store

        def drive(flow: Flow[Any]) -> Any:
            return run(flow, SyncIO(store, drive, lambda _flow, _ended: False))

        result: T = drive(flow)
        return result

    def trips(self, work: Callable[[], object]) -> list[Trip]:
        """Return what is asked of Redis while something is done, one list for each round trip."""
        self._trips = []
        work()
        found, self._trips = self._trips, []
        return found

    def _heard(self, store: SyncStore) -> SyncStore:
        return _Heard(store, self._note)

    def _note(self, commands: Sequence[Command[Any]]) -> None:
        trip = [command for command in commands if command.words[0] != _BRINGS_A_SCRIPT]
        if trip:
            self._trips.append(trip)


@contextmanager
def rehearsal(loaded: LoadedPolicy) -> Iterator[Rehearsal]:
    """Have this process use a policy over an empty Redis of its own; nothing is told to anybody.

    Raises:
        PolicyError: a file or a key that the policy names cannot be used.
    """
    told = logging.getLogger("cachepolicy")
    was_silent, told.disabled = told.disabled, True
    try:
        runtime = Runtime(_in_memory(loaded), SYSTEM)
        with current.standing_in(runtime):
            yield Rehearsal(runtime)
    finally:
        told.disabled = was_silent


def _in_memory(loaded: LoadedPolicy) -> LoadedPolicy:
    """Return a policy as it is, but for where it leads."""
    policy = loaded.policy
    here = {"url": type(policy.redis.url)("memory://")}
    changes = {
        "redis": policy.redis.model_copy(update=here),
        "telemetry": policy.telemetry.model_copy(update={"enabled": False}),
        "namespaces": {name: _nowhere(rule) for name, rule in policy.namespaces.items()},
    }
    return replace(loaded, policy=policy.model_copy(update=changes))


def _nowhere(rule: NamespaceRule) -> NamespaceRule:
    """Return a rule without a server, or a directory, of its own."""
    return rule.model_copy(update={"url": None} | ({"offload": None} if isinstance(rule, TempRule) else {}))


class _Heard:
    """``SyncStore`` that tells of each command, around another."""

    def __init__(self, store: SyncStore, note: Callable[[Sequence[Command[Any]]], None]) -> None:
        self._store = store
        self._note = note
        self.node = store.node
        self.spread = store.spread
        self.close = store.close

    def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        self._note([command])
        return self._store.execute(command, timeout)

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several."""
        self._note(commands)
        return self._store.execute_all(commands, timeout)
