"""``kind: ratelimit`` — how much each subject may do."""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from cachepolicy.keys.path import parse_path
from cachepolicy.policy import units
from cachepolicy.policy.rules.base import (
    Count,
    Duration,
    Flag,
    Kept,
    Name,
    Named,
    Percentage,
    Positive,
    Rule,
    Text,
    Ttl,
    TtlRange,
    Whole,
    one_or_more,
)
from cachepolicy.policy.rules.eviction import LimitsEviction
from cachepolicy.policy.rules.frozen import FrozenMap
from cachepolicy.policy.units import MoneyRate, Rate

Algorithm: TypeAlias = Literal["gcra", "window", "calendar"]
LimitFault: TypeAlias = Literal["allow", "deny", "local"]
Refund: TypeAlias = Literal["tokens", "all", "none"]


def _rate(value: object) -> Rate:
    return value if isinstance(value, Rate) else units.parse_rate(value)


def _money_rate(value: object) -> MoneyRate:
    return value if isinstance(value, MoneyRate) else units.parse_money_rate(value)


def _distinct(rates: tuple[Rate, ...]) -> tuple[Rate, ...]:
    if any(count > 1 for count in Counter(rate.window for rate in rates).values()):
        raise ValueError("expected one rate for each window")
    return rates


def _distinct_money(rates: tuple[MoneyRate, ...]) -> tuple[MoneyRate, ...]:
    if any(count > 1 for count in Counter((rate.window, rate.currency) for rate in rates).values()):
        raise ValueError("expected one rate for each window and currency")
    return rates


_OneRate: TypeAlias = Annotated[
    Rate,
    BeforeValidator(_rate, json_schema_input_type=str),
    PlainSerializer(units.format_rate, return_type=str, when_used="json"),
]
_OneMoneyRate: TypeAlias = Annotated[
    MoneyRate,
    BeforeValidator(_money_rate, json_schema_input_type=str),
]
Rates: TypeAlias = Annotated[tuple[_OneRate, ...], BeforeValidator(one_or_more), AfterValidator(_distinct)]
MoneyRates: TypeAlias = Annotated[
    tuple[_OneMoneyRate, ...], BeforeValidator(one_or_more), AfterValidator(_distinct_money)
]


def _path(value: str) -> str:
    parse_path(value)
    return value


Paths: TypeAlias = Annotated[tuple[Annotated[Text, AfterValidator(_path)], ...], BeforeValidator(one_or_more)]


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("expected a network such as 10.0.0.0/8 or 2001:db8::/32") from None


Network: TypeAlias = Annotated[Text, AfterValidator(_network)]


class Concurrency(Rule):
    """How many calls may run at once; ``concurrency: 5`` is short for ``{limit: 5}``."""

    limit: Positive
    """How many."""
    lease: Duration = 60.0
    """How long a place is held without being renewed: what a crash costs (seconds)."""


def parse_concurrency(value: object) -> object:
    """Take a number for a limit."""
    return {"limit": value} if isinstance(value, str | int | float) else value


class Limits(Rule):
    """What one subject may use: every limit holds, and a call that breaks one is charged to none."""

    requests: Rates = ()
    """Calls: ``[100/hour, 1000/day]``."""
    tokens: Rates = ()
    """LLM tokens, read and written together."""
    input_tokens: Rates = ()
    """LLM tokens that are read."""
    output_tokens: Rates = ()
    """LLM tokens that are written."""
    money: MoneyRates = ()
    """What calls cost: ``[5.00 USD/day]``."""
    concurrency: Annotated[
        Concurrency | None,
        BeforeValidator(parse_concurrency, json_schema_input_type=int | str | Concurrency | None),
    ] = None
    """Calls that run at once."""
    unlimited: Flag = False
    """Says openly that there is no limit here."""

    def rates(self) -> tuple[Rate | MoneyRate, ...]:
        """Return every rate, of whatever it counts."""
        return (*self.requests, *self.tokens, *self.input_tokens, *self.output_tokens, *self.money)

    def limits_something(self) -> bool:
        """Tell whether any limit is declared."""
        return bool(self.rates()) or self.concurrency is not None


class Plan(Limits):
    """The limits of a plan."""

    @model_validator(mode="after")
    def _says_something(self) -> Plan:
        if self.limits_something() == self.unlimited:
            raise ValueError("expected limits such as requests: [100/hour], or unlimited: true")
        return self


