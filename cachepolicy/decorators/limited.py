"""A function under limits and its policy: bound on the first call, anew after ``configure()``."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from cachepolicy.decorators.limit_options import By, LimitOptions, Read, Signature, Values, counted
from cachepolicy.decorators.limited_form import Form, compiled
from cachepolicy.decorators.limited_stream import Ending
from cachepolicy.decorators.passing import passing
from cachepolicy.errors import DecorationError, PolicyError, RateLimitExceeded
from cachepolicy.keys.signature import Shape
from cachepolicy.runtime import current
from cachepolicy.telemetry.usage import Usage

if TYPE_CHECKING:
    from cachepolicy.flow.admitting import Admission
    from cachepolicy.flow.effects import Attempt, Flow
    from cachepolicy.flow.limited import LimitedCall
    from cachepolicy.flow.limiter import Claim, Limiter, Quota
    from cachepolicy.flow.stores import Site
    from cachepolicy.llm.estimate import Estimate
    from cachepolicy.runtime.compose import Runtime


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
    site: Site
    most_wait: int  # ms
    settles: bool
    limited: Callable[[LimitedCall], Flow[Attempt | RateLimitExceeded]]
    call: type[LimitedCall]
    quota: Callable[[Limiter, object], Quota]
    claim: type[Claim]


class Limited:
    """What stands behind one function under limits."""

    def __init__(
        self, function: Callable[..., Any], shape: Shape, name: str, options: LimitOptions, form: Form
    ) -> None:
        self.function = function
        self.name = name
        self.options = options
        self._bound: Bound | None = None
        if form is Form.ASYNC_GENERATOR:
            self.function = _opening(function)
        calls = {
            Form.FUNCTION: self._call,
            Form.GENERATOR: self._call,
            Form.COROUTINE: self._acall,
            Form.ASYNC_GENERATOR: self._stream,
        }
        self.wrapper, passing = compiled(shape, calls[form], form)
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
            f"{self.name}: {option}: expected a whole number, a parameter, or what takes the same arguments"
        )

    def _subjects(self) -> dict[str, Read]:
        """Return who is counted under each rule, as far as the decorator says it."""
        by, rules = self.options.by, self.options.rules
        if by is None:
            return {}
        if isinstance(by, Mapping):
            each = cast("Mapping[str, By]", by)  # type: ignore[redundant-cast] # pyright: a callable may be one
            strange = [rule for rule in each if rule not in rules]
            if strange:
                raise DecorationError(f"{self.name}: by: it names no rule of this decorator: {strange[0]!r}")
            return {rule: self.signature.subject(who, "by") for rule, who in each.items()}
        return dict.fromkeys(rules, self.signature.subject(by, "by"))

    def bound(self) -> Bound:
        """Return the rules under the current policy."""
        bound = self._bound
        if bound is None or bound.runtime is not current.current():
            bound = self._bound = self._bind()
        return bound

    def _bind(self) -> Bound:
        from cachepolicy.flow.limited import LimitedCall, limited  # loaded with the first plan

        runtime, options = current.current(), self.options
        asks: list[Ask] = []
        for rule in options.rules:
            limiter = runtime.limits.limiter(options.namespace, rule, self.name)
            subject = self._by.get(rule)
            if subject is None:
                if not limiter.by:
                    raise PolicyError(
                        f"{self.name}: rule {rule!r} does not say who is counted; say by=… here or there"
                    )
                subject = self.signature.subject(limiter.by, f"rule {rule!r}: by")
            plan = self._plan if limiter.has_plans else None
            quota = runtime.limits.quota(limiter, None) if plan is None else None
            asks.append(Ask(limiter, subject, plan, quota))
        return Bound(
            runtime,
            tuple(asks),
            asks[0].limiter.site,
            self._most_wait([ask.limiter for ask in asks]),
            any(allows.settles for ask in asks for allows in ask.limiter.plans.values()),
            limited,
            LimitedCall,
            runtime.limits.quota,
            runtime.limits.claim,
        )

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

    def claims(self, bound: Bound, values: Values) -> tuple[list[Claim], int, Estimate | None]:
        """Say what a call asks of its rules, for how many it counts, and what it is expected to take."""
        cost = self._cost if isinstance(self._cost, int) else counted(self._cost(values), self.name, "cost")
        estimate, total = self._estimate(values) if bound.settles else (None, None)
        claims: list[Claim] = []
        for limiter, subject, plan, fixed in bound.asks:
            quota = fixed or bound.quota(limiter, None if plan is None else plan(values))
            if estimate is not None and quota.settles:
                use = limiter.use(cost, estimate.usage, total)
                costs = quota.costs(use) if estimate.is_bounded else quota.capped(use)
            else:
                costs = quota.one if cost == 1 else (cost,) * len(quota.one)
            claims.append(bound.claim(limiter, quota, limiter.key(subject(values)), costs))
        return claims, cost, estimate

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
        if isinstance(total, Usage):
            return guessed._replace(usage=total, is_bounded=True), None
        total = counted(total, self.name, "tokens")
        sent = min(guessed.usage.input, total)
        usage = guessed.usage._replace(input=sent, output=total - sent)
        return guessed._replace(usage=usage, is_bounded=True), total

    def begun(
        self, bound: Bound, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> Flow[Attempt | RateLimitExceeded]:
        """Return a call from its admission to its settlement."""
        claims, requests, estimate = self.claims(bound, values)
        model = "" if estimate is None else estimate.usage.model

        def usage(result: object) -> Usage | None:
            from cachepolicy.llm.usage import usage_of

            return usage_of(result, model)

        def streamed(result: object, admission: Admission) -> object:
            if estimate is None and not admission.places:
                return None

            def ending() -> Ending:
                from cachepolicy.llm.seen import Seen

                seen = None if estimate is None else Seen(estimate.usage)
                return Ending(bound.runtime, claims[0].limiter, admission, requests, seen)

            return passing(result, ending)

        return bound.limited(
            bound.call(
                self.function, args, kwargs, claims, requests, bound.most_wait, bound.settles, usage, streamed
            )
        )

    def _call(self, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Any:
        bound = self.bound()
        runtime = bound.runtime
        flow = self.begun(bound, values, args, kwargs)
        outcome = runtime.engine.run(flow, runtime.stores.sync_io(bound.site))
        return self._denied(outcome) if isinstance(outcome, RateLimitExceeded) else _taken(outcome)

    async def _acall(self, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Any:
        bound = self.bound()
        runtime = bound.runtime
        flow = self.begun(bound, values, args, kwargs)
        outcome = await runtime.engine.arun(flow, runtime.stores.async_io(bound.site))
        if not isinstance(outcome, RateLimitExceeded):
            return _taken(outcome)
        instead = self._denied(outcome)
        return await instead if inspect.isawaitable(instead) else instead

    async def _stream(
        self, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> AsyncIterator[Any]:
        stream = await self._acall(values, args, kwargs)
        try:
            async for chunk in stream:
                yield chunk
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    def _denied(self, denied: RateLimitExceeded) -> Any:
        """Return what is answered instead of a call that was denied, or raise."""
        if self.options.on_exceeded is None:
            raise denied
        return self.options.on_exceeded(denied)


def _taken(attempt: Attempt) -> Any:
    """Return what the function returned, or raise what it raised."""
    if attempt.error is not None:
        raise attempt.error
    return attempt.value


def _opening(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return what is awaited, and gives what an asynchronous generator function gives at once."""

    async def opened(*args: object, **kwargs: object) -> Any:
        return function(*args, **kwargs)

    return opened
