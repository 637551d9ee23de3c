"""What a call is known by: its key in L1, its key in Redis, its tags; or why it is known by nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from cachepolicy.decorators.bound import Bound, Tagged
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.flow.control import Control, current_control
from cachepolicy.keys.canonical import encode, encode_arguments, is_atom, is_plain_class
from cachepolicy.keys.layout import WHOLE, digest, digest_seed, tag_id, variant_key
from cachepolicy.keys.scope import scope_parts
from cachepolicy.keys.signature import key_values
from cachepolicy.keys.template import compile_template, segment
from cachepolicy.runtime.decoration import NOBODY, Decoration, Key
from cachepolicy.runtime.reading import AS_GIVEN
from cachepolicy.telemetry.names import Reason

if TYPE_CHECKING:
    from cachepolicy.flow.plan import Call

Values = Sequence[object]
"""Of a call's arguments, in the order of their names."""

_UNTAGGED: Final = (WHOLE,)


class CallKeys:
    """Makes the keys of one decorated function's calls.

    Args:
        decoration: of the function.
        key: what identifies a call, if not all its arguments.
    """

    def __init__(self, decoration: Decoration, key: Key | None) -> None:
        self.decoration = decoration
        names, name = decoration.shape.names, decoration.name
        self._render = compile_template(key, names, name) if isinstance(key, str) else None
        self._key_function = key if callable(key) else None
        self.has_own = key is not None
        ignored = ("ignore", *sorted(decoration.ignore)) if decoration.ignore else ()
        self._reader = reader = decoration.reader
        self.seed = digest_seed(decoration.identity, str(decoration.version), *ignored, *reader.seed)
        self._fixed_tags = (tag_id("model", reader.model),) if reader.model else ()

    def tagged(self, of_policy: Sequence[str]) -> tuple[Tagged, ...]:
        """Say which arguments are tags; what the policy names may be an argument of other functions only."""
        shape = self.decoration.shape
        wanted = dict.fromkeys((*of_policy, *self.decoration.tags))
        found = [Tagged(name, shape.names.index(name) if name in shape.names else None) for name in wanted]
        return tuple(each for each in found if each.at is not None or shape.rest is not None)

    def known_as(
        self, bound: Bound, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[Call, Reason | None]:
        """Say what a call is known by, or why by nothing.

        Raises:
            UnkeyableArgument: no key can be made of its arguments.
            PolicyError: ``control(variant=…)`` asks for one that is not kept.
        """
        call, reason, is_drawn = self._known_as(bound, values, args, kwargs)
        if is_drawn:
            number = bound.sampling.draw(call.key, call.control, bound.plan.random)
            call = _variant(call, number)
        return call, reason

    def all_known_as(
        self, bound: Bound, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[list[Call], Reason | None]:
        """Say what all answers to a call are known by; of several, one alone where it is chosen.

        Returns nothing where it is known by nothing, and why; errors as of ``known_as``.
        """
        call, reason, is_drawn = self._known_as(bound, values, args, kwargs)
        if not is_drawn:
            return [call] if call.key else [], reason
        if call.control.variant is not None or call.control.seed is not None:
            return [_variant(call, bound.sampling.draw(call.key, call.control, bound.plan.random))], reason
        return [_variant(call, number) for number in range(bound.sampling.variants or 1)], reason

    def _known_as(
        self, bound: Bound, values: Values, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> tuple[Call, Reason | None, bool]:
        """Say also whether there are several answers, of which one is to be drawn."""
        _, plan, engine, tagged, sampling, _ = bound
        make = engine.call
        control = current_control()
        who = () if plan.scope == "global" else self._who(plan.scope, values)
        if who is None:
            return make(None, "", args, kwargs, (), control), Reason.NO_SCOPE, False
        asked, by_chance = values, False
        if self._reader is not AS_GIVEN:
            asked, refusal, by_chance = self._reader.read(values)
            if refusal is not None:
                return make(None, "", args, kwargs, (), control), refusal, False
        tags: tuple[bytes, ...] = _UNTAGGED
        if tagged or control.tags or self._fixed_tags:
            tags = self.tag_ids(tagged, values, control)
        if who or self.has_own:
            name = (
                plan.prefix
                + "".join(f"{part}:" for part in map(segment, who))
                + self._own(asked, args, kwargs, plan.scope)
            )
            tenant = None if (at := self.decoration.asker.tenant) is None else self._asker(values, at)
            call = make(name, name, args, kwargs, tags, control, tenant)
        else:
            encoded = self._encode(asked, plan.scope)
            name = f"{plan.prefix}{self.decoration.traits.kind}:{digest(self.seed, encoded)}"
            atoms = None if plan.local is None else self._atoms(asked)
            call = make(encoded if atoms is None else atoms, name, args, kwargs, tags, control)
        reason = None if sampling.keeps or not by_chance else Reason.SAMPLING
        return call, reason, by_chance and sampling.variants is not None

    def _who(self, scope: str, values: Sequence[object]) -> tuple[str, ...] | None:
        """Return what the key begins with; None: neither the call nor its context says who asks."""
        tenant, user = (None if at is None else self._asker(values, at) for at in self.decoration.asker)
        return scope_parts(scope, tenant=tenant, user=user)

    def _asker(self, values: Sequence[object], at: int) -> str | None:
        value = values[at]
        if value is None or type(value) is str:
            return value
        name, kind = self.decoration.shape.names[at], type(value).__qualname__
        raise UnkeyableArgument(
            f"{self.decoration.name}(): parameter {name!r} says who asks: expected a str, not a {kind}"
        )

    def tag_ids(
        self, tagged: tuple[Tagged, ...], values: Sequence[object], control: Control
    ) -> tuple[bytes, ...]:
        """Return the tags of a call's answer: its namespace's, its arguments', and those its caller gives."""
        tags = [WHOLE, *self._fixed_tags]
        try:
            for name, at in tagged:
                if at is not None:
                    tags.append(tag_id(name, values[at]))
                elif name in (rest := self._rest(values)):
                    tags.append(tag_id(name, rest[name]))
        except UnkeyableArgument as error:
            raise UnkeyableArgument(f"{self.decoration.name}(): tags: {error}") from None
        if control.tags:
            tags += [tag_id("", tag) for tag in control.tags]
        return tuple(tags)

    def _rest(self, values: Sequence[object]) -> Mapping[str, object]:
        """Return the arguments that no parameter has the name of."""
        rest = self.decoration.shape.rest
        return {} if rest is None else values[rest]  # type: ignore[return-value] # **

    def _own(
        self, values: Sequence[object], args: tuple[object, ...], kwargs: Mapping[str, object], scope: str
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
        return f"{self.decoration.traits.kind}:{digest(self.seed, self._encode(values, scope))}"

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

    def _encode(self, values: Values, scope: str) -> bytes:
        shape, name = self.decoration.shape, self.decoration.name
        keyed = key_values(shape, values, name)
        names = tuple(shape.names[index] for index in shape.keyed)
        asker = self.decoration.asker
        if asker is not NOBODY and scope != "global":
            said = asker[: 1 if scope == "tenant" else 2]  # the key begins with it
            kept = [at for at, index in enumerate(shape.keyed) if index not in said]
            names, keyed = tuple(names[at] for at in kept), [keyed[at] for at in kept]
        return encode_arguments(names, keyed, name)


def _variant(call: Call, number: int) -> Call:
    """Return a call that one of several answers belongs to; what the fast path looks up is none of them."""
    name = variant_key(call.key, number)
    return call._replace(local_key=name, key=name)
