"""What a decorator was told, before any policy is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple

from cachepolicy.keys.signature import Shape
from cachepolicy.runtime.reading import AS_GIVEN, Reader
from cachepolicy.runtime.traits import PLAIN, Traits

Ttl = str | float | timedelta | None
Key = str | Callable[..., object]


@dataclass(frozen=True, slots=True)
class Options:
    """What a decorator was asked for; see ``cached``."""

    namespace: str
    key: Key | None = None
    ttl: Ttl = None
    version: int = 1
    ignore: Sequence[str] = ()
    tags: Sequence[str] = ()
    cache_if: Callable[[Any], object] | None = None
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]] = ()
    over: str | None = None
    traits: Traits = PLAIN
    vary: Sequence[str] = ()
    temperature: float | None = None
    model: str | None = None
    tenant: str | None = None
    user: str | None = None


class Asker(NamedTuple):
    """Where among a call's arguments it stands who asks; None: no argument says so."""

    tenant: int | None = None
    user: int | None = None


NOBODY: Final = Asker()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Decoration:
    """One decorated function.

    Attributes:
        function: as the user wrote it.
        shape: its signature.
        name: ``module.qualname``, for people.
        identity: what tells its entries from another function's.
        is_async: its colour.
        namespace: the policy's namespace.
        version: of its answers.
        ttl: what the decorator asks for; None for the policy's.
        tags: arguments by whose value entries are invalidated, besides those that the policy names.
        cache_if: asks whether a result is to be kept; None where every one is.
        negative: exceptions that are answers, and how long each is kept; None for as long as the policy says.
        ignore: the parameters that make no part of its keys.
        over: the parameter that takes many items, each of which has an entry of its own; None: there is none.
        traits: what is special about its calls.
        reader: says what each of them asks for.
        asker: which arguments say who asks.
        defers: it is a ``def`` whose calls begin nothing: it gives what begins when it is read.
    """

    function: Callable[..., object]
    shape: Shape
    name: str
    identity: str
    is_async: bool
    namespace: str
    version: int
    ttl: str | float | None
    tags: tuple[str, ...] = ()
    cache_if: Callable[[Any], object] | None = None
    negative: Mapping[type[Exception], str | float | None] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    over: str | None = None
    traits: Traits = PLAIN
    reader: Reader = AS_GIVEN
    asker: Asker = NOBODY
    defers: bool = False
