"""A function under limits and its policy: bound on the first call, anew after ``configure()``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachepolicy.decorators.limit_options import LimitOptions, Read, Signature, Values, counter
from cachepolicy.errors import DecorationError, PolicyError, RateLimitExceeded
from cachepolicy.keys.signature import Shape
from cachepolicy.runtime import current

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.limiter import Claim, Limiter, Quota
    from cachepolicy.flow.limited import Outcome
    from cachepolicy.llm.estimate import Estimate
    from cachepolicy.runtime.compose import Runtime

_FACTORY: Final = """
def __cp_factory(__cp_call):
    {define} __cp_wrapper({parameters}):
        return {wait}__cp_call(({values}), {positional}, {keywords})

    def __cp_pass({values}):
        return {positional}, {keywords}

    return __cp_wrapper, lambda values: __cp_pass(*values)
"""


class Ask(NamedTuple):
    """What a function asks of one rule, and how that is read."""

    limiter: Limiter
    subject: Read
    plan: Read | None
    quota: Quota | None  # where no plan needs to be read


class Bound(NamedTuple):
    """The rules of a function under one policy; modules that are loaded with the first."""

    runtime: Runtime
    asks: tuple[Ask, ...]
    most_wait: int  # ms
    begin: Callable[[Limited, Bound, Values, tuple[object, ...], Mapping[str, object]], Flow[Outcome]]
    quota: Callable[[Limiter, object], Quota]
    claim: Callable[..., Claim]
    settles: bool


class Limited:
    """What stands behind one function under limits."""

    def __init__(self, function: Callable[..., Any], shape: Shape, name: str, options: LimitOptions, *, is_async: bool) -> None:
        self.function = function
        self.name = name
        self.options = options
        self.is_async = is_async
        self._bound: Bound | None = None
        self.wrapper, passing = _compiled(shape, self._acall if is_async else self._call, is_async=is_async)
        self.signature = Signature(name, shape, passing)
        self._cost = self._number(options.cost, "cost")
        self._tokens = None if options.tokens is None else self._number(options.tokens, "tokens")
        self._plan = None if options.plan is None else self.signature.reader(options.plan, "plan")
        self._by = self._subjects()

    def _number(self, wanted: object, option: str) -> Read | int:
        if type(wanted) is int:
            if wanted < 0:
                raise DecorationError(f"{self.name}: {option}={wanted}: expected a whole number from 0 on")
            return wanted
        if isinstance(wanted, str) or callable(wanted):
            return self.signature.reader(wanted, option)
        raise DecorationError(
            f"{self.name}: {option}: expected a whole number, the name of a parameter, or what takes the same arguments"
        )

    def _subjects(self) -> dict[str, Read]:
        """Return who is counted under each rule, as far as the decorator says it."""
        by, rules = self.options.by, self.options.rules
        if by is None:
            return {}
        if isinstance(by, Mapping):
            strange = [rule for rule in by if rule not in rules]
            if strange:
                raise DecorationError(f"{self.name}: by: it names no rule of this decorator: {strange[0]!r}")
            return {rule: self.signature.subject(each, "by") for rule, each in by.items()}
        return dict.fromkeys(rules, self.signature.subject(by, "by"))

    def _bind(self) -> Bound:
        from cachepolicy.flow.limited import limited  # loaded with the first plan
        from cachepolicy.flow.limiter import Claim
        from cachepolicy.runtime.limits import quota

        runtime, options = current.current(), self.options
        asks = []
        for rule in options.rules:
            limiter = runtime.limits.limiter(options.namespace, rule, self.name)
            subject = self._by.get(rule)
            if subject is None:
                if not limiter.by:
                    raise PolicyError(f"{self.name}: rule {rule!r} does not say who is counted; say by=… here or there")
                subject = self.signature.subject(limiter.by, f"rule {rule!r}: by")
            needs = limiter.has_plans and self._plan is not None
            asks.append(
                Ask(limiter, subject, self._plan if needs else None, None if needs else quota(limiter, None))
            )
        bound = self._bound = Bound(
            runtime,
            tuple(asks),
            self._most_wait([ask.limiter for ask in asks]),
            limited,
            quota,
            Claim,
            any(quota.settles for ask in asks for quota in ask.limiter.plans.values()),
        )
        return bound

    def _most_wait(self, limiters: Sequence[Limiter]) -> int:
        """Return for how many ms a caller may be made to wait."""
        asked = self.options.wait
        if asked is False:
            return 0
        allowed = min((limiter.wait for limiter in limiters if limiter.wait), default=0)
        if asked is True:
            if not allowed:
                raise PolicyError(f"{self.name}: wait=True needs wait: in the rule, or say wait=seconds")
            return allowed
        from cachepolicy.policy.units import parse_duration

        try:
            seconds = parse_duration(asked)
        except ValueError as error:
            raise DecorationError(f"{self.name}: wait={asked!r}: {error}") from None
        return min(round(seconds * 1000), allowed) if allowed else round(seconds * 1000)

    def claims(self, bound: Bound, values: Values) -> tuple[list[Claim], Estimate | None]:
        """Say what a call asks of its rules, and what it is expected to take; None: nothing that is settled."""
        cost = self._cost if type(self._cost) is int else self._count(values, self._cost, "cost")
        estimate, total = self._estimate(values) if bound.settles else (None, None)
        claims = []
        for limiter, subject, plan, quota in bound.asks:
            if quota is None:
                quota = bound.quota(limiter, None if plan is None else plan(values))
            if estimate is not None and quota.settles:
                use = limiter.use(cost, estimate.usage, total)
                costs = quota.costs(use) if estimate.is_bounded else quota.capped(use)
            else:
                costs = quota.one if cost == 1 else (cost,) * len(quota.one)
            claims.append(bound.claim(limiter, quota, limiter.key(subject(values)), costs))
        return claims, estimate

    def _count(self, values: Values, read: Any, option: str) -> int:
        return counter(read, self.name, option)(values)

    def _estimate(self, values: Values) -> tuple[Estimate, int | None]:
        """Return what a call is expected to take, and what is counted of it together where that was said."""
        from cachepolicy.llm.estimate import estimate

        guessed = estimate(self.signature.named(values))
        tokens = self._tokens
        if tokens is None:
            return guessed, None
        total = tokens if isinstance(tokens, int) else tokens(values)
        if total is None:  # a parameter that was not passed
            return guessed, None
        if isinstance(total, tuple):  # a Usage
            return guessed._replace(usage=total, is_bounded=True), None
        if type(total) is not int or total < 0:
            raise TypeError(f"{self.name}: tokens: expected a whole number from 0 on, or a Usage")
        sent = min(guessed.usage.input, total)
        usage = guessed.usage._replace(input=sent, output=total - sent)
        return guessed._replace(usage=usage, is_bounded=True), total

    def _call(self, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Any:
        bound = self._bound
        if bound is None or bound.runtime is not current.current():
            bound = self._bind()
        runtime = bound.runtime
        flow = bound.begin(self, bound, values, args, kwargs)
        try:
            outcome = runtime.engine.run(flow, runtime.stores.sync_io(bound.asks[0].limiter.site))
        except RateLimitExceeded as denied:
            if self.options.on_exceeded is None or denied.of is not self:
                raise
            return self.options.on_exceeded(denied)
        return outcome.take()

    async def _acall(self, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Any:
        ...
