"""What a call of a decorated function comes to, decorator by decorator: its keys, and its commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

from cachepolicy.cli.explain_commands import case
from cachepolicy.cli.explain_parts import Case, Layer, Value
from cachepolicy.cli.explain_values import eviction, values_of, where
from cachepolicy.cli.rehearsal import Rehearsal
from cachepolicy.cli.targets import Arguments, Target, passed
from cachepolicy.codec.serialize import serializer_for
from cachepolicy.decorators.binding import Binding
from cachepolicy.decorators.bound import Bound
from cachepolicy.decorators.limited import Bound as Limits
from cachepolicy.decorators.limited import Limited
from cachepolicy.decorators.many import ManyBinding
from cachepolicy.decorators.tracked import Tracked
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.many import invalidate_all, invalidate_many
from cachepolicy.flow.plan import Plan
from cachepolicy.keys.layout import prefix
from cachepolicy.managers.analytics import AnalyticsCache
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.units import format_duration
from cachepolicy.runtime.wishes import control

_NOWHERE: Final = "nothing is cached yet: the function is called, and its answer kept"
_IN_REDIS: Final = "it is in Redis, and not in this process (L1)"
_IN_L1: Final = "it is in this process (L1)"
_INVALIDATED: Final = "it is invalidated"


def layers(target: Target, call: Arguments | None, loaded: LoadedPolicy, rehearsal: Rehearsal) -> list[Layer]:
    """Explain each decorator of a function.

    Args:
        target: the function.
        call: the arguments of a call; None: none is told of.
        loaded: the policy in effect.
        rehearsal: of it.

    Raises:
        CachePolicyError: the policy does not fit, or the function takes no such call.
    """
    found: list[Layer] = []
    for behind in target.layers:
        if isinstance(behind, Binding):
            found.append(_cached(behind, _given(target, call), loaded, rehearsal))
        elif isinstance(behind, Limited):
            found.append(_limited(behind, _given(target, call), loaded, rehearsal))
        elif isinstance(behind, Tracked):
            found.append(_tracked(behind, _given(target, call), loaded, rehearsal))
    return found


def keys_of(binding: Binding, call: Arguments) -> list[str]:
    """Return the keys of the entries that belong to a call."""
    bound = binding.bound()
    if isinstance(binding, ManyBinding):
        batch = binding.batch(bound, *call.args, **call.kwargs)
        return [batch.call(at).key for at in range(len(batch.local_keys))]
    return [each.key for each in binding.calls(bound.plan, *call.args, **call.kwargs)]


def _given(target: Target, call: Arguments | None) -> Arguments | None:
    return None if call is None else passed(target, call)


def _base(what: str, namespace: str, loaded: LoadedPolicy) -> Layer:
    return Layer(
        what=what,
        namespace=namespace,
        prefix=prefix(loaded.policy.app, namespace),
        where=where(loaded, loaded.policy.namespaces[namespace]),
        values=values_of(loaded, namespace),
        eviction=eviction(loaded, namespace),
    )


def _cached(binding: Binding, call: Arguments | None, loaded: LoadedPolicy, rehearsal: Rehearsal) -> Layer:
    bound, decoration = binding.bound(), binding.decoration
    name = "a batch, item by item" if isinstance(binding, ManyBinding) else decoration.traits.kind
    layer = _base(f"cached: {name}", decoration.namespace, loaded)
    layer = replace(layer, values=[*_said(binding, bound.plan), *layer.values])
    if call is None:
        return layer
    keys = keys_of(binding, call)
    if not keys:
        return replace(layer, notes=(_no_entry(binding, bound, call),))
    return replace(layer, keys=keys, cases=_cases(binding, bound, call, rehearsal), notes=_of_entries(bound))


def _said(binding: Binding, plan: Plan) -> list[Value]:
    """Return what the decorator says, before what the policy does."""
    decoration = binding.decoration
    said = {
        "ttl": format_duration(plan.life.ttl) if decoration.ttl is not None else "",
        "version": str(decoration.version) if decoration.version != 1 else "",
        "key": "its own" if binding.keys.has_own else "",
        "ignore": ", ".join(decoration.ignore),
        "tags": ", ".join(decoration.tags),
        "over": decoration.over or "",
    }
    return [Value(name, text, "decorator") for name, text in said.items() if text]


def _no_entry(binding: Binding, bound: Bound, call: Arguments) -> str:
    values, args, kwargs = binding.arguments(*call.args, **call.kwargs)
    _, reason = binding.keys.known_as(bound, values, args, kwargs)
    return f"no entry belongs to this call ({reason}): the function is called, and Redis asked nothing"


def _of_entries(bound: Bound) -> tuple[str, ...]:
    plan = bound.plan
    notes = [f"fresh for {format_duration(plan.life.ttl)}" + _shortened(plan)]
    if plan.local is not None:
        most = format_duration(min(plan.local_ttl, plan.life.ttl))
        notes.append(f"in this process (L1) for {most} at most, then Redis is asked again")
    return tuple(notes)


def _shortened(plan: Plan) -> str:
    return f", less up to {plan.life.jitter:.0%} by chance (jitter)" if plan.life.jitter else ""


def _cases(binding: Binding, bound: Bound, call: Arguments, rehearsal: Rehearsal) -> list[Case]:
    plan = _plainly(bound.plan, binding)
    as_is = bound._replace(plan=plan, streamed=None)

    def make() -> None:
        with nullcontext() if bound.sampling.variants is None else control(variant=0):
            rehearsal.run(plan.site, _flow(binding, as_is, call))

    def make_elsewhere() -> None:
        if plan.local is not None:
            plan.local.flush()
        make()

    def invalidate() -> None:
        if isinstance(binding, ManyBinding):
            gone: Flow[Any] = invalidate_many(plan, binding.batch(as_is, *call.args, **call.kwargs))
        else:
            gone = invalidate_all(plan, binding.calls(plan, *call.args, **call.kwargs))
        rehearsal.run(plan.site, gone)

    steps: list[tuple[str, Callable[[], None]]] = [(_NOWHERE, make)]
    if plan.local is not None:
        steps.append((_IN_L1, make))
    steps.append((_IN_REDIS, make_elsewhere))
    steps.append((_INVALIDATED, invalidate))
    return [case(when, rehearsal.trips(step)) for when, step in steps]


def _flow(binding: Binding, bound: Bound, call: Arguments) -> Flow[Any]:
    if isinstance(binding, ManyBinding):
        batch = binding.batch(bound, *call.args, **call.kwargs)
        return bound.engine.respond_many(bound.plan, batch)
    values, args, kwargs = binding.arguments(*call.args, **call.kwargs)
    known, _ = binding.keys.known_as(bound, values, args, kwargs)
    return bound.engine.respond(bound.plan, known)


def _plainly(plan: Plan, binding: Binding) -> Plan:
    """Return the same plan for a function that answers plain text: what it is makes no other command."""
    return replace(
        plan,
        function=_many(binding) if isinstance(binding, ManyBinding) else _one,
        is_async=False,
        codec=replace(plan.codec, serializer=serializer_for(str)),
        admission=replace(plan.admission, if_=None, judge=None),
        accounting=replace(plan.accounting, usage=None, after_origin=None),
        collation=None,
        streaming=None,
    )


def _one(*_args: object, **_kwargs: object) -> str:
    """Stand for the function."""
    return "answer"


def _many(binding: ManyBinding) -> Callable[..., list[str]]:
    """Return what stands for a function of many items."""

    def answer(*args: object, **kwargs: object) -> list[str]:
        values, _, _ = binding.arguments(*args, **kwargs)
        items: Any = values[binding.at]
        return ["answer"] * len(items)

    return answer


def _limited(limited: Limited, call: Arguments | None, loaded: LoadedPolicy, rehearsal: Rehearsal) -> Layer:
    bound, options = limited.bound(), limited.options
    layer = _base(f"rate limited: {', '.join(options.rules)}", options.namespace, loaded)
    if call is None:
        return layer
    values, args, kwargs = _values(limited.wrapper, call)
    claims, _, _ = limited.claims(bound, values)
    notes = [
        f"rule {claim.limiter.rule}: {', '.join(claim.quota.names) or 'calls at once'}" for claim in claims
    ]

    def make() -> None:
        rehearsal.run(bound.site, limited.begun(_uncalled(bound), values, args, kwargs))

    cases = [case("it is admitted, and ends", rehearsal.trips(make))]
    return replace(layer, keys=[claim.key for claim in claims], cases=cases, notes=notes)


def _uncalled(bound: Limits) -> Limits:
    """Return the same rules for a function that is not called."""
    return bound._replace(limited=lambda call: bound.limited(call._replace(function=_one)))


def _tracked(tracked: Tracked, call: Arguments | None, loaded: LoadedPolicy, rehearsal: Rehearsal) -> Layer:
    options = tracked.options
    layer = _base(f"counted: {options.metric}", options.namespace, loaded)
    if call is None:
        return layer
    bound = tracked.begin()
    values, _, _ = _values(tracked.wrapper, call)

    def make() -> None:
        tracked.ended(bound, bound.now(), values, None)
        AnalyticsCache(options.namespace).flush.sync()

    trips = rehearsal.trips(make)
    cases = [case("it has ended, and what was counted is sent, with that of other calls", trips)]
    keys = list(
        dict.fromkeys(key for each in cases for trip in each.trips for said in trip for key in said.keys)
    )
    return replace(layer, keys=keys, cases=cases)


def _values(
    wrapper: Callable[..., Any], call: Arguments
) -> tuple[list[object], tuple[object, ...], dict[str, object]]:
    """Return the values of a call in the order of the parameters, and how they are passed on."""
    signature = inspect.signature(wrapper)
    bound = signature.bind(*call.args, **call.kwargs)
    bound.apply_defaults()
    return [bound.arguments[name] for name in signature.parameters], bound.args, bound.kwargs
