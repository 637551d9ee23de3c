"""The verbs of a decorated function: each one flow, run in the function's own colour."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from cachepolicy.decorators.binding import Asked, Binding
from cachepolicy.decorators.layers import put_around
from cachepolicy.decorators.methods import Form, dressed
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.flow.control import current_control
from cachepolicy.runtime.decoration import Decoration, Key
from cachepolicy.telemetry.names import Reason
from cachepolicy.telemetry.savings import by_account

if TYPE_CHECKING:
    from cachepolicy.flow.answer import Answer
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.plan import Call, Plan
    from cachepolicy.policy.rules.cache import CacheRule
    from cachepolicy.telemetry.counters import Stats
    from cachepolicy.telemetry.savings import Account, Savings


def decorate(decoration: Decoration, key: Key | None, form: Form) -> Any:
    """Return the wrapper of a function, with its verbs as attributes; in a class, what binds them."""
    binding = Binding(decoration, key)
    colour = _asynchronous if decoration.is_async else _synchronous
    wrapper: Any = functools.update_wrapper(binding.function, decoration.function)
    put_around(wrapper, binding, decoration.function)
    wrapper.invalidate = colour(binding, binding.calls, _invalidate, _itself)
    wrapper.expire = colour(binding, binding.calls, _expire, _itself)
    wrapper.refresh = colour(binding, binding.asked, _refresh, _taken)
    wrapper.peek = colour(binding, binding.asked, _peek, _itself)
    wrapper.bypass = colour(binding, binding.keyless_call, _bypass, _taken)
    wrapper.call = functools.partial(NamedCall, binding)
    wrapper.get_many = _get_many(binding)
    wrapper.key = functools.partial(_key, binding)
    wrapper.stats = functools.partial(stats, binding)
    wrapper.savings = functools.partial(savings, binding)
    wrapper.policy = Policy(binding)
    says_what_self_is = key is not None or decoration.shape.keyed[:1] != (0,)
    return dressed(wrapper, form, says_what_self_is=says_what_self_is)


MakeCall = Callable[..., Any]
Verb = Callable[["Plan", Any], "Flow[Any]"]
"""Takes what the former returns: a call, all calls that are meant, or a call and what is special about it."""
Result = Callable[[Any], Any]


def _synchronous(binding: Binding, make: MakeCall, verb: Verb, result: Result) -> Callable[..., Any]:
    def run(*args: object, **kwargs: object) -> Any:
        bound = binding.bound_to(args, kwargs)
        return result(binding.run(bound, verb(bound.plan, make(bound.plan, *args, **kwargs))))

    return run


def _asynchronous(
    binding: Binding, make: MakeCall, verb: Verb, result: Result
) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def run(*args: object, **kwargs: object) -> Any:
        bound = binding.bound_to(args, kwargs)
        return result(await binding.arun(bound, verb(bound.plan, make(bound.plan, *args, **kwargs))))

    return run


class NamedCall:
    """A call that was named and not made: what ``get_many`` takes."""

    __slots__ = ("args", "kwargs", "of")

    def __init__(self, of: object, /, *args: object, **kwargs: object) -> None:
        self.of: object = of
        self.args: tuple[object, ...] = args
        self.kwargs: dict[str, object] = kwargs


def _get_many(binding: Binding) -> Callable[..., Any]:
    def look(calls: Iterable[NamedCall]) -> Flow[list[object]]:
        from cachepolicy.flow.answer import MISS  # loaded with the first plan
        from cachepolicy.flow.many import look_many

        bound = binding.bound()
        named = [_of_this(binding, call) for call in calls]
        asked = [binding.asked(bound.plan, *call.args, **call.kwargs) for call in named]
        known = [call for call, reason in asked if reason is None]
        keys = [call.local_key for call in known]
        batch = bound.engine.batch(keys, current_control(), known.__getitem__)
        found = iter((yield from look_many(bound.plan, batch, errors=False)))
        return [next(found) if reason is None else MISS for _, reason in asked]

    def get_many(calls: Iterable[NamedCall]) -> Any:
        return binding.run(binding.bound(), look(calls))

    async def aget_many(calls: Iterable[NamedCall]) -> Any:
        return await binding.arun(binding.bound(), look(calls))

    return aget_many if binding.decoration.is_async else get_many


def _of_this(binding: Binding, call: NamedCall) -> NamedCall:
    if type(call) is NamedCall and call.of is binding:
        return call
    name = binding.decoration.name
    raise TypeError(f"{name}.get_many(): expected calls that were named with {name}.call(…)")


def _itself(result: object) -> object:
    return result


def _taken(answer: Answer) -> object:
    return answer.take()


def _invalidate(plan: Plan, calls: list[Call]) -> Flow[bool]:
    from cachepolicy.flow.many import invalidate_all  # loaded with the first plan

    return invalidate_all(plan, calls)


def _expire(plan: Plan, calls: list[Call]) -> Flow[bool]:
    from cachepolicy.flow.many import invalidate_all  # loaded with the first plan

    return invalidate_all(plan, calls, purge=False)


def _refresh(plan: Plan, asked: Asked) -> Flow[Answer]:
    from cachepolicy.flow.respond import go_past, renew  # loaded with the first plan

    return renew(plan, asked.call) if asked.reason is None else go_past(plan, asked.call, asked.reason)


def _peek(plan: Plan, asked: Asked) -> Flow[object]:
    from cachepolicy.flow.respond import look, nothing  # loaded with the first plan

    return look(plan, asked.call) if asked.reason is None else nothing()


def _bypass(plan: Plan, call: Call) -> Flow[Answer]:
    from cachepolicy.flow.respond import go_past  # loaded with the first plan

    return go_past(plan, call, Reason.ASKED)


def _key(binding: Binding, *args: object, **kwargs: object) -> str:
    calls = binding.calls(binding.bound().plan, *args, **kwargs)
    if not calls:
        message = "continues what only its provider holds, so no entry belongs to it"
        raise UnkeyableArgument(f"{binding.decoration.name}(): this call {message}")
    return calls[0].key


def stats(binding: Binding) -> Stats:
    """Return a function's counts."""
    from cachepolicy.flow.accounting import savings as of_plan  # loaded with the first plan

    plan = binding.bound().plan
    return plan.counters.stats(plan.table.hits(), len(plan.table), of_plan(plan))


def savings(binding: Binding) -> dict[Account, Savings]:
    """Return what a function's answers spared, by model and tenant."""
    from cachepolicy.flow.accounting import ledger  # loaded with the first plan

    plan = binding.bound().plan
    return by_account(ledger(plan), plan.accounting.prices)


class Policy:
    """``handle.policy``: the policy that the function is under now."""

    __slots__ = ("_binding",)

    def __init__(self, binding: Binding) -> None:
        self._binding = binding

    @property
    def namespace(self) -> str:
        """The policy's namespace."""
        return self._binding.decoration.namespace

    @property
    def ttl(self) -> float:
        """How long an answer is fresh, in seconds."""
        return self._binding.bound().plan.life.ttl

    @property
    def rule(self) -> CacheRule:
        """The namespace's whole rule."""
        bound = self._binding.bound()
        return bound.runtime.rule(self._binding.decoration)
