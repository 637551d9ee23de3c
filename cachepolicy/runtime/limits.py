"""The rules of limits of one loaded policy, made ready: plans, limits, names, who decides when Redis is out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Final

from cachepolicy import policy
from cachepolicy.clock import Clock
from cachepolicy.errors import PolicyError, UnknownPlan, UnknownRule
from cachepolicy.flow.denials import Denials
from cachepolicy.flow.limiter import Claim, Faults, Limiter, LimitFault, Places, Quota, Refund
from cachepolicy.flow.local_limits import LocalLimits
from cachepolicy.flow.stores import Site
from cachepolicy.keys.layout import limit_key, prefix
from cachepolicy.keys.template import segment
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules import limits as rules
from cachepolicy.policy.rules.base import Kept
from cachepolicy.policy.rules.limits import LimitRule, RateLimitRule
from cachepolicy.policy.units import MoneyRate, Rate, format_duration
from cachepolicy.policy.words import did_you_mean
from cachepolicy.telemetry import limits as counted
from cachepolicy.telemetry import metrics
from cachepolicy.telemetry.names import SPAN_LIMIT
from cachepolicy.telemetry.prices import Prices
from cachepolicy.tiers.limits import Algorithm, Limit, Unit

_IN_CODE: Final = "~"  # before the name of a rule that code makes up: none in a policy begins with it
_MOST_IN_CODE: Final = 1000
_NO_PLANS: Final = ""
_LONGEST_MONTH: Final = 31 * 24 * 3600


class Limits:
    """The rules of a policy; each is made ready when it is first asked for.

    Args:
        loaded: the policy.
        site: says where a namespace lies.
        clock: the source of time.
        prices: what tokens cost.
    """

    claim = Claim

    def __init__(
        self, loaded: LoadedPolicy, site: Callable[[str, Kept], Site], clock: Clock, prices: Prices
    ) -> None:
        self._policy = loaded.policy
        self._site = site
        self._clock = clock
        self._prices = prices
        self._lock = threading.Lock()
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._in_code: dict[tuple[str, str, int, float], Limiter] = {}
        self._memories: dict[str, tuple[Denials | None, LocalLimits]] = {}
        self._said: set[tuple[str, str]] = set()

    def rule(self, namespace: str, who: str) -> RateLimitRule:
        """Return the rule of a namespace of limits; ``who`` needs one, for the message.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is of another kind.
        """
        rule = policy.namespace(self._policy, namespace)
        if not isinstance(rule, RateLimitRule):
            raise PolicyError(
                f"{who}: namespace {namespace!r} is of kind {rule.kind}; limits need one of kind ratelimit"
            )
        return rule

    def limiter(self, namespace: str, name: str, who: str) -> Limiter:
        """Return a rule, made ready.

        Raises:
            UnknownRule: the policy does not declare it.
            PolicyError: the namespace is of another kind, or is not declared.
        """
        limiter = self._limiters.get((namespace, name))
        if limiter is not None:
            return limiter
        kept = self.rule(namespace, who)
        rule = kept.rules.get(name)
        if rule is None:
            known = did_you_mean(name, kept.rules) or f"; there are: {', '.join(kept.rules) or 'none'}"
            raise UnknownRule(f"{who}: namespace {namespace!r} has no rule {name!r}{known}")
        with self._lock:
            limiter = self._limiters.get((namespace, name))
            if limiter is None:
                limiter = self._limiters[namespace, name] = self._open(namespace, kept, name, rule)
        return limiter

    def in_code(self, namespace: str, action: str, limit: int, window: float | None, who: str) -> Limiter:
        """Return a rule that code makes up: so many requests in any window of so many seconds.

        Raises:
            PolicyError: nothing can be counted so; or as above.
        """
        kept = self.rule(namespace, who)
        seconds = kept.ttl.default if window is None else window
        known = self._in_code.get((namespace, action, limit, seconds))
        if known is not None:
            return known
        if not action or type(limit) is not int or limit < 1 or seconds < 0.001:  # noqa: PLR2004 - a millisecond
            raise PolicyError(f"{who}: expected the name of an action, and a limit and a window above 0")
        rule = LimitRule(requests=(Rate(limit, seconds),), algorithm="window")
        made = self._open(namespace, kept, f"{_IN_CODE}{segment(action)}", rule, counted_as=_IN_CODE)
        with self._lock:
            if len(self._in_code) >= _MOST_IN_CODE:
                self._in_code.clear()
            return self._in_code.setdefault((namespace, action, limit, seconds), made)

    @staticmethod
    def quota(limiter: Limiter, plan: object) -> Quota:
        """Return what a plan allows.

        Args:
            limiter: the rule.
            plan: its name; None or empty: the rule's ``default_plan``.

        Raises:
            UnknownPlan: the rule has no such plan, or there is none and no default.
        """
        plans = limiter.plans
        if _NO_PLANS in plans:
            return plans[_NO_PLANS]
        found = plans.get(plan or limiter.default_plan) if plan is None or isinstance(plan, str) else None
        if found is not None:
            return found
        known = ", ".join(plans)
        if plan is None or plan == "":
            raise UnknownPlan(f"rule {limiter.rule!r}: say which plan: {known}; or default_plan: in the policy")
        raise UnknownPlan(f"rule {limiter.rule!r}: no such plan; there are: {known}")

    def after_fork(self) -> None:
        """Forget locks that other threads held when this process was forked."""
        self._lock = threading.Lock()
        for denials, local in self._memories.values():
            local.after_fork()
            if denials is not None:
                denials.after_fork()

    def _open(
        self, namespace: str, kept: RateLimitRule, name: str, rule: LimitRule, counted_as: str = ""
    ) -> Limiter:
        telemetry, redis = self._policy.telemetry, self._policy.redis
        if telemetry.enabled:
            metrics.export_all()
        if namespace not in self._memories:
            denials = Denials(self._clock, kept.denied) if kept.denied else None
            local = LocalLimits(self._clock, Fraction(1, kept.replicas))
            self._memories.setdefault(namespace, (denials, local))
        denials, local = self._memories[namespace]
        return Limiter(
            rule=name,
            namespace=namespace,
            by=rule.by,
            plans=_plans(rule),
            default_plan=rule.default_plan or "",
            key=partial(limit_key, prefix(self._policy.app, namespace), name),
            site=self._site(namespace, kept),
            clock=self._clock,
            deadline=redis.deadline,
            on_fault=LimitFault(rule.on_fault or kept.on_fault),
            shadow=rule.shadow,
            wait=_ms(rule.wait or 0.0),
            held=_ms(rule.held),
            refund=Refund(rule.refund),
            pause=_ms(redis.breaker.open_for),
            denials=denials,
            local=local,
            tally=counted.tally(namespace, counted_as or name),
            counters=Faults(counted.errors(namespace)),
            said=self._said,
            tracing=metrics.tracing(
                enabled=telemetry.enabled and telemetry.spans != "none", name=SPAN_LIMIT
            ),
            prices=self._prices,
        )


def _plans(rule: LimitRule) -> Mapping[str, Quota]:
    if rule.plans:
        return {name: _quota(plan, rule) for name, plan in rule.plans.items()}
    return {_NO_PLANS: _quota(rule, rule)}


def _quota(limits: rules.Limits, rule: LimitRule) -> Quota:
    rates: list[tuple[Unit, Rate | MoneyRate]] = [
        (unit, rate)
        for unit in Unit
        for rate in getattr(limits, unit)
    ]
    held = limits.concurrency
    return Quota(
        limits=tuple(_limit(unit, rate, rule) for unit, rate in rates),
        names=tuple(_name(unit, rate) for unit, rate in rates),
        places=None if held is None else Places(held.limit, _ms(held.lease)),
    )


def _limit(unit: Unit, rate: Rate | MoneyRate, rule: LimitRule) -> Limit:
    algorithm = Algorithm(rule.algorithm)
    seconds = max(rate.window, _LONGEST_MONTH) if rate.period == "month" else rate.window
    return Limit(
        unit=unit,
        algorithm=algorithm,
        amount=rate.limit,
        period=_ms(seconds),
        burst=max(1, int(rate.limit * Fraction(rule.burst).limit_denominator(10**6))) if algorithm is Algorithm.GCRA else 0,
        buckets=rule.buckets if algorithm is Algorithm.WINDOW else 0,
        calendar=rate.period if algorithm is Algorithm.CALENDAR else "",
        currency=rate.currency if isinstance(rate, MoneyRate) else "",
    )


def _name(unit: Unit, rate: Rate | MoneyRate) -> str:
    """Name a limit, for people: ``requests 100/hour``, ``money 5 USD/day``."""
    period = rate.period or format_duration(rate.window)
    amount = f"{rate.limit / 10**6:g} {rate.currency}" if isinstance(rate, MoneyRate) else str(rate.limit)
    return f"{unit} {amount}/{period}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