class LimitRule(Limits):
    """One rule, that ``@rate_limited`` names: for whom, how much, counted how."""

    by: Paths = ()
    """Who is counted: arguments, or what they hold, such as ``request.user.id`` or ``headers["x-api-key"]``;
    several together are one subject. The decorator may say it instead."""
    plans: Named[Plan] = Field(default_factory=FrozenMap)
    """Limits by plan."""
    default_plan: Name | None = None
    """The plan of a subject that has none; without it, such a call is an error."""
    algorithm: Algorithm = "gcra"
    """``gcra``: smooth, with a burst; ``window``: never above the limit in any window;
    ``calendar``: by UTC hour, day or month, as on an invoice."""
    burst: Percentage = 1.0
    """The share of a limit that may be used at once (gcra)."""
    buckets: Annotated[Whole, Field(ge=2, le=1000)] = 20
    """Into how many parts a window is cut (window): more are more exact, and larger."""
    shadow: Flag = False
    """Decide and report, but let every call pass."""
    on_fault: LimitFault | None = None
    """When Redis is out; without it, as the namespace says."""
    batch: Percentage | None = None
    """Permits are drawn in blocks of this share and spent in the process, without a round trip each."""
    wait: Duration | None = None
    """The longest that a caller who asked to wait may be made to (seconds)."""
    overrides: Flag = False
    """Whether subjects may be given amounts of their own, which are read with each decision."""
    held: Duration = 3600.0
    """For how long tokens that were reserved can be settled: the longest call (seconds)."""
    refund: Refund = "tokens"
    """What a call that failed gets back: ``tokens`` that were reserved and money; ``all``: the request too;
    ``none``. One that was cancelled gets nothing back: the model may have gone on."""

    @model_validator(mode="after")
    def _is_possible(self) -> LimitRule:
        if self.limits_something() + bool(self.plans) + self.unlimited != 1:
            raise ValueError("expected limits such as requests: [100/hour], or plans, or unlimited: true")
        if self.default_plan is not None and self.default_plan not in self.plans:
            raise ValueError(
                f"expected default_plan to be one of its plans: {', '.join(self.plans) or 'none'}"
            )
        for name in {"burst": "gcra", "buckets": "window"}.items():
            if name[0] in self.model_fields_set and self.algorithm != name[1]:
                raise ValueError(f"expected no {name[0]}: it belongs to algorithm: {name[1]}")
        if self.batch is not None and self.overrides:
            raise ValueError("expected no batch beside overrides: a block is drawn by the rule's own amounts")
        for limits in (self, *self.plans.values()):
            for rate in limits.rates():
                _check_rate(rate, self.algorithm, self.burst)
                if self.algorithm == "window" and rate.window * 1000 < self.buckets:
                    raise ValueError("expected a longer window, or fewer buckets: each lasts 1ms or longer")
            if self.batch is not None:
                _check_batch(limits, self.algorithm)
        return self


def _check_rate(rate: Rate | MoneyRate, algorithm: Algorithm, burst: float) -> None:
    if algorithm == "calendar":
        if rate.period not in ("hour", "day", "month"):
            raise ValueError("expected rates per hour, day or month: a calendar has no other windows")
        return
    if rate.period == "month":
        raise ValueError(
            "expected no rate per month: months differ in length, unless with algorithm: calendar"
        )
    if rate.limit * round(rate.window * 1000) > units.LARGEST:
        raise ValueError("expected a smaller rate or a shorter window: this one cannot be counted exactly")
    if algorithm == "gcra" and rate.limit * burst < 1:
        raise ValueError("expected a larger burst: this one lets no call pass")


def _check_batch(limits: Limits, algorithm: Algorithm) -> None:
    if algorithm == "window":
        raise ValueError(
            "expected no batch: permits that are spent later than they are counted cannot keep to a window; "
            "use algorithm: gcra or calendar"
        )
    if len(limits.rates()) > len(limits.requests):
        raise ValueError(
            "expected no batch: tokens and money cost what each call takes; batch is for requests"
        )
    if limits.concurrency is not None:
        raise ValueError("expected no batch: a place among calls that run at once cannot be drawn ahead")


class RateLimitRule(Kept):
    """A namespace of limits."""

    kind: Literal["ratelimit"]
    """ratelimit"""
    ttl: Ttl = TtlRange(default=3600.0)
    """The window of a limit that is asked for in code without one; how long an idle subject is remembered."""
    rules: Named[LimitRule] = Field(default_factory=FrozenMap)
    """The limits, by the name that ``@rate_limited`` gives."""
    eviction: LimitsEviction = LimitsEviction()
    """What goes when there is no room in Redis."""
    on_fault: LimitFault = "local"
    """When Redis is out: let calls pass, refuse them, or count in this process, its share of each limit."""
    replicas: Positive = 1
    """How many processes share the limits when each counts for itself (``on_fault: local``)."""
    denied: Count = 10_000
    """How many subjects that are over their limit are remembered in the process; 0 for none."""
    trusted_proxies: Annotated[tuple[Network, ...], BeforeValidator(one_or_more)] = ()
    """Proxies whose word about the client's address is taken."""
    ipv6_prefix: Annotated[Whole, Field(ge=32, le=128)] = 64
    """How much of an IPv6 address is one subject."""

    def currencies(self) -> set[str]:
        """Return in which currencies money is limited."""
        plans = [limits for rule in self.rules.values() for limits in (rule, *rule.plans.values())]
        return {rate.currency for limits in plans for rate in limits.money}
