"""Whether a command may be sent again: what the server did is known, or once more does no harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.commands import Command, Repeat

_NOT_DONE: Final = frozenset({Fault.READONLY, Fault.TRYAGAIN})
"""The server said that it did nothing, and may do it on another connection, or in a moment."""

_UNKNOWN: Final = frozenset({Fault.LOST, Fault.TIMEOUT, Fault.PROTOCOL})
"""Whether it was done is not known."""

_NEVER_SENT: Final = frozenset({Fault.LOST, Fault.REFUSED, Fault.TIMEOUT, Fault.PROTOCOL})


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often a command is tried in all, and the share of commands that may be retries."""

    attempts: int = 2
    on_timeout: bool = True
    budget: float = 0.2


def is_repeatable(rule: RetryRule, command: Command[Any], fault: StoreError) -> bool:
    """Tell whether a command may be sent again after a fault: a counter must never count twice."""
    if fault.fault is Fault.TIMEOUT and not rule.on_timeout:
        return False
    if fault.fault in _NOT_DONE or (not fault.sent and fault.fault in _NEVER_SENT):
        return True
    return fault.fault in _UNKNOWN and command.repeat is not Repeat.ONCE
