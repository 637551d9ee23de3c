"""What a call survives: counted each time, logged once, with no key, argument or value in it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from cachepolicy.errors import Corruption, Fault, StoreError, Uncountable, UnserializableValue
from cachepolicy.flow.plan import Plan
from cachepolicy.telemetry.logs import Event, fields

_LOG = logging.getLogger("cachepolicy")


class Errors(Protocol):
    """Where errors are counted."""

    @property
    def errors(self) -> Counter[str]:
        """How many there were, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Faults:
    """What went wrong, by name."""

    errors: Counter[str]


class Watched(Protocol):
    """Whose incidents are counted and logged: a function's plan, a rule of limits."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def namespace(self) -> str:
        """The policy's namespace."""
        ...

    @property
    def counters(self) -> Errors:
        """What it counts."""
        ...

    @property
    def said(self) -> set[tuple[str, str]]:
        """What was logged already, of what."""
        ...


def fault(plan: Watched, error: StoreError, then: str = "calls go on without it") -> str:
    """Count a fault of the store; return its name. ``then`` says what follows, for the log."""
    name = str(error.fault)
    plan.counters.errors[name] += 1
    if error.fault is not Fault.OPEN:  # what opened it was told
        message = f"namespace {plan.namespace}: {error}; {then}"
        _say_once(plan, plan.namespace, name, message, Event.FAULT, name)
    return name


def bug(plan: Watched, error: Exception) -> str:
    """Count an error that nobody foresaw; return its class."""
    name = f"internal.{type(error).__name__}"
    plan.counters.errors[name] += 1
    message = f"{plan.name}: the cache failed ({name}); please report it"
    _say_once(plan, plan.name, name, message, Event.BUG, name)
    return name


def corruption(plan: Plan, reason: Corruption) -> None:
    """Count stored bytes that were refused; one of another key, or altered, is an alarm once a minute."""
    name = f"corrupt.{reason}"
    plan.counters.errors[name] += 1
    if reason is Corruption.KEY:
        message = f"{plan.name}: a reply held the value of another key; it was not served"
        _alarm(plan, message, Event.FOREIGN_VALUE, name)
    elif reason is Corruption.TAMPERED:
        message = f"{plan.name}: an encrypted value was altered in Redis; it was not served"
        _alarm(plan, message, Event.TAMPERED, name)
    elif reason is not Corruption.SCHEMA:  # a deployment that changed the result type is no incident
        message = f"{plan.name}: stored bytes refused ({reason}); the function is asked instead"
        _say_once(plan, plan.name, reason, message, Event.CORRUPT, name)


def unserializable(plan: Plan, error: UnserializableValue) -> None:
    """Tell once that a function's results cannot be cached."""
    message = f"{plan.name}: a result is not cached: {error}"
    _say_once(plan, plan.name, "unserializable", message, Event.UNSERIALIZABLE)


def undecided(plan: Plan, error: Exception) -> None:
    """Count a ``cache_if`` that raised."""
    name = f"cache_if.{type(error).__name__}"
    plan.counters.errors[name] += 1
    message = f"{plan.name}: cache_if raised {type(error).__name__}; such results are not kept"
    _say_once(plan, plan.name, "cache_if", message, Event.CACHE_IF, name)


def stood_in(plan: Plan, error: BaseException) -> None:
    """Count an error of the function that its callers were spared: something older answers."""
    name = f"origin.{type(error).__name__}"
    plan.counters.errors[name] += 1
    message = (
        f"{plan.name}: the function failed ({type(error).__name__}); what is out of date answers while it may"
    )
    _say_once(plan, plan.name, name, message, Event.ORIGIN, name)


def overdue(plan: Plan) -> None:
    """Count a caller who was not let wait any longer."""
    plan.counters.errors["origin.timeout"] += 1


def uncounted(watched: Watched, metric: str, what: str, why: str) -> None:
    """Count a call of which something could not be counted; ``what``: its ``label``, its ``value``."""
    name = f"metric.{what}"
    watched.counters.errors[name] += 1
    message = f"{watched.name}: metric {metric}: {what}: {why}; the call goes on, and it is told once"
    _say_once(watched, f"{watched.name} {metric}", name, message, Event.METRIC, name)


def clamped(plan: Watched, asked: str = "control(ttl=…)") -> None:
    """Tell once that a call asked for a TTL that the policy does not let it have; ``asked``: by what."""
    message = f"{plan.name}: {asked} is outside the range of its namespace; the nearest TTL is used"
    _say_once(plan, plan.name, "ttl", message, Event.TTL)


def shortened(watched: Watched, ttl: str) -> None:
    """Tell once that code asked for a life that the policy does not let it have."""
    message = f"namespace {watched.namespace}: {ttl} is outside its range; the nearest TTL is used"
    _say_once(watched, watched.namespace, "ttl", message, Event.TTL)


def dropped(watched: Watched) -> None:
    """Tell once that counts were dropped; each is counted by metrics."""
    message = f"namespace {watched.namespace}: counts were dropped: Redis is out, or would not take them"
    _say_once(watched, watched.namespace, "dropped", message, Event.COUNTS_DROPPED)


def left_out(watched: Watched, error: Uncountable) -> None:
    """Tell once that some numbers of a batch can never be counted."""
    message = f"namespace {watched.namespace}: {error}"
    _say_once(watched, watched.namespace, "left_out", message, Event.COUNTS_REFUSED)


def _say_once(
    plan: Watched, subject: str, matter: str, message: str, event: Event, error: str | None = None
) -> None:
    """Log a warning the first time only: a fault on every call is one event."""
    if (subject, matter) not in plan.said:
        plan.said.add((subject, matter))
        _LOG.warning("%s", message, extra=_beside(plan, event, error))


def _alarm(plan: Plan, message: str, event: Event, error: str) -> None:
    """Log an error, but once a minute: a server that is wrong is wrong on every call."""
    plan.alarms.sound(_LOG, message, _beside(plan, event, error), plan.clock.monotonic())


def _beside(plan: Watched, event: Event, error: str | None) -> dict[str, object]:
    function = plan.name if plan.name != plan.namespace else None
    return fields(event, namespace=plan.namespace, function=function, error=error)
