"""How preferences of a namespace are read and changed: the flows behind ``Preferences``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cachepolicy.errors import (
    Conflict,
    Corruption,
    CorruptValue,
    PolicyError,
    TooLarge,
    UnserializableValue,
)
from cachepolicy.flow.effects import Flow
from cachepolicy.keys.layout import preferences_key
from cachepolicy.managers.preference_paths import Tree, tree_of
from cachepolicy.policy.rules import SessionsRule
from cachepolicy.runtime.compose import Runtime
from cachepolicy.runtime.records import Records
from cachepolicy.tiers import preferences
from cachepolicy.tiers.commands import unlink
from cachepolicy.tiers.preferences import Came, Caps, Changed, Chosen

_ATTEMPTS: Final = 256  # to count, beside others who count the same


@dataclass(frozen=True, slots=True)
class Preferred:
    """What a user prefers.

    Attributes:
        values: nested, with what the policy says of all that was not chosen.
        version: of what was chosen, for ``if_version``; 0: nothing was.
    """

    values: Tree = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True)
class Desk:
    """The preferences of one user.

    Attributes:
        records: the namespace.
        key: where they are.
        who: asks, for messages.
    """

    records: Records[SessionsRule]
    key: str
    who: str

    @property
    def caps(self) -> Caps:
        """How much the user may prefer."""
        rule = self.records.rule.preferences
        return Caps(
            rule.max_fields, rule.max_bytes, 0 if rule.ttl is None else max(1, round(rule.ttl * 1000))
        )

    def read(self) -> Flow[Preferred]:
        """Return all that holds for the user."""
        chosen: Chosen = yield from self.records.ask(preferences.read(self.key, self.caps))
        values = {path: self._opened(path, value) for path, value in chosen.values.items()}
        return Preferred(tree_of(self.records.rule.preferences.defaults, values), chosen.version)

    def change(self, changes: Mapping[str, object], removed: Sequence[str], version: int | None) -> Flow[int]:
        """Change some paths, or none; returns the version that is there then."""
        sealed = {path: self._sealed(path, value) for path, value in changes.items()}
        self._fits(sealed)
        told = yield from self.records.ask(
            preferences.change(self.key, self.caps, sealed, removed, version=version)
        )
        return self._done(told).version

    def increment(self, path: str, by: float) -> Flow[int | float]:
        """Add to a number, however many others do so too; returns the sum."""
        former = (yield from self.records.ask(preferences.read(self.key, self.caps))).values.get(path, b"")
        for _ in range(_ATTEMPTS):
            number = (
                self._opened(path, former) if former else self.records.rule.preferences.defaults.get(path, 0)
            )
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise PolicyError(f"{self.who}: what stands there is no number")
            try:
                total = number + by
            except OverflowError:
                raise PolicyError(f"{self.who}: the sum is no number that can be told") from None
            sealed = {path: self._sealed(path, total)}
            self._fits(sealed)
            told = yield from self.records.ask(
                preferences.change(self.key, self.caps, sealed, instead_of=former)
            )
            if told.came is not Came.OTHER_VALUE:
                self._done(told)
                return total
            former = told.value
        raise Conflict(f"{self.who}: others changed it {_ATTEMPTS} times meanwhile")

    def forget(self) -> Flow[bool]:
        """Forget all that the user chose; tells whether that was anything."""
        return (yield from self.records.ask(unlink(self.key)))

    def _done(self, told: Changed) -> Changed:
        match told.came:
            case Came.DONE:
                return told
            case Came.TOO_MANY | Came.TOO_LARGE:
                raise self._too_large()
            case Came.TORN:
                raise PolicyError(
                    f"{self.who}: a path cannot have a value and others below it: remove what is in the way"
                )
            case Came.OTHER_VERSION | Came.OTHER_VALUE:
                raise Conflict(f"{self.who}: somebody changed them since they were read")

    def _fits(self, sealed: Mapping[str, bytes]) -> None:
        """Refuse what can never fit before it is sent."""
        caps = self.caps
        if len(sealed) > caps.fields or sum(map(len, sealed.values())) > caps.size:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        caps = self.caps
        return TooLarge(
            f"{self.who}: a user's preferences are {caps.fields} paths and {caps.size} bytes at most; "
            "nothing was changed"
        )

    def _sealed(self, path: str, value: object) -> bytes:
        written = _written(value, self.who)
        if len(written) > self.caps.size:  # however well it can be compressed: it could not be read
            raise self._too_large()
        return self.records.sealer.seal(written, f"{self.key} {path}")

    def _opened(self, path: str, sealed: bytes) -> Any:
        try:
            return _read(self.records.sealer.unseal(sealed, f"{self.key} {path}"))
        except CorruptValue as refused:
            self.records.counters.errors[f"corrupt.{refused.reason}"] += 1
            raise


def desk(runtime: Runtime, namespace: str, user: str | int, who: str) -> Desk:
    """Return the preferences of a user; errors name ``who`` asks.

    Raises:
        UnknownNamespace: the policy does not declare the namespace.
        PolicyError: it is of another kind than ``sessions``.
    """
    records = runtime.archive.records(namespace, SessionsRule, who)
    return Desk(records, preferences_key(records.prefix, user), who)


def _written(value: object, who: str) -> bytes:
    """Return a value as JSON, if it comes back as it was."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if _is_same(json.loads(text), value):
            return text.encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError):
        pass
    raise UnserializableValue(
        f"{who}: a {type(value).__name__} cannot be kept: a preference is text, a number, a boolean, None, "
        "or a list of such, or of mappings by text"
    )


def _is_same(read: object, value: object) -> bool:
    """Tell whether two values are the same, of the same types: 1 is neither True nor 1.0."""
    if type(read) is not type(value):
        return False
    if isinstance(read, list) and isinstance(value, list):
        return len(read) == len(value) and all(map(_is_same, read, value))
    if isinstance(read, dict) and isinstance(value, dict):
        return read.keys() == value.keys() and all(_is_same(read[name], value[name]) for name in read)
    return read == value


def _read(payload: bytes) -> Any:
    try:
        return json.loads(payload.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise CorruptValue(Corruption.PAYLOAD) from None
