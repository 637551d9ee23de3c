"""Commands on their way to several servers of a cluster, in rounds, until each has its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.commands import Command, Repeat
from cachepolicy.tiers.replies import Redirected, store_error
from cachepolicy.tiers.topology import MOST_REDIRECTS, Topology, Turn

Group = list[int]
"""Which commands, by their place, go to one server together."""

_ASKING: Final[Command[object]] = Command(("ASKING",), "", lambda reply: reply, Repeat.READ)


class Itinerary:
    """The commands of one call: where each goes next, and what became of it.

    Args:
        topology: the map.
        commands: those that are to be carried out.
        first: where to begin; None for what the map says.
    """

    def __init__(
        self, topology: Topology, commands: Sequence[Command[Any]], first: Turn | None = None
    ) -> None:
        self.outcomes: list[Any | StoreError] = [None] * len(commands)
        self._topology = topology
        self._commands = commands
        self._rounds = 0 if first is None else 1
        self._waiting: dict[Turn, Group] = {}
        for place, command in enumerate(commands):
            host = topology.owner(command.key)
            if first is not None:
                self._send(first, place)
            elif host is not None:
                self._send(Turn(host), place)
            else:
                self.outcomes[place] = topology.nobody()

    def groups(self) -> dict[Turn, Group]:
        """Begin a round: return what goes where."""
        groups, self._waiting = self._waiting, {}
        if self._rounds > MOST_REDIRECTS:
            for place in (place for group in groups.values() for place in group):
                self.outcomes[place] = store_error(Fault.REDIRECTED, sent=False)
            return {}
        self._rounds += 1
        return groups

    def commands(self, turn: Turn, group: Group) -> list[Command[Any]]:
        """Return what to send there; ASKING goes right before each command that needs it."""
        chosen = [self._commands[place] for place in group]
        return [part for command in chosen for part in (_ASKING, command)] if turn.asking else chosen

    def arrive(self, turn: Turn, group: Group, outcomes: Sequence[Any | StoreError]) -> None:
        """Take what a server answered."""
        for place, outcome in zip(group, outcomes[1::2] if turn.asking else outcomes, strict=True):
            if isinstance(outcome, Redirected):
                try:
                    self._send(self._topology.redirect(turn, outcome), place)
                except StoreError as fault:
                    self.outcomes[place] = fault
                continue
            if isinstance(outcome, StoreError):
                self._topology.failed(turn.host, outcome)
            else:
                self._topology.answered(turn.host)
            self.outcomes[place] = outcome

    def _send(self, turn: Turn, place: int) -> None:
        self._waiting.setdefault(turn, []).append(place)
