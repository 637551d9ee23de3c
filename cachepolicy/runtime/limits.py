"""The rules of limits of one loaded policy, made ready to decide."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from cachepolicy import policy
from cachepolicy.clock import Clock
from cachepolicy.errors import PolicyError, UnknownPlan, UnknownRule
from cachepolicy.flow import admitting, checking
from cachepolicy.flow.admitting import Admission
from cachepolicy.flow.batching import give_back_permits
from cachepolicy.flow.decision import Decision
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.incidents import Faults
from cachepolicy.flow.limiter import Claim, Limiter, LimitFault, Quota, Refund
from cachepolicy.flow.standing import Standing
from cachepolicy.flow.stores import Site
from cachepolicy.keys.layout import limit_keys, prefix
from cachepolicy.keys.template import segment
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules.base import Kept
from cachepolicy.policy.rules.limits import LimitRule, RateLimitRule
from cachepolicy.policy.units import LARGEST, Rate, format_duration
from cachepolicy.policy.words import did_you_mean
from cachepolicy.runtime.endpoints import deadline_of
from cachepolicy.runtime.guarantees import Guarantees
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.limit_memory import Memory
from cachepolicy.runtime.opened import Opened
from cachepolicy.runtime.protections import Protections
from cachepolicy.runtime.quotas import NO_PLANS, ms, plans_of, quota_of
from cachepolicy.runtime.tracing import tracing
from cachepolicy.telemetry import faults, metrics
from cachepolicy.telemetry import limits as counted
from cachepolicy.telemetry.names import SPAN_LIMIT
from cachepolicy.telemetry.prices import Prices
from cachepolicy.telemetry.usage import Usage

_IN_CODE: Final = "@"  # in the name of a rule that code makes up, and in none of a policy
_MOST_IN_CODE: Final = 1000
_MOST_STANDINGS: Final = 10_000
Caller: TypeAlias = tuple[str, str, str, str | None]
"""A namespace, a rule, a subject and a plan."""


class Flows(NamedTuple):
    """What the verbs of a limiter are made of, for a room that must not load it by itself."""

    check: Callable[[Claim], Flow[Decision]] = checking.check
    check_all: Callable[[Sequence[Claim]], Flow[list[Decision]]] = checking.check_all
    peek: Callable[[Claim], Flow[Decision]] = checking.peek
    give_back: Callable[[Claim], Flow[None]] = checking.refund
    reset: Callable[[Limiter, str], Flow[bool]] = checking.reset
    override: Callable[[Limiter, str, Mapping[str, tuple[int, int]] | None, int], Flow[bool]] = (
        checking.override
    )
    admit: Callable[..., Flow[Admission]] = admitting.admit
    told: Callable[[Admission], Decision] = admitting.told
    settle: Callable[[Admission, int, Usage, int | None], Flow[bool]] = admitting.settle
    refund: Callable[..., Flow[bool]] = admitting.refund
    end: Callable[[Admission, BaseException | None], Flow[None]] = admitting.end
    overrides: Callable[[Limiter, str, Mapping[str, str]], Flow[dict[str, int]]] = checking.overrides


class Limits:
    """The rules of a policy; each is made ready when it is first asked for.

    Args:
        loaded: the policy.
        site: says where a namespace lies.
        clock: the source of time.
        prices: what tokens cost.
        guarantees: what is asked of the servers.
    """

    claim = Claim
    flows = Flows()

    def __init__(
        self,
        loaded: LoadedPolicy,
        site: Callable[[str, Kept], Site],
        clock: Clock,
        prices: Prices,
        guarantees: Guarantees,
        protections: Protections,
    ) -> None:
        self._policy = loaded.policy
        self._site = site
        self._clock = clock
        self._prices = prices
        self._guarantees = guarantees
        self._protections = protections
        self._lock = threading.Lock()
        self._limiters: Opened[tuple[str, str], Limiter] = Opened()
        self._in_code: dict[tuple[str, str, int, float], Limiter] = {}
        self.memories: Opened[str, Memory] = Opened()
        self._warm: dict[str, Memory] = {}
        self.standings: dict[Caller, Standing] = {}
        self._said: set[tuple[str, str]] = set()

    def rule(self, namespace: str, who: object) -> RateLimitRule:
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

    def limiter(self, namespace: str, name: str, who: object) -> Limiter:
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
        return self._limiters.of((namespace, name), lambda: self._open(namespace, kept, name, rule))

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
        if not action or type(limit) is not int or limit < 1 or seconds < 0.001:
            raise PolicyError(f"{who}: expected the name of an action, and a limit and a window above 0")
        rule = LimitRule(requests=(Rate(limit, seconds),), algorithm="window")
        name = f"{segment(action)}{_IN_CODE}{format_duration(seconds)}"
        plans = {NO_PLANS: quota_of(rule, rule, f"{limit}/{seconds}")}
        made = self._open(namespace, kept, name, rule, plans)
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
        if NO_PLANS in plans:
            return plans[NO_PLANS]
        found = plans.get(plan or limiter.default_plan) if plan is None or isinstance(plan, str) else None
        if found is not None:
            return found
        known = ", ".join(plans)
        if plan is None or plan == "":
            raise UnknownPlan(
                f"rule {limiter.rule!r}: say which plan: {known}; or default_plan: in the policy"
            )
        raise UnknownPlan(f"rule {limiter.rule!r}: no such plan; there are: {known}")

    @staticmethod
    def amounts(limiter: Limiter, quota: Quota, own: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Return amounts that a subject has of its own, as Redis keeps them.

        Raises:
            PolicyError: the rule lets nobody have any, has no such limit, or could not count so many.
        """
        where = f"rule {limiter.rule!r}"
        if not limiter.overridden:
            raise PolicyError(f"{where}: it lets no subject have amounts of its own; say overrides: true")
        limits = dict(zip(quota.names, quota.declared, strict=True))
        found = {}
        for name, amount in own.items():
            limit = limits.get(name)
            if limit is None:
                raise PolicyError(f"{where}: no such limit; there are: {', '.join(limits)}")
            if type(amount) is not int or not 1 <= amount * limit.period <= LARGEST:
                raise PolicyError(f"{where}: expected whole numbers above 0 that can be counted exactly")
            found[limit.name] = (amount, max(1, amount * limit.burst // limit.amount))
        return found

    def stand(self, caller: Caller, claim: Claim) -> Standing:
        """Remember what a caller's calls ask."""
        if len(self.standings) >= _MOST_STANDINGS:
            self.standings.clear()
        standing = self.standings[caller] = Standing(claim)
        return standing

    def after_fork(self) -> None:
        """Forget locks that other threads held when this process was forked."""
        self._lock = threading.Lock()
        self._limiters.after_fork()
        self.memories.after_fork()
        for memory in self.memories:
            memory.after_fork()

    def inherit(self, before: Limits, heritage: Heritage) -> None:
        """Take over namespaces that are kept, and what is known of subjects of those that are warm."""
        self._limiters.inherit(before._limiters, heritage)
        self._in_code.update(heritage.of(before._in_code))
        self.memories.inherit(before.memories, heritage)
        self.standings.update(heritage.of(before.standings))
        known = {**before._warm, **before.memories.by_key()}
        opened = self.memories.by_key()
        on = heritage.kept | heritage.warm
        self._warm = {name: known[name] for name in known if name in on and name not in opened}

    def close(self, heir: Limits | None = None) -> None:
        """Give back permits that were drawn ahead, but for those that another goes on with."""
        left = set(self.memories.but(None if heir is None else heir.memories))
        for limiter in self._limiters:
            if self.memories.get(limiter.namespace) not in left:
                continue
            unspent = limiter.permits.close() if limiter.batch else []
            if unspent:
                run(give_back_permits(limiter, unspent), limiter.site.sync_io())

    def _open(
        self,
        namespace: str,
        kept: RateLimitRule,
        name: str,
        rule: LimitRule,
        plans: Mapping[str, Quota] | None = None,
    ) -> Limiter:
        telemetry, redis = self._policy.telemetry, self._policy.redis
        if telemetry.enabled:
            metrics.export_all()
        memory = self.memories.of(
            namespace, lambda: Memory(self._clock, kept, self._warm.pop(namespace, None))
        )
        return Limiter(
            rule=name,
            namespace=namespace,
            by=rule.by,
            plans=plans_of(rule) if plans is None else plans,
            default_plan=rule.default_plan or "",
            key=limit_keys(prefix(self._policy.app, namespace), name),
            site=self._site(namespace, kept),
            guarantee=self._guarantees.of(namespace, kept),
            clock=self._clock,
            deadline=deadline_of(self._policy, kept),
            on_fault=LimitFault(rule.on_fault or kept.on_fault),
            shadow=rule.shadow,
            wait=ms(rule.wait or 0.0),
            held=ms(rule.held),
            refund=Refund(rule.refund),
            pause=ms(redis.breaker.open_for),
            denials=memory.denials,
            local=memory.local,
            local_places=memory.places,
            share=memory.share,
            overridden=rule.overrides,
            batch=rule.batch or 0.0,
            permits=memory.permits,
            tally=counted.tally(namespace, name if plans is None else _IN_CODE),
            counters=Faults(faults.errors(namespace)),
            said=self._said,
            tracing=tracing(telemetry, SPAN_LIMIT),
            prices=self._prices,
            protection=self._protections.of(namespace, kept),
        )
