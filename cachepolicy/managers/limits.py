"""``RateLimiter``: what ``@rate_limited`` does, for code that asks by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cachepolicy.errors import PolicyError, UnkeyableArgument
from cachepolicy.managers.limit_arguments import RateLimitResult, Span, Tokens, ms_of, seconds_of, use_of
from cachepolicy.managers.reservations import Holding, holding
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Known, Work, verb
from cachepolicy.runtime.subjects import subject_of

if TYPE_CHECKING:
    from cachepolicy.flow.decision import Decision
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.limiter import Claim, Limiter
    from cachepolicy.runtime.compose import Runtime


_made: Final[Any] = tuple.__new__  # a named tuple's own way takes twice as long


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
        self, user_id: object, action: str, limit: int, window: Span | None = None
    ) -> Work[RateLimitResult]:
        """Count a call, unless there were too many: never more than ``limit`` in any window.

        Args:
            user_id: who calls, or whatever else is counted apart.
            action: what is done; each has a count of its own, apart from the policy's rules.
            limit: how many calls.
            window: in how long, such as ``"1h"`` or seconds; None: the namespace's ``ttl``.
        """
        runtime = current.current()
        seconds = None if window is None else seconds_of(window, f"{self!r}.check_rate_limit")
        limiter = runtime.limits.in_code(self.namespace, action, limit, seconds, repr(self))
        claim = self._claim(runtime, limiter, user_id)
        return Work(runtime, limiter.site, _counted(runtime.limits.flows.check(claim), limit))

    @verb
    def check(
        self, rule: str, subject: object, cost: int = 1, tokens: Tokens = 0, plan: str | None = None
    ) -> Work[Decision] | Known[Decision]:
        """Charge a call to all limits of a rule, or to none.

        Args:
            rule: its name in the policy.
            subject: who calls; several values, as a tuple, are one subject.
            cost: for how many requests the call counts.
            tokens: how many tokens it takes.
            plan: of the subject; None: the rule's ``default_plan``.
        """
        runtime = current.current()
        if cost != 1 or tokens != 0 or type(subject) is not str or not (plan is None or type(plan) is str):
            limiter = runtime.limits.limiter(self.namespace, rule, repr(self))
            claim = self._claim(runtime, limiter, subject, cost, tokens, plan)
            return Work(runtime, limiter.site, runtime.limits.flows.check(claim))
        caller = self.namespace, rule, subject, plan
        standing = runtime.limits.standings.get(caller)
        if standing is None:
            limiter = runtime.limits.limiter(self.namespace, rule, repr(self))
            standing = runtime.limits.stand(caller, self._claim(runtime, limiter, subject, plan=plan))
        known = standing.decide()
        if known is not None:
            answer: Known[Decision] = _made(Known, (known,))
            return answer
        claim = standing.claim
        return Work(runtime, claim.limiter.site, runtime.limits.flows.check(claim))

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
        runtime = current.current()
        claims = [
            self._claim(runtime, self._rule(rule)[1], subject, cost, tokens, plan) for rule, subject in asked
        ]
        return Work(runtime, claims[0].limiter.site, runtime.limits.flows.check_all(claims))

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
        return Work(runtime, limiter.site, runtime.limits.flows.peek(claim))

    @verb
    def refund(
        self, rule: str, subject: object, cost: int = 1, tokens: Tokens = 0, plan: str | None = None
    ) -> Work[None]:
        """Give back what ``check`` charged, when the call was not made after all. Arguments as of ``check``.

        Nothing remembers it: said twice, it is given back twice. What must be exact is reserved.

        Raises:
            StoreError: Redis could not be told.
        """
        runtime, limiter = self._rule(rule)
        claim = self._claim(runtime, limiter, subject, cost, tokens, plan)
        return Work(runtime, limiter.site, runtime.limits.flows.give_back(claim))

    @verb
    def reset(self, rule: str, subject: object) -> Work[bool]:
        """Forget what a subject has used under a rule; tell whether that was anything.

        Processes that refused the subject a moment ago learn of it within a second.

        Raises:
            StoreError: Redis could not be told.
        """
        runtime, limiter = self._rule(rule)
        flow = runtime.limits.flows.reset(limiter, self._key(limiter, subject))
        return Work(runtime, limiter.site, flow)

    def reserve(
        self,
        rule: str,
        subject: object,
        cost: int = 1,
        tokens: Tokens = 0,
        plan: str | None = None,
        *,
        wait: Span = 0,
    ) -> Holding:
        """Charge a call by an estimate, to be settled when it is known what it used.

        >>> async with limiter.reserve("chat", user, tokens=1500) as reserved:
        ...     answer = await ask(question)
        ...     await reserved.settle(answer)

        A block that ends without settling leaves the estimate; one that fails gives it back, as the rule's
        ``refund`` says. Where the rule limits how many run at once, the block holds a place.

        Args:
            rule: as of ``check``; so are ``subject``, ``cost`` and ``plan``.
            subject: see there.
            cost: see there.
            tokens: how many it is expected to take.
            plan: see there.
            wait: the most seconds that the caller waits for its turn.
        """

        def begin() -> tuple[Runtime, Claim]:
            runtime, limiter = self._rule(rule)
            return runtime, self._claim(runtime, limiter, subject, cost, tokens, plan)

        return holding(begin, cost, ms_of(wait, f"{self!r}.reserve"))

    def acquire(self, rule: str, subject: object, plan: str | None = None, *, wait: Span = 0) -> Holding:
        """Take a place among the calls of a subject that run at once; the block holds it.

        Args:
            rule: that says how many may: ``concurrency``.
            subject: who calls.
            plan: of the subject; None: the rule's ``default_plan``.
            wait: the most seconds that the caller waits for a place; those who wait have no order.
        """

        def begin() -> tuple[Runtime, Claim]:
            runtime, limiter = self._rule(rule)
            quota = runtime.limits.quota(limiter, plan)
            if quota.places is None and not quota.is_unlimited:
                raise PolicyError(f"{self!r}.acquire: rule {rule!r} says nothing of concurrency")
            key = self._key(limiter, subject)
            return runtime, runtime.limits.claim(limiter, quota.only_places, key, ())

        return holding(begin, 1, ms_of(wait, f"{self!r}.acquire"))

    @verb
    def set_override(
        self,
        rule: str,
        subject: object,
        amounts: Mapping[str, int] | None,
        *,
        plan: str | None = None,
        ttl: Span | None = None,
    ) -> Work[bool]:
        """Give a subject amounts of its own; what it has used stays used.

        >>> await limiter.set_override("chat", "u1", {"requests 100/hour": 500}, ttl="7d")

        Other processes that refused the subject a moment ago learn of it within a second.

        Args:
            rule: that says ``overrides: true``.
            subject: who has them.
            amounts: by the limit's name, as a decision tells it; None: as the rule says again.
            plan: whose limits they are; None: the rule's ``default_plan``.
            ttl: for how long; None: until they are taken back.

        Raises:
            PolicyError: the rule lets nobody have any, has no such limit, or could not count so many.
            StoreError: Redis could not be told.
        """
        runtime, limiter = self._rule(rule)
        key = self._key(limiter, subject)
        own = None
        if amounts is not None:
            own = runtime.limits.amounts(limiter, runtime.limits.quota(limiter, plan), amounts)
        lasts = 0 if ttl is None else ms_of(ttl, f"{self!r}.set_override")
        return Work(runtime, limiter.site, runtime.limits.flows.override(limiter, key, own, lasts))

    @verb
    def get_override(self, rule: str, subject: object, *, plan: str | None = None) -> Work[dict[str, int]]:
        """Return which amounts a subject has of its own, by the names of its plan's limits.

        Raises:
            StoreError: Redis cannot be asked.
        """
        runtime, limiter = self._rule(rule)
        names = runtime.limits.quota(limiter, plan).fields
        flow = runtime.limits.flows.overrides(limiter, self._key(limiter, subject), names)
        return Work(runtime, limiter.site, flow)

    def _rule(self, rule: str) -> tuple[Runtime, Limiter]:
        runtime = current.current()
        return runtime, runtime.limits.limiter(self.namespace, rule, self)

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
        is_one = cost == 1 and tokens == 0
        costs = quota.one if is_one else quota.costs(use_of(limiter, cost, tokens, self))
        return runtime.limits.claim(limiter, quota, self._key(limiter, subject), costs)


def _counted(flow: Flow[Decision], limit: int) -> Flow[RateLimitResult]:
    told = yield from flow
    remaining = limit if told.remaining is None else told.remaining
    return RateLimitResult(told.allowed, limit - remaining, limit, remaining, told.reset_at)
