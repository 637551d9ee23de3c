"""A decorated function and its policy: bound on the first call, anew after ``configure()``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachepolicy.decorators.bound import Bound
from cachepolicy.decorators.call_keys import CallKeys
from cachepolicy.decorators.hit_path import Miss, compile_wrapper, no_time, nothing, unless_controlled
from cachepolicy.decorators.sampling import sampling_of
from cachepolicy.decorators.streams import promised, streams_at
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.flow.control import NO_CONTROL
from cachepolicy.runtime import current
from cachepolicy.runtime.decoration import Decoration, Key
from cachepolicy.telemetry.logs import Event, fields
from cachepolicy.telemetry.names import Reason

if TYPE_CHECKING:
    from cachepolicy.flow.answer import Answer
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.plan import Call, Plan
    from cachepolicy.runtime.compose import Runtime

_LOG = logging.getLogger("cachepolicy")
_SILENT: Final = (
    "%s: its calls show no temperature, so all of them count as asking for chance, and the policy keeps no "
    "single answer to such; where that is wrong, say @llm_cached(temperature=0)"
)


class Asked(NamedTuple):
    """A call, and why nothing may be kept of it; None: it may."""

    call: Call
    reason: Reason | None


class Binding:
    """What stands behind one decorated function: its keys, its plan, its fast path."""

    def __init__(self, decoration: Decoration, key: Key | None) -> None:
        self.decoration = decoration
        self.keys = CallKeys(decoration, key)
        self._bound: Bound | None = None
        self.is_open = False
        self._streams = streams_at(decoration.shape)
        miss: Miss = self._answer_async if decoration.is_async else self._answer
        if decoration.defers:
            miss = self._promise_async if decoration.is_async else self._promise
        self.function, self._point, self.arguments = compile_wrapper(
            decoration.shape, miss, is_async=decoration.is_async and not decoration.defers
        )
        current.register(self)

    def shut(self) -> None:
        """Send every call the long way."""
        self.is_open = False
        self._point(nothing, no_time)

    def bound(self) -> Bound:
        """Return the plan under the current runtime, and let L1 hits take the fast path from now on."""
        now = current.current()
        bound = self._bound
        if bound is None or bound.runtime is not now:
            bound = self._bound = self._bind(now)
        plan = bound.plan
        if not self.is_open and plan.local is not None and plan.scope == "global" and not self.keys.has_own:
            current.open_fast_path(now, lambda: self._open(plan))
        return bound

    def bound_for(self, values: Sequence[object]) -> Bound:
        """Return the plan of a call, where its arguments say whether it is answered in parts."""
        bound = self.bound()
        if bound.streamed is not None and self._streams is not None and self._streams(values):
            return bound.streamed
        return bound

    def bound_to(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Bound:
        """Return the same of a call with these arguments."""
        bound = self.bound()
        return bound if bound.streamed is None else self.bound_for(self.arguments(*args, **kwargs)[0])

    def _bind(self, now: Runtime) -> Bound:
        decoration = self.decoration
        rule, plan = now.rule(decoration), now.bind(decoration)
        sampling = sampling_of(decoration.namespace, rule)
        told = (decoration.name, _SILENT)
        if decoration.reader.is_silent and not sampling.is_as_for_any and told not in plan.said:
            plan.said.add(told)
            beside = fields(Event.NOT_SAMPLED, namespace=decoration.namespace, function=decoration.name)
            _LOG.warning(_SILENT, decoration.name, extra=beside)
        engine = now.engine_of(decoration.namespace, rule)
        bound = Bound(now, plan, engine, self.keys.tagged(rule.tags), sampling)
        other = None if self._streams is None else now.engine.other_plan(plan, decoration, rule)
        return bound if other is None else bound._replace(streamed=bound._replace(plan=other))

    def _open(self, plan: Plan) -> None:
        lookup = plan.table.get
        self._point(unless_controlled(lookup) if current.is_controlled() else lookup, plan.clock.monotonic)
        self.is_open = True

    def asked(self, plan: Plan, *args: object, **kwargs: object) -> Asked:
        """Return a call with these arguments, and why nothing may be kept of it.

        Raises:
            UnkeyableArgument: no key can be made of them, or nothing says who asks.
        """
        values, positional, keywords = self.arguments(*args, **kwargs)
        call, reason = self.keys.known_as(self.bound(), values, positional, keywords)
        if reason is Reason.NO_SCOPE:
            raise self.scopeless(plan)
        return Asked(call, reason)

    def calls(self, plan: Plan, *args: object, **kwargs: object) -> list[Call]:
        """Return what one with these arguments may be answered by: its variants, unless one is chosen.

        Errors are as of ``asked``; nothing is returned where no entry can belong to it.
        """
        values, positional, keywords = self.arguments(*args, **kwargs)
        calls, reason = self.keys.all_known_as(self.bound(), values, positional, keywords)
        if reason is Reason.NO_SCOPE:
            raise self.scopeless(plan)
        return calls

    def scopeless(self, plan: Plan) -> UnkeyableArgument:
        """Return what is raised where the context does not say who asks."""
        at: int | None = getattr(self.decoration.asker, plan.scope)
        passed = "" if at is None else f"pass {self.decoration.shape.names[at]!r}, or "
        return UnkeyableArgument(
            f"{self.decoration.name}(): its answers belong to one {plan.scope}; "
            f"say who asks: {passed}with scope({plan.scope}=…)"
        )

    def keyless_call(self, plan: Plan, *args: object, **kwargs: object) -> Call:  # noqa: ARG002 - as ``call``
        """Return a call with these arguments that no entry belongs to."""
        _values, positional, keywords = self.arguments(*args, **kwargs)
        return self.bound().engine.call(None, "", positional, keywords, (), NO_CONTROL)

    def run(self, bound: Bound, flow: Flow[Any]) -> Any:
        """Drive a flow in this thread."""
        return bound.engine.run(flow, bound.runtime.stores.sync_io(bound.plan.site))

    async def arun(self, bound: Bound, flow: Flow[Any]) -> Any:
        """Drive a flow on the running loop."""
        return await bound.engine.arun(flow, bound.runtime.stores.async_io(bound.plan.site))

    def _answer(
        self, values: Sequence[object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        bound = self.bound_for(values)
        runtime, plan, engine, *_ = bound
        flow = self._respond(bound, values, args, kwargs)
        return engine.run(flow, runtime.stores.sync_io(plan.site)).take()

    async def _answer_async(
        self, values: Sequence[object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        bound = self.bound_for(values)
        runtime, plan, engine, *_ = bound
        flow = self._respond(bound, values, args, kwargs)
        return (await engine.arun(flow, runtime.stores.async_io(plan.site))).take()

    def _promise(
        self, values: Sequence[object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        """Know the call now; begin it when it is read."""
        bound = self.bound()
        flow = self._respond(bound, values, args, kwargs)
        return promised(bound.plan, lambda: self.run(bound, flow).take())

    def _promise_async(
        self, values: Sequence[object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        """Know the call now; begin it when it is read."""
        bound = self.bound()
        flow = self._respond(bound, values, args, kwargs)

        async def begin() -> object:
            return (await self.arun(bound, flow)).take()

        return promised(bound.plan, begin)

    def _respond(
        self,
        bound: Bound,
        values: Sequence[object],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> Flow[Answer]:
        _, plan, engine, *_ = bound
        call, reason = self.keys.known_as(bound, values, args, kwargs)
        return engine.respond(plan, call) if reason is None else engine.go_past(plan, call, reason)
