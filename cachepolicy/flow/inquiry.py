"""What a server is asked before anything is kept there: how it is set, and what it lets its user do."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachepolicy.chance import chance
from cachepolicy.errors import Fault, StoreError
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.effects import Flow, spread
from cachepolicy.flow.health import Look, Spot, look
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.resilience import Budget, Guard, ask_all
from cachepolicy.tiers import rehearsal
from cachepolicy.tiers.commands import Command

MEMORY: Final = (
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-samples",
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
    "set-max-listpack-entries",
    "set-max-listpack-value",
)
"""What decides how much a server keeps, and in how little room."""

SETTINGS: Final = (*MEMORY, "save", "appendonly")
"""What is asked for by CONFIG GET."""

_RETRY: Final = RetryRule(attempts=2, on_timeout=False, budget=1.0)
_BREAKER: Final = BreakerRule(failures=1000)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What one server answered.

    Attributes:
        look: as health takes it.
        key: a key that lies there.
        settings: by name; those that it has, and tells.
    """

    look: Look
    key: str
    settings: Mapping[str, str]

    @property
    def fault(self) -> Fault | None:
        """Why it could not be asked anything, its database refused among that; None: it answered."""
        seen = self.look
        return seen.fault or (seen.refusal if seen.info is None and seen.skew is None else None)


@dataclass(frozen=True, slots=True)
class Rights:
    """What the user may do, of what was asked.

    Attributes:
        refused: commands, in order.
        untried: those that could not be tried.
    """

    refused: tuple[str, ...]
    untried: tuple[str, ...] = ()


def inquire(spot: Spot, seconds: float) -> Flow[list[Inquiry]]:
    """Ask each server of a site how it is and how it is set; raises nothing that they do."""
    looks = yield from look(spot, seconds)
    keys: list[str] = yield from spread()
    if len(keys) != len(looks) or all(each.fault is not None for each in looks):
        return [Inquiry(each, "", {}) for each in looks]
    asked = [rehearsal.config(key, name) for key in keys for name in SETTINGS]
    answers = yield from ask_server(spot, asked, seconds)
    found: list[Inquiry] = []
    for number, (each, key) in enumerate(zip(looks, keys, strict=True)):
        mine = answers[number * len(SETTINGS) : (number + 1) * len(SETTINGS)]
        settings = {name: value for told in mine if isinstance(told, dict) for name, value in told.items()}
        found.append(Inquiry(each, key, settings))
    return found


def rights(spot: Spot, commands: Iterable[str], channel: str, seconds: float) -> Flow[Rights]:
    """Find out which commands the user may run on keys of a namespace; nothing of it is changed.

    Args:
        spot: the namespace.
        commands: in lower case, such as ``client|tracking``.
        channel: that it may publish to.
        seconds: the most that it may take.
    """
    key = f"{spot.prefix}canary:{secrets.token_hex(8)}"
    (user,) = yield from ask_server(spot, [rehearsal.whoami(key)], seconds)
    wanted = rehearsal.known(commands, said=False)
    if isinstance(user, str):
        asked: list[Command[Any]] = [rehearsal.rehearse(user, each, key, channel) for each in wanted]
        answers = yield from ask_server(spot, asked, seconds)
        if not any(isinstance(each, StoreError) for each in answers):
            return Rights(tuple(each for each, may in zip(wanted, answers, strict=True) if not may))
    tried = rehearsal.known(wanted, said=True)  # SELECT was said when the connection was opened
    answers = yield from ask_server(spot, [rehearsal.say(each, key, channel) for each in tried], seconds)
    refused = [each for each, answer in zip(tried, answers, strict=True) if is_refusal(answer)]
    return Rights(tuple(refused), tuple(each for each in wanted if each not in {*tried, "select"}))


def ask_server(spot: Spot, asked: Sequence[Command[Any]], seconds: float) -> Flow[list[Any | StoreError]]:
    """Ask past the breakers; every fault is an answer."""
    clock = spot.site.clock
    guard = Guard(_RETRY, _BREAKER, clock, chance)
    try:
        return (yield from ask_all(guard, asked, Budget(clock, seconds)))
    except StoreError as fault:  # the time is over
        return [fault] * len(asked)


def is_refusal(answer: object) -> bool:
    """Tell whether the user may not, or the server does not know such a command."""
    return isinstance(answer, StoreError) and answer.fault in {Fault.FORBIDDEN, Fault.UNSUPPORTED}
