"""What is known of a model, in a hash of its own: averages are made where all processes meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cachepolicy.clock import lifetime_ms
from cachepolicy.errors import Fault, StoreUnavailable
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, flag

_KEEP: Final = scripts.load("model")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model.

    Attributes:
        status: how it did last.
        last_check: when that was, in seconds since the epoch.
        avg_response_time: how long it takes to answer, in seconds; None: it never did.
    """

    status: str
    last_check: float
    avg_response_time: float | None


def read(key: str) -> Command[Facts | None]:
    """Ask for what is known of a model; None where nothing is."""
    words = ("HMGET", key, "status", "last_check", "avg_response_time")
    return Command(words, key, _facts, Repeat.READ)


def replace(key: str, facts: Facts, ttl: float) -> Command[bool]:
    """Forget what is known of a model and keep this, for ``ttl`` seconds."""
    return _KEEP.call([key], [*_words(facts), "1", lifetime_ms(ttl), "1"], flag, Repeat.WRITE)


def add(key: str, facts: Facts, weight: float, ttl: float) -> Command[bool]:
    """Tell how a model did of late; a status that is older than the one known does not count.

    Args:
        key: of the model.
        facts: how it did.
        weight: how much its response time counts beside the average that is known, above 0 and up to 1.
        ttl: seconds that what is known is kept.
    """
    return _KEEP.call([key], [*_words(facts), f"{weight:.6f}", lifetime_ms(ttl), "0"], flag)


def _words(facts: Facts) -> tuple[str, int, str]:
    took = facts.avg_response_time
    return facts.status, round(facts.last_check * 1000), "" if took is None else f"{took:.6f}"


def _facts(reply: object) -> Facts | None:
    try:
        match reply:
            case [None, None, None]:
                return None
            case [bytes(status), bytes(last), bytes() | None as took]:
                return Facts(status.decode(), int(last) / 1000, None if took is None else float(took))
            case _:
                raise ValueError  # as for numbers that are none
    except ValueError:  # UnicodeDecodeError is one
        told = "Redis gives no usable answer: nothing that is known of a model"
        raise StoreUnavailable(told, Fault.PROTOCOL) from None
