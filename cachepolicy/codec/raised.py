"""Exceptions that are answers: a listed class and plain arguments, stored as data and raised again.

Nothing is imported, and nothing made that nobody names: a stored class name is looked for among the listed
classes and their subclasses, and, where errors are kept that no list names, among those of the SDKs that this
process has loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import ormsgpack

from cachepolicy.codec import status_errors
from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import PLAIN_OPTIONS, Form, Serialized
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue


class Raised(NamedTuple):
    """An exception in a value's place."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Errors:
    """The exceptions that are kept, and for how long each.

    Attributes:
        ttls: by their classes, in seconds.
        judge: takes an exception and what its nearest listed class says, and has the last word.
    """

    ttls: Mapping[type[Exception], float]
    judge: Callable[[BaseException, float | None], float | None] | None = None
    _found: dict[str, type[Exception]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def ttl(self, error: BaseException) -> float | None:
        """Return how long an exception is kept: what its nearest listed class says; None: it is not."""
        listed = next((self.ttls[kind] for kind in type(error).__mro__ if kind in self.ttls), None)
        return listed if self.judge is None else self.judge(error, listed)

    def dump(self, error: Exception) -> Serialized:
        """Serialize an exception.

        Raises:
            UnserializableValue: it would not come back as it was.
        """
        if not status_errors.is_status_error(type(error)):
            return self._dump(error, lambda: [_arguments(error)], _alike)
        try:
            return self._dump(error, lambda: [None, status_errors.describe(error)], status_errors.alike)
        except UnserializableValue:
            whole = partial(status_errors.describe, error, whole=True)
            return self._dump(error, lambda: [None, whole()], status_errors.alike)

    def load(self, payload: bytes) -> Raised:
        """Make a fresh exception of a payload.

        Raises:
            CorruptValue: it names no class that is listed, or one that takes other arguments by now.
        """
        name, arguments, *of_response = ormsgpack.unpackb(payload)
        kind = self._class(name)
        if kind is None:
            raise CorruptValue(Corruption.SCHEMA)
        try:
            made = status_errors.remake(kind, *of_response) if of_response else kind(*arguments)
        except Exception:  # noqa: BLE001 - an exception's constructor is user code
            raise CorruptValue(Corruption.PAYLOAD) from None
        if of_response and self.ttl(made) is None:
            raise CorruptValue(Corruption.SCHEMA)
        return Raised(made)

    def lift(self, payload: bytes) -> object:
        """Raise a fresh exception of a payload: what L1 calls to make a value.

        Raises:
            CorruptValue: as ``load``.
        """
        raise self.load(payload).error

    def _dump(
        self,
        error: Exception,
        describe: Callable[[], list[object]],
        alike: Callable[[Exception, Exception], bool],
    ) -> Serialized:
        try:
            payload = ormsgpack.packb([_name(type(error)), *describe()], None, PLAIN_OPTIONS)
            returns = alike(error, self.load(payload).error)
        except Exception:  # noqa: BLE001 - an exception's constructor is user code
            raise UnserializableValue(_advice(error)) from None
        if not returns:
            raise UnserializableValue(_advice(error))
        return Serialized(Form.ERROR, payload, self.load)

    def _class(self, name: str) -> type[Exception] | None:
        found = self._found.get(name)
        if found is None:
            found = next((kind for kind in self._classes() if _name(kind) == name), None)
            if found is None and self.judge is not None:
                found = status_errors.find(name)
            if found is not None:
                self._found[name] = found
        return found

    def _classes(self) -> Iterator[type[Exception]]:
        waiting, known = list(self.ttls), set[type[Exception]]()
        while waiting:
            kind = waiting.pop()
            if kind not in known:
                known.add(kind)
                yield kind
                waiting += kind.__subclasses__()


def _arguments(error: Exception) -> list[object]:
    """Return what an exception says that it can be made of: more than ``args`` where a file is named."""
    reduced = error.__reduce__()
    has_more = isinstance(reduced, tuple) and reduced[0] is type(error)
    return list(reduced[1] if has_more else error.args)


def _alike(error: Exception, again: Exception) -> bool:
    return (
        type(error) is type(again)
        and same(_arguments(error), _arguments(again))
        and same(_state(error), _state(again))
        and str(error) == str(again)
    )


def _state(error: Exception) -> dict[str, object]:
    """Return what an exception holds besides its arguments, notes left out."""
    reduced = error.__reduce__()
    more = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    held = {**vars(error), **(more if isinstance(more, dict) else {})}
    return {name: value for name, value in held.items() if name != "__notes__"}


def _name(kind: type[object]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _advice(error: Exception) -> str:
    return f"a {_name(type(error))} would not come back as it was; give it arguments of JSON's types only"
