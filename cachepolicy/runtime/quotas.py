"""What each plan of a rule allows, as it is counted."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from cachepolicy.flow.limiter import Places, Quota
from cachepolicy.flow.permit_terms import lowered
from cachepolicy.policy.rules import limits as rules
from cachepolicy.policy.rules.limits import LimitRule
from cachepolicy.policy.units import MoneyRate, Rate, format_duration
from cachepolicy.tiers.limits import Algorithm, Limit, Unit

NO_PLANS: Final = ""
"""The name under which a rule without plans has its limits."""

_LONGEST_MONTH: Final = 31 * 24 * 3600


def plans_of(rule: LimitRule) -> Mapping[str, Quota]:
    """Return what each plan of a rule allows; under ``NO_PLANS`` where there are none."""
    if rule.plans:
        return {name: quota_of(plan, rule, name) for name, plan in rule.plans.items()}
    return {NO_PLANS: quota_of(rule, rule, "")}


def quota_of(limits: rules.Limits, rule: LimitRule, plan: str) -> Quota:
    """Return what is allowed, counted as a rule says.

    Args:
        limits: of the rule itself, or of one of its plans.
        rule: says how they are counted.
        plan: what tells it from others of the same subject.
    """
    rates: list[tuple[Unit, Rate | MoneyRate]] = [
        (unit, rate) for unit in Unit for rate in getattr(limits, unit)
    ]
    held = limits.concurrency
    declared = tuple(_limit(unit, rate, rule) for unit, rate in rates)
    return Quota(
        limits=declared if rule.batch is None else lowered(declared, rule.batch),
        declared=declared,
        names=tuple(_name(unit, rate) for unit, rate in rates),
        places=None if held is None else Places(held.limit, ms(held.lease)),
        plan=plan,
    )


def _limit(unit: Unit, rate: Rate | MoneyRate, rule: LimitRule) -> Limit:
    algorithm = Algorithm(rule.algorithm)
    seconds = max(rate.window, _LONGEST_MONTH) if rate.period == "month" else rate.window
    return Limit(
        unit=unit,
        algorithm=algorithm,
        amount=rate.limit,
        period=ms(seconds),
        burst=max(1, int(rate.limit * Fraction(rule.burst).limit_denominator(10**6)))
        if algorithm is Algorithm.GCRA
        else 0,
        buckets=rule.buckets if algorithm is Algorithm.WINDOW else 0,
        calendar=rate.period if algorithm is Algorithm.CALENDAR else "",
        currency=rate.currency if isinstance(rate, MoneyRate) else "",
    )


def _name(unit: Unit, rate: Rate | MoneyRate) -> str:
    """Name a limit, for people: ``requests 100/hour``, ``money 5 USD/day``."""
    period = rate.period or format_duration(rate.window)
    amount = f"{rate.limit / 10**6:g} {rate.currency}" if isinstance(rate, MoneyRate) else str(rate.limit)
    return f"{unit} {amount}/{period}"


def ms(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return round(seconds * 1000)
