"""``RateLimiter``: what ``@rate_limited`` does, for code that asks by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from cachepolicy.errors import PolicyError, UnkeyableArgument
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Work, verb
from cachepolicy.runtime.subjects import subject_of
from cachepolicy.telemetry.usage import Usage

if TYPE_CHECKING:
    from cachepolicy.flow.decision import Decision
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.limiter import Claim, Limiter
    from cachepolicy.flow.limiting import Verdict
    from cachepolicy.runtime.compose import Runtime

Tokens = int | Usage
"""How many tokens a call takes: of all kinds together, or told apart."""


class RateLimitResult(NamedTuple):
    """What came of ``check_rate_limit``.

    Attributes:
        allowed: whether the call may go on; it was counted then, and only then.
        current_count: how many calls are counted.
        limit: how many may be.
        remaining: how many are left.
        reset_at: when none is counted any more, seconds since the epoch.
    """

    allowed: bool
    current_count: int
    limit: int
    remaining: int
    reset_at: float


class RateLimiter:
    """Decides whether calls keep to the limits of the policy, and counts them.

    Each verb is awaited, or run in this thread by ``.sync``. When Redis is out, a decision is made as
    ``on_fault`` says, and tells so (``degraded``).

    Every verb raises:
        UnknownNamespace, UnknownRule, UnknownPlan: the policy does not have it.
        PolicyError: the namespace is of another kind than ``ratelimit``.
        UnkeyableArgument: the subject is None or empty: callers who are not known never share a limit.
    """

    def __init__(self, namespace: str = "ratelimit") -> None:
        self.namespace: Final = namespace

    def __repr__(self) -> str:
        return f"RateLimiter({self.namespace!r})"

    @verb
    def check_rate_limit(
        self, user_id: object, action: str, limit: int, window: str | float | timedelta | None = None
    ) -> Work[RateLimitResult]:
        """Count a call, unless there were too many: never more than ``limit`` in any window.

        Args:
            user_id: who calls, or whatever else is counted apart.
            action: what is done; each has a count of its own, apart from the policy's rules.
            limit: how many calls.
            window: in how long, such as ``"1h"`` or seconds; None: the namespace's ``ttl``.
        """
        runtime = current.current()
        seconds = None if window is None else _seconds(window, repr(self))
        limiter = runtime.limits.in_code(self.namespace, action, limit, seconds, repr(self))
        claim = self._claim(runtime, limiter, user_id)
        return Work(runtime, limiter.site, _counted(claim))

    @verb
    def check(
        self, rule: str, subject: object, cost: int = 1, tokens: Tokens = 0, plan: str | None = None
    ) -> Work[Decision]:
        """Charge a call to all limits of a rule, or to none.

        Args:
            rule: its name in the policy.
            subject: who calls; several values, as a tuple, are one subject.
            cost: for how many requests the call counts.
            tokens: how many tokens it takes.
            plan: of the subject; None: the rule's ``default_plan``.
        """
        runtime, limiter = self._rule(rule)
        claim = self._claim(runtime, limiter, subject, cost, tokens, plan)
        return Work(runtime, limiter.site, _checked(claim))

    @verb
    def check_all(
        self,
        asked: Sequence[tuple[str, object]],
        cost: int = 1,
        tokens: Tokens = 0,
        plan: str | None = None,
    ) -> Work[list[Decision]]:
        """Charge a call to all limits of several rules, or to none; in one round trip, but on a cluster.

        Args:
            asked: pairs of a rule and a subject.
            cost: as of ``check``, under each rule; so are ``tokens`` and ``plan``.
            tokens: see there.
            plan: see there.

        Returns:
            What each rule says, in their order; where one denies, those that have nothing against the call
            may be left out.
        """
        if not asked:
            raise PolicyError(f"{self!r}.check_all: expected at least one rule and subject")
        claims = []
        for rule, subject in asked:
            runtime, limiter = self._rule(rule)
            claims.append(self._claim(runtime, limiter, subject, cost, tokens, plan))
        return Work(runtime, limiter.site, _checked_all(claims))

    @verb
    def peek(
        self, rule: str, subject: object, cost: int = 1, tokens: Tokens = 0, plan: str | None = None
    ) -> Work[Decision]:
        """Say what ``check`` would; nothing is charged. Arguments as of ``check``.

        Raises:
            StoreError: Redis cannot be asked.
        """
        runtime, limiter = self._rule(rule)
        claim = self._claim(runtime, limiter, subject, cost, tokens, plan)
        return Work(runtime, limiter.site, _looked(claim))

    @verb
    def reset(self, rule: str, subject: object) -> Work[bool]:
        """Forget what a subject has used under a rule; tell whether that was anything.

        Processes that refused the subject a moment ago learn of it within a second.

        Raises:
            StoreError: Redis could not be told.
        """
        from cachepolicy.flow.limiting import forget  # loaded with the first plan

        runtime, limiter = self._rule(rule)
        return Work(runtime, limiter.site, forget(limiter, self._key(limiter, subject)))

    def _rule(self, rule: str) -> tuple[Runtime, Limiter]:
        runtime = current.current()
        return runtime, runtime.limits.limiter(self.namespace, rule, repr(self))

    def _key(self, limiter: Limiter, subject: object) -> str:
        try:
            return limiter.key(subject_of(subject))
        except UnkeyableArgument as error:
            raise UnkeyableArgument(f"{self!r}: rule {limiter.rule!r}: {error}") from None

    def _claim(
        self,
        runtime: Runtime,
        limiter: Limiter,
        subject: object,
        cost: int = 1,
        tokens: Tokens = 0,
        plan: str | None = None,
    ) -> Claim:
        quota = runtime.limits.quota(limiter, plan)
        if cost == 1 and tokens == 0:
            costs = quota.one
        else:
            costs = quota.costs(_use(limiter, cost, tokens, repr(self)))
        return runtime.limits.claim(limiter, quota, self._key(limiter, subject), costs)


def _use(limiter: Limiter, cost: int, tokens: Tokens, who: str) -> tuple[int, ...]:
    if type(cost) is not int or cost < 0:
        raise UnkeyableArgument(f"{who}: cost: expected a whole number from 0 on")
    if isinstance(tokens, Usage):
        return limiter.use(cost, tokens)
    if type(tokens) is not int or tokens < 0:
        raise UnkeyableArgument(f"{who}: tokens: expected a whole number from 0 on, or a Usage")
    return limiter.use(cost, Usage("", 0, tokens), tokens)


def _seconds(window: str | float | timedelta, who: str) -> float:
    from cachepolicy.policy.units import parse_duration  # loaded with the first policy

    try:
        return parse_duration(window.total_seconds() if isinstance(window, timedelta) else window)
    except ValueError as error:
        raise PolicyError(f"{who}.check_rate_limit(window={window!r}): {error}") from None


def _verdict(claim: Claim) -> Flow[Verdict]:
    from cachepolicy.flow.limiting import charge  # loaded with the first plan

    return charge(claim)


def _checked(claim: Claim) -> Flow[Decision]:
    from cachepolicy.flow.limiting import charge, decision  # loaded with the first plan

    return decision((yield from charge(claim)))


def _checked_all(claims: list[Claim]) -> Flow[list[Decision]]:
    from cachepolicy.flow.limiting import charge_all, decision  # loaded with the first plan

    return [decision(verdict) for verdict in (yield from charge_all(claims))]


def _looked(claim: Claim) -> Flow[Decision]:
    from cachepolicy.flow.limiting import decision, look  # loaded with the first plan

    return decision((yield from look(claim)))


def _counted(claim: Claim) -> Flow[RateLimitResult]:
    from cachepolicy.flow.limiting import charge, decision  # loaded with the first plan

    told = decision((yield from charge(claim)))
    limit = claim.quota.limits[0].amount
    remaining = limit if told.remaining is None else told.remaining
    return RateLimitResult(told.allowed, limit - remaining, limit, remaining, told.reset_at)
