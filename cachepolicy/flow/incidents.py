"""What a call survives: counted each time, logged once, with no key, argument or value in it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from cachepolicy.errors import Corruption, Fault, StoreError, Uncountable, UnserializableValue
from cachepolicy.flow.plan import Plan

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
        _say_once(plan, plan.namespace, name, f"namespace {plan.namespace}: {error}; {then}")
    return name


def bug(plan: Watched, error: Exception) -> str:
    """Count an error that nobody foresaw; return its class."""
    name = f"internal.{type(error).__name__}"
    plan.counters.errors[name] += 1
    _say_once(plan, plan.name, name, f"{plan.name}: the cache failed ({name}); please report it")
    return name


def corruption(plan: Plan, reason: Corruption) -> None:
    """Count stored bytes that were refused; one of another key, or altered, is an alarm each time."""
    plan.counters.errors[f"corrupt.{reason}"] += 1
    if reason is Corruption.KEY:
        _LOG.error("%s: a reply held the value of another key; it was not served", plan.name)
    elif reason is Corruption.TAMPERED:
        _LOG.error("%s: an encrypted value was altered in Redis; it was not served", plan.name)
    elif reason is not Corruption.SCHEMA:  # a deployment that changed the result type is no incident
        message = f"{plan.name}: stored bytes refused ({reason}); the function is asked instead"
        _say_once(plan, plan.name, reason, message)


def unserializable(plan: Plan, error: UnserializableValue) -> None:
    """Tell once that a function's results cannot be cached."""
    _say_once(plan, plan.name, "unserializable", f"{plan.name}: a result is not cached: {error}")


def undecided(plan: Plan, error: Exception) -> None:
    """Count a ``cache_if`` that raised."""
    name = type(error).__name__
    plan.counters.errors[f"cache_if.{name}"] += 1
    _say_once(plan, plan.name, "cache_if", f"{plan.name}: cache_if raised {name}; such results are not kept")


def stood_in(plan: Plan, error: BaseException) -> None:
    """Count an error of the function that its callers were spared: something older answers."""
    name = type(error).__name__
    plan.counters.errors[f"origin.{name}"] += 1
    message = f"{plan.name}: the function failed ({name}); what is out of date answers while it may"
    _say_once(plan, plan.name, f"origin.{name}", message)


def overdue(plan: Plan) -> None:
    """Count a caller who was not let wait any longer."""
    plan.counters.errors["origin.timeout"] += 1


def uncounted(watched: Watched, metric: str, what: str, why: str) -> None:
    """Count a call of which something could not be counted; ``what``: its ``label``, its ``value``."""
    watched.counters.errors[f"metric.{what}"] += 1
    message = f"{watched.name}: metric {metric}: {what}: {why}; the call goes on, and it is told once"
    _say_once(watched, f"{watched.name} {metric}", f"metric.{what}", message)


def clamped(plan: Watched, asked: str = "control(ttl=…)") -> None:
    """Tell once that a call asked for a TTL that the policy does not let it have; ``asked``: by what."""
    message = f"{plan.name}: {asked} is outside the range of its namespace; the nearest TTL is used"
    _say_once(plan, plan.name, "ttl", message)


def shortened(watched: Watched, ttl: str) -> None:
    """Tell once that code asked for a life that the policy does not let it have."""
    message = f"namespace {watched.namespace}: {ttl} is outside its range; the nearest TTL is used"
    _say_once(watched, watched.namespace, "ttl", message)


def dropped(watched: Watched) -> None:
    """Tell once that counts were dropped; each is counted by metrics."""
    message = f"namespace {watched.namespace}: counts were dropped: Redis is out, or would not take them"
    _say_once(watched, watched.namespace, "dropped", message)


def left_out(watched: Watched, error: Uncountable) -> None:
    """Tell once that some numbers of a batch can never be counted."""
    _say_once(watched, watched.namespace, "left_out", f"namespace {watched.namespace}: {error}")


def _say_once(plan: Watched, subject: str, matter: str, message: str) -> None:
    """Log a warning the first time only: a fault on every call is one event."""
    if (subject, matter) not in plan.said:
        plan.said.add((subject, matter))
        _LOG.warning("%s", message)
