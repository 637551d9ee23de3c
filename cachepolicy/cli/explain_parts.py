"""What ``cachepolicy explain`` tells, before it is text or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Value:
    """A setting in effect.

    Attributes:
        path: below the namespace, or ``redis.…``.
        value: as a policy would write it; secrets are not shown.
        origin: ``file``, ``extends``, ``environments.<name>``, ``default`` or ``decorator``.
        file: where it stands; empty: it is built in, or a decorator's.
        line: there.
        column: there.
        variables: that were put in for ``${…}``.
    """

    path: str
    value: str
    origin: str
    file: str = ""
    line: int = 0
    column: int = 0
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """One command.

    Attributes:
        name: of the command.
        script: that it runs; empty: none.
        keys: of the command.
        words: what else there is, as far as it says nothing of what is stored.
    """

    name: str
    script: str
    keys: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked of Redis in one case: a list of commands for each round trip."""

    when: str
    trips: tuple[tuple[Said, ...], ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One decorator, or a namespace by itself, and what a call of it comes to.

    Attributes:
        what: the decorator, or the kind of the namespace.
        namespace: of the policy.
        prefix: what every key of the namespace begins with.
        where: its Redis, without secrets.
        values: in effect, with their places.
        keys: of the call; none where there is no call.
        cases: what a call asks of Redis.
        notes: what else is to be known.
        eviction: what is guaranteed when memory is full.
    """

    what: str
    namespace: str
    prefix: str
    where: str
    values: Sequence[Value]
    eviction: str
    keys: Sequence[str] = ()
    cases: Sequence[Case] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Why two calls have different keys, or the same.

    Attributes:
        same: their keys are equal.
        where: the first argument that differs, as a path: ``messages[1].content``; empty: none does.
        one: what the first call has there: by hash, or, where it is asked for, the value itself.
        other: what the second has.
        why: in words.
    """

    same: bool
    why: str
    where: str = ""
    one: str = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is told.

    Attributes:
        target: what it is about.
        source: of the policy.
        environment: of it; None: none.
        layers: from the outermost in.
        difference: to a second call, where there is one.
    """

    target: str
    source: str
    environment: str | None
    layers: Sequence[Layer]
    difference: Difference | None = field(default=None)
