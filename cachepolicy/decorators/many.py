"""A function under ``@cached_many``: one entry for each item of a sequence."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from cachepolicy.decorators.binding import Binding
from cachepolicy.decorators.bound import Bound
from cachepolicy.decorators.item_keys import ItemKeys, held
from cachepolicy.decorators.layers import put_around
from cachepolicy.decorators.methods import Form, dressed
from cachepolicy.decorators.verbs import Policy, savings, stats
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.flow.control import NO_CONTROL, current_control
from cachepolicy.runtime.decoration import Decoration, Key
from cachepolicy.telemetry.names import Reason

if TYPE_CHECKING:
    from cachepolicy.flow.batch import Batch
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.plan import Call, Plan

NO_KEYWORDS: Final[Mapping[str, object]] = MappingProxyType({})
Values = Sequence[object]
Passed = tuple[tuple[object, ...], Mapping[str, object]]
"""Arguments as they are passed on: positional, keywords."""


class Asked(NamedTuple):
    """One call: its items, their keys where they are made in one go, and all its arguments."""

    items: Sequence[object]
    keys: ItemKeys | None
    values: Values
    args: tuple[object, ...]
    kwargs: Mapping[str, object]


class ManyBinding(Binding):
    """What stands behind one such function; the key of an item is that of a call for it alone."""

    def __init__(self, decoration: Decoration, key: Key | None, over: str) -> None:
        self._over, self.at = over, decoration.shape.names.index(over)
        # the wrapper is to make no key of all items: it would never hit
        shape = dataclasses.replace(decoration.shape, atomic=True, key_values="", key_classes="")
        super().__init__(dataclasses.replace(decoration, shape=shape), key)
        self.decoration = decoration

    def batch(self, bound: Bound, *args: object, **kwargs: object) -> Batch:
        """Return a call with these arguments.

        Raises:
            UnkeyableArgument: no key can be made of them, or the context does not say who asks.
        """
        values, positional, keywords = self.arguments(*args, **kwargs)
        items = self._items(values)
        asked = Asked(items, self._keys(bound, values, items), values, positional, keywords)
        batch = self._batch(bound, asked)
        if batch is Reason.NO_SCOPE:
            raise self.scopeless(bound.plan)
        if isinstance(batch, Reason):
            raise UnkeyableArgument(f"{self.decoration.name}(): no entries belong to this call: {batch}")
        return batch

    def past(self, bound: Bound, *args: object, **kwargs: object) -> Flow[Any]:
        """Call the function with all items as they are, reading and storing nothing."""
        values, positional, keywords = self.arguments(*args, **kwargs)
        asked = Asked(self._items(values), None, values, positional, keywords)
        return self._past(bound, asked, Reason.ASKED)

    def _answer(self, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
        bound, items = self.bound(), self._items(values)
        keys = self._keys(bound, values, items)
        found = self._held(bound.plan, keys)
        if found is None:
            found = self.run(bound, self._respond_many(bound, Asked(items, keys, values, args, kwargs)))
        return found

    async def _answer_async(
        self, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        bound, items = self.bound(), self._items(values)
        keys = self._keys(bound, values, items)
        found = self._held(bound.plan, keys)
        if found is None:
            asked = Asked(items, keys, values, args, kwargs)
            found = await self.arun(bound, self._respond_many(bound, asked))
        return found

    def _open(self, plan: Plan) -> None:  # noqa: ARG002 - the table is asked for each time
        """Have L1 asked before anything else; the wrapper itself has no use for one key."""
        self.is_open = True

    def _held(self, plan: Plan, keys: ItemKeys | None) -> object:
        """Return the answer that L1 holds; None where it does not."""
        if keys is None or not self.is_open or current_control() is not NO_CONTROL:
            return None
        return held(plan.table.get, keys.local, plan.clock.monotonic())

    def _keys(self, bound: Bound, values: Values, items: Sequence[object]) -> ItemKeys | None:
        """Return the items' keys; None where more identifies a call than its arguments."""
        reader, keys = self.decoration.reader, self.keys
        if bound.plan.scope != "global" or keys.has_own or any(each.at == self.at for each in bound.tags):
            return None
        asked, reason, by_chance = reader.read(values)
        if reason is not None or (by_chance and not bound.sampling.is_as_for_any):
            return None
        return ItemKeys(self.decoration, keys.seed, asked, self.at, items)

    def _respond_many(self, bound: Bound, asked: Asked) -> Flow[Any]:
        batch = self._batch(bound, asked)
        if isinstance(batch, Reason):
            return self._past(bound, asked, batch)
        return bound.engine.respond_many(bound.plan, batch)

    def _past(self, bound: Bound, asked: Asked, reason: Reason) -> Flow[Any]:
        passed = self._passed(self._together(list(asked.items), asked), asked)
        call = bound.engine.call(None, "", *passed, (), NO_CONTROL)
        answer = yield from bound.engine.go_past(bound.plan, call, reason)
        return self._given(answer.take(), asked)

    def _given(self, result: object, asked: Asked) -> object:
        """Return what a caller gets of what the function returned."""
        from cachepolicy.flow.batch import results_of  # loaded with the first plan

        return results_of(self.decoration.name, result, asked.items)

    def _batch(self, bound: Bound, asked: Asked) -> Batch | Reason:
        """Return the call for these items, or why no entries belong to it."""
        engine, control = bound.engine, current_control()
        items, keys, values = asked.items, asked.keys, asked.values

        def arguments(some: list[Any]) -> Passed:
            return self._passed(self._together(some, asked), asked)

        if keys is not None:
            tags, prefix = self.keys.tag_ids(bound.tags, values, control), bound.plan.prefix

            local, name, new, nothing = keys.local, keys.name, engine.call, NO_KEYWORDS

            def make(at: int) -> Call:
                return new(local[at], prefix + name(at), (items[at],), nothing, tags, control)

            return engine.batch(keys.local, control, make, arguments)
        calls: list[Call] = []
        for item in items:
            with_item = [*values[: self.at], item, *values[self.at + 1 :]]
            call, reason = self.keys.known_as(bound, with_item, *self._passed(item, asked))
            if reason is not None:
                return reason
            calls.append(call._replace(args=(item,), kwargs={}))
        return engine.batch([call.local_key for call in calls], control, calls.__getitem__, arguments)

    def _items(self, values: Values) -> Sequence[object]:
        """Return the items; those that can be read but once are read here."""
        given, kind = values[self.at], type(values[self.at])
        if isinstance(given, (str, bytes, bytearray)) or not isinstance(given, Iterable):
            raise UnkeyableArgument(
                f"{self.decoration.name}(): parameter {self._over!r}: expected a sequence of items, "
                f"not a {kind.__qualname__}"
            )
        if kind is tuple:
            return cast("tuple[object, ...]", given)
        return list(cast("Iterable[object]", given))

    def _together(self, some: list[Any], asked: Asked) -> object:
        """Return what the function is given for some of the items."""
        return tuple(some) if type(asked.items) is tuple else some

    def _passed(self, content: object, asked: Asked) -> Passed:
        """Return arguments with something else in the place of the items."""
        args, kwargs = asked.args, asked.kwargs
        if self._over in kwargs:
            return args, {**kwargs, self._over: content}
        return (*args[: self.at], content, *args[self.at + 1 :]), kwargs


