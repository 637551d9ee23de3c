"""Exceptions that are answers: a listed class and plain arguments, stored as data and raised again.

Nothing is imported or made that the code or the policy does not name: a stored class name is looked for among
the listed classes and their subclasses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import ormsgpack

from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import PLAIN_OPTIONS, Form, Serialized
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue


class Raised(NamedTuple):
    """An exception in a value's place."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Errors:
    """The classes of exceptions that are kept, and for how long each, in seconds."""

    ttls: Mapping[type[Exception], float]

    def ttl(self, error: BaseException) -> float | None:
        """Return how long an exception is kept: what its nearest listed class says; None: it is not."""
        return next((self.ttls[kind] for kind in type(error).__mro__ if kind in self.ttls), None)

    def dump(self, error: Exception) -> Serialized:
        """Serialize an exception.

        Raises:
            UnserializableValue: it would not come back as it was.
        """
        try:
            payload = ormsgpack.packb([_name(type(error)), list(error.args)], None, PLAIN_OPTIONS)
            (again,) = self.load(payload)
        except Exception:  # noqa: BLE001 - an exception's constructor is user code
            raise UnserializableValue(_advice(error)) from None
        state, state_again = vars(error).copy(), vars(again).copy()
        state.pop("__notes__", None)
        if not (same(list(error.args), list(again.args)) and same(state, state_again)):
            raise UnserializableValue(_advice(error))
        return Serialized(Form.ERROR, payload, self.load)

    def load(self, payload: bytes) -> Raised:
        """Make a fresh exception of a payload.

        Raises:
            CorruptValue: it names no class that is listed.
        """
        name, arguments = ormsgpack.unpackb(payload)
        for kind in self._classes():
            if _name(kind) == name:
                return Raised(kind(*arguments))
        raise CorruptValue(Corruption.SCHEMA)

    def lift(self, payload: bytes) -> object:
        """Raise a fresh exception of a payload: what L1 calls to make a value."""
        raise self.load(payload).error

    def _classes(self) -> Iterator[type[Exception]]:
        waiting, known = list(self.ttls), set[type[Exception]]()
        while waiting:
            kind = waiting.pop()
            if kind not in known:
                known.add(kind)
                yield kind
                waiting += kind.__subclasses__()


def _name(kind: type[object]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _advice(error: Exception) -> str:
    return f"a {_name(type(error))} would not come back as it was; give it arguments of JSON's types only"
