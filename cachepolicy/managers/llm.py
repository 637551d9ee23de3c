"""``LLMCacheManager``: answers of language models, for code that asks the model itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cachepolicy.errors import UnkeyableArgument
from cachepolicy.flow.control import current_control
from cachepolicy.keys.canonical import encode_arguments
from cachepolicy.keys.layout import WHOLE, digest, digest_seed, tag_id
from cachepolicy.keys.scope import scope_parts
from cachepolicy.keys.signature import shape_of
from cachepolicy.keys.template import segment
from cachepolicy.llm.traits import LLM
from cachepolicy.managers.responses import plain, rebuilt
from cachepolicy.runtime import current
from cachepolicy.runtime.decoration import Decoration, Ttl
from cachepolicy.runtime.manage import Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.answer import Missing
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.plan import Call, Plan
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.telemetry.counters import Stats
    from cachepolicy.telemetry.savings import Account, Savings

T = TypeVar("T")

Prompt = str | Sequence[Mapping[str, Any]]
"""A prompt, or the messages of a conversation."""

_IDENTITY: Final = "cachepolicy.managers.llm:answer"
_NAME: Final = "LLMCacheManager"


class LLMCacheManager:
    """Finds and keeps answers of language models; the model is asked by your code.

    Each verb is awaited, or run in this thread by ``.sync``. Two calls share an answer exactly when the
    prompt or messages, the model and all parameters are equal. Prefer ``@llm_cached`` where a function can be
    decorated: it asks the model once for all who wait.

    Every verb raises:
        UnknownNamespace: the policy does not declare it.
        PolicyError: it is of another kind than ``cache``.
        UnkeyableArgument: no key can be made, or the namespace's scope asks who asks and the context does
            not say.
        StoreError, CallDenied: Redis failed, and ``on_fault`` says ``raise`` or ``deny``.
    """

    def __init__(self, namespace: str = "llm") -> None:
        self.namespace: Final = namespace
        self._bound: tuple[Runtime, Plan] | None = None
        self._decoration: Decoration | None = None

    def __repr__(self) -> str:
        return f"LLMCacheManager({self.namespace!r})"

    def get_cache_key(self, prompt_or_messages: Prompt, model: str, **params: object) -> str:
        """Return the key that an answer lies under in Redis; nothing is asked.

        Args:
            prompt_or_messages: what the model is asked.
            model: its name.
            params: all else that shapes the answer, such as ``temperature``.
        """
        return self._call(prompt_or_messages, model, params)[2].key

    @verb
    def get_cached_response(
        self,
        prompt_or_messages: Prompt,
        model: str,
        /,
        *,
        as_: type[Any] | None = None,
        **params: object,
    ) -> Work[Any]:
        """Return a cached answer, or None.

        Args:
            prompt_or_messages: what the model is asked.
            model: its name.
            as_: the class to rebuild the answer as, such as ``ChatCompletion``; without it, plain data.
            params: as of ``get_cache_key``.
        """
        runtime, plan, call = self._call(prompt_or_messages, model, params)
        return self._work(runtime, plan, _found(plan, call, as_))

    @verb
    def cache_response(
        self,
        prompt_or_messages: Prompt,
        model: str,
        response: object,
        /,
        ttl: Ttl = None,
        **params: object,
    ) -> Work[bool]:
        """Keep an answer; tell whether it was kept.

        It is not where the policy does not admit it, where it is None or would not come back as it was, and
        where somebody has invalidated it since ``get_cached_response`` missed it in this context.

        Args:
            prompt_or_messages: what the model was asked.
            model: its name.
            response: text, JSON's types, or an object of an SDK, which is kept as plain data.
            ttl: how long it is fresh; within the namespace's range, as ``control(ttl=…)``.
            params: as of ``get_cache_key``.

        Raises:
            PolicyError: the TTL cannot be read.
        """
        runtime, plan, call = self._call(prompt_or_messages, model, params)
        if ttl is not None:
            call = call._replace(control=replace(call.control, ttl=_seconds(ttl)))
        return self._work(runtime, plan, _kept(plan, call, response))

    def stats(self) -> Stats:
        """Return what this manager has counted since the policy was loaded."""
        from cachepolicy.flow.accounting import savings  # loaded with the first plan

        plan = self._plan()[1]
        return plan.counters.stats(plan.table.hits(), len(plan.table), savings(plan))

    def savings(self) -> dict[Account, Savings]:
        """Return what its answers spared, by model and tenant."""
        from cachepolicy.flow.accounting import ledger  # loaded with the first plan
        from cachepolicy.telemetry.savings import by_account

        plan = self._plan()[1]
        return by_account(ledger(plan), plan.accounting.prices)

    def _plan(self) -> tuple[Runtime, Plan]:
        runtime = current.current()
        if self._bound is None or self._bound[0] is not runtime:
            if self._decoration is None:
                self._decoration = _decoration(self.namespace)
            self._bound = runtime, runtime.bind(self._decoration)
        return self._bound

    def _work(self, runtime: Runtime, plan: Plan, flow: Flow[T]) -> Work[T]:
        return Work(runtime, plan.site, runtime.guarantees.over(self.namespace, flow))

    def _call(self, prompt: Prompt, model: str, params: Mapping[str, object]) -> tuple[Runtime, Plan, Call]:
        runtime, plan = self._plan()
        who = scope_parts(plan.scope)
        if who is None:
            raise UnkeyableArgument(
                f"{self!r}: answers belong to one {plan.scope}; say who asks: with scope({plan.scope}=…)"
            )
        values: list[object] = identity(prompt, model, params)
        encoded = encode_arguments(("prompt_or_messages", "model", "params"), values, _NAME)
        owner = "".join(f"{segment(part)}:" for part in who)
        key = f"{plan.prefix}{owner}{LLM.kind}:{digest(digest_seed(_IDENTITY, '1'), encoded)}"
        control = current_control()
        tagged = {"model": model, **params}
        rule = runtime.cache(self.namespace, "", repr(self))
        tags = (
            WHOLE,
            *(tag_id(name, tagged[name]) for name in rule.tags if name in tagged),
            *(tag_id("", tag) for tag in control.tags),
        )
        return runtime, plan, runtime.engine.call(key, key, (), {"model": model}, tags, control)


def identity(prompt: Prompt, model: str, params: Mapping[str, object]) -> list[object]:
    """Return what identifies a request: the one place that decides what counts and what does not."""
    return [prompt, model, dict(params)]


def _decoration(namespace: str) -> Decoration:
    """Return what a decorator would have been told of a function that answers so."""
    return Decoration(
        function=_answer,
        shape=shape_of(_answer, ()),
        name=_NAME,
        identity=_IDENTITY,
        is_async=False,
        namespace=namespace,
        version=1,
        ttl=None,
        traits=LLM,
    )


def _answer(prompt_or_messages: object, model: str, **params: object):  # type: ignore[no-untyped-def] # noqa: ANN202 - results of JSON's types are stored, as of a function that does not say
    """Stand for the function that is asked: the caller does it himself."""
    raise NotImplementedError(model)


def _found(plan: Plan, call: Call, as_: type[Any] | None) -> Flow[Any]:
    from cachepolicy.flow.answer import MISS  # loaded with the first plan
    from cachepolicy.flow.by_hand import find

    found: object | Missing = yield from find(plan, call)
    if found is MISS:
        return None
    return found if as_ is None else rebuilt(as_, found)


def _kept(plan: Plan, call: Call, response: object) -> Flow[bool]:
    from cachepolicy.flow.by_hand import put  # loaded with the first plan

    if response is None:  # nothing is what a miss returns
        return False
    return (yield from put(plan, call, plain(response), response))


def _seconds(ttl: str | float | timedelta) -> float:
    from cachepolicy.errors import PolicyError
    from cachepolicy.policy.units import parse_duration  # loaded with the first policy

    try:
        return parse_duration(ttl.total_seconds() if isinstance(ttl, timedelta) else ttl)
    except ValueError as error:
        raise PolicyError(f"{_NAME}.cache_response(ttl={ttl!r}): {error}") from None