Verb = Callable[..., "Flow[Any]"]
"""Takes what is bound and the arguments of a call."""


def decorate_many(binding: ManyBinding, form: Form, *, says_what_self_is: bool) -> Any:
    """Return the wrapper of a function, with its verbs as attributes; in a class, what binds them."""
    wrapper: Any = functools.update_wrapper(binding.function, binding.decoration.function)
    put_around(wrapper, binding, binding.decoration.function)
    verb = functools.partial(_verb, binding)
    wrapper.invalidate = verb(_invalidate)
    wrapper.expire = verb(_expire)
    wrapper.refresh = verb(_refresh)
    wrapper.peek = verb(_peek)
    wrapper.bypass = verb(ManyBinding.past)
    wrapper.keys = functools.partial(_keys, binding)
    wrapper.stats = functools.partial(stats, binding)
    wrapper.savings = functools.partial(savings, binding)
    wrapper.policy = Policy(binding)
    return dressed(wrapper, form, says_what_self_is=says_what_self_is)


def _verb(binding: ManyBinding, verb: Verb) -> Callable[..., Any]:
    def run(*args: object, **kwargs: object) -> Any:
        bound = binding.bound()
        return binding.run(bound, verb(binding, bound, *args, **kwargs))

    async def arun(*args: object, **kwargs: object) -> Any:
        bound = binding.bound()
        return await binding.arun(bound, verb(binding, bound, *args, **kwargs))

    return arun if binding.decoration.is_async else run


def _invalidate(binding: ManyBinding, bound: Bound, *args: object, **kwargs: object) -> Flow[int]:
    from cachepolicy.flow.many import invalidate_many  # loaded with the first plan

    return invalidate_many(bound.plan, binding.batch(bound, *args, **kwargs))


def _expire(binding: ManyBinding, bound: Bound, *args: object, **kwargs: object) -> Flow[int]:
    from cachepolicy.flow.many import invalidate_many  # loaded with the first plan

    return invalidate_many(bound.plan, binding.batch(bound, *args, **kwargs), purge=False)


def _refresh(binding: ManyBinding, bound: Bound, *args: object, **kwargs: object) -> Flow[object]:
    from cachepolicy.flow.many import renew_many  # loaded with the first plan

    return renew_many(bound.plan, binding.batch(bound, *args, **kwargs))


def _peek(binding: ManyBinding, bound: Bound, *args: object, **kwargs: object) -> Flow[list[object]]:
    from cachepolicy.flow.many import look_many  # loaded with the first plan

    return look_many(bound.plan, binding.batch(bound, *args, **kwargs))


def _keys(binding: ManyBinding, *args: object, **kwargs: object) -> list[str]:
    batch = binding.batch(binding.bound(), *args, **kwargs)
    return [batch.call(at).key for at in range(len(batch.local_keys))]
