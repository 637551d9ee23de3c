"""One rule of limits, as it was loaded: what a flow needs to decide about a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

from cachepolicy.clock import Clock
from cachepolicy.errors import StoreError
from cachepolicy.flow.denials import Denials
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.guarantee import Guarantee
from cachepolicy.flow.incidents import Faults
from cachepolicy.flow.local_limits import LocalLimits
from cachepolicy.flow.local_places import LocalPlaces
from cachepolicy.flow.permits import Permits
from cachepolicy.flow.protecting import Protection
from cachepolicy.flow.resilience import Budget, ask, ask_all
from cachepolicy.flow.stores import Site
from cachepolicy.telemetry.limits import Tally
from cachepolicy.telemetry.prices import NO_PRICES, Prices
from cachepolicy.telemetry.spans import NO_SPAN, Tracing, Witness
from cachepolicy.telemetry.usage import Usage
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.limits import Charged, Limit, Part, Unit, charging

T = TypeVar("T")


class LimitFault(StrEnum):
    """What becomes of a call when Redis is out."""

    ALLOW = "allow"
    DENY = "deny"
    LOCAL = "local"


class Refund(StrEnum):
    """What a call that failed gets back of what it was charged."""

    TOKENS = "tokens"  # tokens and money
    ALL = "all"  # the request too
    NONE = "none"


class Use(NamedTuple):
    """What a call uses, by what is counted; money in millionths."""

    requests: int = 1
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: int = 0


_PLACES = {unit: Use._fields.index(unit) for unit in Unit}


class Places(NamedTuple):
    """How many calls of a subject may run at once, and for how long a place is held without being renewed."""

    most: int
    lease: int  # ms


@dataclass(frozen=True, slots=True, eq=False)
class Quota:
    """What one plan of a rule allows.

    Attributes:
        limits: all that is counted over time, as Redis counts it.
        declared: the same, as the policy has it.
        names: of them, for people.
        places: how many calls may run at once; None: any number.
        plan: what tells it from others of the same subject: its name.
        counts: where the costs of the limits stand in a ``Use``.
        settles: whether some of them count what is known only afterwards: tokens, money.
        least: the smallest burst of those that count tokens: a larger estimate could never be charged.
        one: the costs of one request that uses nothing else.
        charge_one: makes of a key the command that charges those.
        stated: of each limit what is told of it: its name, unit, amount, and window in seconds.
    """

    limits: tuple[Limit, ...]
    declared: tuple[Limit, ...]
    names: tuple[str, ...]
    places: Places | None
    plan: str = ""
    counts: tuple[int, ...] = field(init=False)
    settles: bool = field(init=False)
    least: int | None = field(init=False)
    one: tuple[int, ...] = field(init=False)
    charge_one: Callable[[str], Command[Charged]] = field(init=False)
    stated: tuple[tuple[str, str, int, float], ...] = field(init=False)

    def __post_init__(self) -> None:
        counts = tuple(_PLACES[limit.unit] for limit in self.limits)
        tokens = [most_at_once(limit) for limit in self.limits if limit.unit.endswith("tokens")]
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "settles", any(counts))
        object.__setattr__(self, "least", min(tokens, default=None))
        object.__setattr__(self, "one", self.costs(Use()))
        object.__setattr__(self, "charge_one", charging(self.limits, self.one))
        stated = tuple(
            (name, limit.unit, limit.amount, limit.period / 1000)
            for limit, name in zip(self.declared, self.names, strict=True)
        )
        object.__setattr__(self, "stated", stated)

    def costs(self, use: Use) -> tuple[int, ...]:
        """Return what a use costs under each limit."""
        return tuple([use[at] for at in self.counts])

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited."""
        return not self.limits and self.places is None

    @property
    def only_places(self) -> Quota:
        """The same, as far as it limits how many run at once."""
        return Quota((), (), (), self.places)

    @property
    def fields(self) -> dict[str, str]:
        """What its limits are called in Redis, and for people."""
        return {limit.name: name for limit, name in zip(self.limits, self.names, strict=True)}

    def capped(self, use: Use) -> tuple[int, ...]:
        """Return what a use costs of which nobody said how much is written.

        That is a tenth of the smallest limit at most, so that a guess does not ask for a quota that none is
        used of; and nothing is more than could ever be charged.
        """
        if self.least is not None:
            written = min(use.output_tokens, max(1, self.least // 10))
            less = use.output_tokens - written
            use = use._replace(output_tokens=written, tokens=min(use.tokens - less, self.least))
        return tuple(
            [
                min(use[at], most_at_once(limit)) if at else use[at]
                for at, limit in zip(self.counts, self.limits, strict=True)
            ]
        )


def most_at_once(limit: Limit) -> int:
    """Return the most that a limit can ever be charged at once."""
    return limit.burst or limit.amount


@dataclass(frozen=True, slots=True, eq=False)
class Limiter:
    """One rule.

    Attributes:
        rule: its name.
        namespace: that it is in.
        by: expressions of who is counted; empty: the decorator says it.
        plans: what each plan allows; under ``""`` where there are no plans.
        default_plan: of a subject that has none; empty: there is none.
        key: makes the key of a subject.
        site: where its counts lie.
        guarantee: that they stay there.
        clock: this process's.
        deadline: the most that Redis may add to a decision, in seconds.
        on_fault: what becomes of a call when Redis is out.
        shadow: decide, but let every call pass.
        wait: the longest that a caller may be made to wait, in ms; 0: nobody may.
        held: for how long a reservation can be settled, in ms.
        refund: what a call that failed gets back.
        pause: after which a call that was refused for a fault may try again, in ms.
        denials: which subjects are over their limits; None: it is not remembered.
        local: counts while Redis is out.
        local_places: holds places while Redis is out.
        share: of each limit that is this process's while Redis is out.
        overridden: whether subjects may have amounts of their own.
        batch: the share of a limit that is drawn at once, to be spent here; 0: none.
        permits: what was drawn.
        tally: its decisions, counted.
        counters: its faults, counted.
        said: what was logged already.
        tracing: where spans come from.
        prices: what tokens cost.
    """

    rule: str
    namespace: str
    by: tuple[str, ...]
    plans: Mapping[str, Quota]
    default_plan: str
    key: Callable[[object], str]
    site: Site
    guarantee: Guarantee
    clock: Clock
    deadline: float
    on_fault: LimitFault
    shadow: bool
    wait: int
    held: int
    refund: Refund
    pause: int
    denials: Denials | None
    local: LocalLimits
    local_places: LocalPlaces
    share: Fraction
    overridden: bool
    batch: float
    permits: Permits
    tally: Tally
    counters: Faults
    said: set[tuple[str, str]]
    tracing: Tracing
    prices: Prices = NO_PRICES
    protection: Protection | None = None

    @property
    def has_plans(self) -> bool:
        """Whether its limits are those of a plan."""
        return "" not in self.plans

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.namespace}.rules.{self.rule}"

    def ask(self, command: Command[T], witness: Witness = NO_SPAN) -> Flow[T]:
        """Ask Redis, within the deadline. Raises StoreError, and PolicyError where ``guarantee`` refuses."""
        asking = ask(self.site.guard, self._kept(command), Budget(self.clock, self.deadline, witness))
        return asking if self.guarantee.settled else self.guarantee.over(asking)

    def ask_all(
        self, commands: Sequence[Command[Any]], witness: Witness = NO_SPAN
    ) -> Flow[list[Any | StoreError]]:
        """Ask several things in one round trip; each has a result or an error. PolicyError is as above."""
        kept = [self._kept(command) for command in commands]
        asking = ask_all(self.site.guard, kept, Budget(self.clock, self.deadline, witness))
        return asking if self.guarantee.settled else self.guarantee.over(asking)

    def _kept(self, command: Command[T]) -> Command[T]:
        return command if self.protection is None else self.protection.over(command)

    def forget_denial(self, key: str) -> None:
        """Let Redis say anew what a subject may do: it has used less than was known."""
        if self.denials is not None:
            for quota in self.plans.values():
                self.denials.forget(known_as(key, quota.plan))

    def use(self, requests: int, usage: Usage, total: int | None = None) -> Use:
        """Return what a call uses that takes so many tokens.

        Args:
            requests: how many it counts for.
            usage: its tokens.
            total: what is counted of them together, where it is not their sum.
        """
        price = self.prices.of(usage.model) if usage.model else None
        money = 0 if price is None else -(-price.of(usage) // 10**6)  # a millionth that is begun is whole
        together = usage.input + usage.output if total is None else total
        return Use(requests, together, usage.input, usage.output, money)


def known_as(key: str, plan: str) -> str:
    """Return what a subject under a plan is known by in this process."""
    return f"{plan}:{key}" if plan else key


class Claim(NamedTuple):
    """What a call asks of one rule."""

    limiter: Limiter
    quota: Quota
    key: str
    costs: tuple[int, ...]

    @property
    def known_as(self) -> str:
        """What the subject is known by in this process: a refusal under one plan is none under another."""
        return known_as(self.key, self.quota.plan)

    @property
    def part(self) -> Part:
        """The same, as Redis is asked."""
        return Part(self.key, self.quota.limits, self.costs, self.limiter.overridden)
