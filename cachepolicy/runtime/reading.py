"""How the calls of one kind of function are read: what they ask for, of all that is passed to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from cachepolicy.keys.signature import Shape
from cachepolicy.telemetry.names import Reason


class Request(NamedTuple):
    """What a call asks for.

    Attributes:
        values: of its arguments, in the order of their names, as they make its key.
        reason: why no entry belongs to it; None: one does.
        by_chance: it asks for an answer that is drawn at random.
    """

    values: Sequence[object]
    reason: Reason | None = None
    by_chance: bool = False


class Reader(Protocol):
    """Reads the calls of one function, beyond what holds for any."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Parameters that make no part of a key, besides those that the decorator names."""
        ...

    @property
    def seed(self) -> tuple[str, ...]:
        """What tells the function's keys apart, besides its identity and version."""
        ...

    @property
    def model(self) -> str:
        """The model that the function asks, a tag of all its entries; empty: its calls say which, or none."""
        ...

    @property
    def is_silent(self) -> bool:
        """Whether no call shows if it asks for chance, and nobody said so."""
        ...

    def read(self, values: Sequence[object]) -> Request:
        """Say what a call asks for; read twice, it says the same."""
        ...


class AsGiven:
    """Reads calls as they are: every argument is part of what they ask for."""

    ignored: tuple[str, ...] = ()
    seed: tuple[str, ...] = ()
    model = ""
    is_silent = False

    def read(self, values: Sequence[object]) -> Request:
        """Say that it asks for what its arguments are."""
        return Request(values)


AS_GIVEN: Final = AsGiven()


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader is made of.

    Attributes:
        function: that is decorated.
        name: of it, for messages.
        shape: its signature.
        vary: what identifies a call although it would not.
        temperature: of all calls, where they do not show one; None: not said.
        model: that the function asks; None: not said.
        tags: parameters that are tags.
        ignore: parameters that make no part of a key.
    """

    function: Callable[..., object]
    name: str
    shape: Shape
    vary: Sequence[str] = ()
    temperature: float | None = None
    model: str | None = None
    tags: Sequence[str] = ()
    ignore: Sequence[str] = ()


def as_given(_: Told) -> Reader:
    """Return what reads the calls of any function."""
    return AS_GIVEN
