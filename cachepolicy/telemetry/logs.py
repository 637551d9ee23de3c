"""What is logged: sentences for people, and beside each the same fields by stable names, for programs.

All goes through ``logging``, to the logger ``cachepolicy`` and those below it. Nothing of a call is in it: no
key, argument, value or secret. The fields are attributes of the record, as ``extra=`` makes them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cachepolicy.telemetry.names import ATTRIBUTE_ERROR, ATTRIBUTE_FUNCTION, ATTRIBUTE_NAMESPACE

FIELD_EVENT: Final = "cachepolicy.event"
FIELD_SUPPRESSED: Final = "cachepolicy.suppressed"
FIELD_SETTINGS: Final = "cachepolicy.settings"
ALARM_EVERY: Final = 60.0
"""Seconds for which an alarm that repeats itself is held back."""


class Event(StrEnum):
    """What a line tells of."""

    FAULT = "fault"  # Redis failed; calls go on as the policy says
    BUG = "bug"  # nobody foresaw it
    FOREIGN_VALUE = "foreign_value"  # Redis handed out the value of another key
    TAMPERED = "tampered"  # an encrypted value was altered
    CORRUPT = "corrupt"  # stored bytes that are not a value, or no longer
    UNSERIALIZABLE = "unserializable"
    UNREADABLE_TYPE = "unreadable_type"
    NOT_SAMPLED = "not_sampled"
    CACHE_IF = "cache_if"
    ORIGIN = "origin"  # the function failed, and its callers were spared it
    METRIC = "metric"
    TTL = "ttl"  # one was asked for that the policy does not let
    COUNTS_DROPPED = "counts_dropped"
    COUNTS_REFUSED = "counts_refused"
    EVICTABLE = "evictable"
    DATABASES = "databases"  # the server does not keep them apart
    COHERENCE = "coherence"  # changes are not heard of
    HEALTH = "health"
    POLICY_RELOADED = "policy_reloaded"
    POLICY_REFUSED = "policy_refused"
    TELEMETRY_UNCHANGED = "telemetry_unchanged"


def fields(
    event: Event,
    *,
    namespace: str | None = None,
    function: str | None = None,
    error: str | None = None,
    more: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return what stands beside a line, for ``extra=``.

    Args:
        event: what it tells of.
        namespace: the policy's, where it is about one.
        function: the decorated function, or the rule of limits, where it is about one.
        error: what went wrong, by the name under which it is counted.
        more: fields of this event's own.
    """
    named = {
        FIELD_EVENT: str(event),
        ATTRIBUTE_NAMESPACE: namespace,
        ATTRIBUTE_FUNCTION: function,
        ATTRIBUTE_ERROR: error,
    }
    return {name: value for name, value in named.items() if value is not None} | dict(more or {})


class Alarms:
    """Lets an alarm through at once, and then once a minute; counts those between.

    It is shared by threads without a lock: two that come at the same moment may both be let through.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, int]] = {}

    def sound(self, log: logging.Logger, message: str, beside: Mapping[str, object], now: float) -> None:
        """Log an error, unless it is to be held back.

        Args:
            log: where to.
            message: the sentence.
            beside: its fields; an alarm is known by what went wrong.
            now: the monotonic time (seconds).
        """
        held = self.due(str(beside.get(ATTRIBUTE_ERROR)), now)
        if held is not None:
            more = f" ({held} more were held back since the last such line)" if held else ""
            log.error("%s%s", message, more, extra={**beside, FIELD_SUPPRESSED: held})

    def due(self, matter: str, now: float) -> int | None:
        """Return how many were held back since the last one; None: this one is, too.

        Args:
            matter: what it is about.
            now: the monotonic time (seconds).
        """
        until, held = self._held.get(matter, (now, 0))
        if now < until:
            self._held[matter] = (until, held + 1)
            return None
        self._held[matter] = (now + ALARM_EVERY, 0)
        return held
