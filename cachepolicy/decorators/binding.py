"""A decorated function and its policy: bound on the first call, anew after ``configure()``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachepolicy.decorators.hit_path import compile_wrapper, no_time, nothing, unless_controlled
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.flow.control import NO_CONTROL, Control, current_control
from cachepolicy.keys.canonical import encode, encode_arguments, is_atom, is_plain_class
from cachepolicy.keys.layout import WHOLE, digest, digest_seed, tag_id
from cachepolicy.keys.scope import scope_parts
from cachepolicy.keys.signature import key_values
from cachepolicy.keys.template import compile_template, segment
from cachepolicy.runtime import current
from cachepolicy.runtime.decoration import Decoration, Key
from cachepolicy.telemetry.names import Reason

if TYPE_CHECKING:
    from cachepolicy.flow.answer import Answer
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.plan import Call, Plan
    from cachepolicy.runtime.compose import Engine, Runtime

_UNTAGGED: Final = (WHOLE,)


class Bound(NamedTuple):
    """A plan, the runtime that made it, and what they are run with: loaded with the first plan."""

    runtime: Runtime
    plan: Plan
    engine: Engine
    tags: tuple[tuple[str, int], ...]  # arguments whose values are tags: name, and place among the values


class Binding:
    """What stands behind one decorated function: its keys, its plan, its fast path."""

    def __init__(self, decoration: Decoration, key: Key | None) -> None:
        self.decoration = decoration
        names, name = decoration.shape.names, decoration.name
        self._render = compile_template(key, names, name) if isinstance(key, str) else None
        self._key_function = key if callable(key) else None
        self.has_own_key = key is not None
        ignored = ("ignore", *sorted(decoration.ignore)) if decoration.ignore else ()
        self.seed = digest_seed(decoration.identity, str(decoration.version), *ignored)
        self._bound: Bound | None = None
        self.is_open = False
        miss = self._answer_async if decoration.is_async else self._answer
        self.function, self._point, self.arguments = compile_wrapper(
            decoration.shape, miss, is_async=decoration.is_async
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
            tags = self._tags(now.rule(self.decoration).tags)
            bound = self._bound = Bound(now, now.bind(self.decoration), now.engine, tags)
        plan = bound.plan
        if not self.is_open and plan.local is not None and plan.scope == "global" and not self.has_own_key:
            current.open_fast_path(now, lambda: self._open(plan))
        return bound

    def _tags(self, of_policy: Sequence[str]) -> tuple[tuple[str, int], ...]:
        """Say which arguments are tags; what the policy names may be an argument of other functions only."""
        names = self.decoration.shape.names
        wanted = dict.fromkeys((*of_policy, *self.decoration.tags))
        return tuple((name, names.index(name)) for name in wanted if name in names)

    def _open(self, plan: Plan) -> None:
        lookup = plan.table.get
        self._point(unless_controlled(lookup) if current.is_controlled() else lookup, plan.clock.monotonic)
        self.is_open = True

    def call(self, plan: Plan, *args: object, **kwargs: object) -> Call:
        """Return a call with these arguments.

        Raises:
            UnkeyableArgument: no key can be made of them, or the context does not say who asks.
        """
        values, positional, keywords = self.arguments(*args, **kwargs)
        call, reason = self.known_as(self.bound(), values, positional, keywords)
        if reason is Reason.NO_SCOPE:
            raise self.scopeless(plan)
        return call

    def scopeless(self, plan: Plan) -> UnkeyableArgument:
        """Return what is raised where the context does not say who asks."""
        return UnkeyableArgument(
            f"{self.decoration.name}(): its answers belong to one {plan.scope}; "
            f"say who asks: with scope({plan.scope}=…)"
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
        bound = self.bound()
        runtime, plan, engine, _ = bound
        flow = self._respond(bound, values, args, kwargs)
        return engine.run(flow, runtime.stores.sync_io(plan.site)).take()

    async def _answer_async(
        self, values: Sequence[object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> object:
        bound = self.bound()
        runtime, plan, engine, _ = bound
        flow = self._respond(bound, values, args, kwargs)
        return (await engine.arun(flow, runtime.stores.async_io(plan.site))).take()

    def _respond(
        self,
        bound: Bound,
        values: Sequence[object],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> Flow[Answer]:
        _, plan, engine, _ = bound
        call, reason = self.known_as(bound, values, args, kwargs)
        return engine.respond(plan, call) if reason is None else engine.go_past(plan, call, reason)

    def known_as(
        self,
        bound: Bound,
        values: Sequence[object],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> tuple[Call, Reason | None]:
        """Say what a call is known by, or why by nothing."""
        _, plan, engine, tagged = bound
        make = engine.call
        control = current_control()
        who = () if plan.scope == "global" else scope_parts(plan.scope)
        if who is None:
            return make(None, "", args, kwargs, (), control), Reason.NO_SCOPE
        tags: tuple[bytes, ...] = _UNTAGGED
        if tagged or control.tags:
            tags = self.tag_ids(tagged, values, control)
        if who or self.has_own_key:
            name = (
                plan.prefix
                + "".join(f"{part}:" for part in map(segment, who))
                + self._own_key(values, args, kwargs)
            )
            return make(name, name, args, kwargs, tags, control), None
        encoded = self._encode(values)
        name = f"{plan.prefix}{self.decoration.traits.kind}:{digest(self.seed, encoded)}"
        atoms = None if plan.local is None else self._atoms(values)
        return make(encoded if atoms is None else atoms, name, args, kwargs, tags, control), None

    def tag_ids(
        self, tagged: tuple[tuple[str, int], ...], values: Sequence[object], control: Control
    ) -> tuple[bytes, ...]:
        """Return the tags of a call's answer: its namespace's, its arguments', and those its caller gives."""
        try:
            of_arguments = [tag_id(name, values[at]) for name, at in tagged]
        except UnkeyableArgument as error:
            raise UnkeyableArgument(f"{self.decoration.name}(): tags: {error}") from None
        return (WHOLE, *of_arguments, *(tag_id("", tag) for tag in control.tags))

    def _own_key(
        self, values: Sequence[object], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> str:
        """Return the part of a key after the namespace and the scope."""
        name, version = self.decoration.name, self.decoration.version
        try:
            if self._render is not None:
                return ("" if version == 1 else f"v{version}:") + self._render(values)
            if self._key_function is not None:
                encoded = encode(self._key_function(*args, **kwargs))
                return f"{self.decoration.traits.kind}:{digest(self.seed, encoded)}"
        except UnkeyableArgument as error:
            raise UnkeyableArgument(f"{name}(): key=: {error}") from None
        return f"{self.decoration.traits.kind}:{digest(self.seed, self._encode(values))}"

    def _atoms(self, values: Sequence[object]) -> tuple[object, ...] | None:
        """Return what the fast path looks up, where that identifies the call as exactly as its encoding."""
        shape = self.decoration.shape
        if not shape.atomic:
            return None
        keyed = [values[index] for index in shape.keyed]
        if not all(map(is_atom, keyed[shape.takes_class :])) or (
            shape.takes_class and not is_plain_class(keyed[0])
        ):
            return None
        return (*keyed, *map(type, keyed))

    def _encode(self, values: Sequence[object]) -> bytes:
        shape, name = self.decoration.shape, self.decoration.name
        keyed = key_values(shape, values, name)
        return encode_arguments(tuple(shape.names[index] for index in shape.keyed), keyed, name)
