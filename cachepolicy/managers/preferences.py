"""``Preferences``: what users prefer, by path."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cachepolicy.errors import PolicyError
from cachepolicy.managers.preference_paths import Tree, are_torn, below, check_path, leaves
from cachepolicy.managers.user_ids import user_of
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.managers.preferring import Desk, Preferred
    from cachepolicy.runtime.compose import Runtime

T = TypeVar("T")

_NOTHING: Final[Mapping[str, object]] = {}


class Preferences:
    """What users prefer, over what the policy's ``preferences: {defaults}`` say.

    A preference stands under a path such as ``ui.theme``, and is text, a number, a boolean, None, or a list.
    Each verb is awaited, or run in this thread by ``.sync``.

    Every verb raises:
        StoreError: Redis cannot be asked; CallDenied where the namespace says ``on_fault: deny``.
        UnknownNamespace: the policy does not declare it.
        PolicyError: the namespace is of another kind than ``sessions``, or a path is none.
        UnkeyableArgument: the user is neither text nor a whole number.
        CorruptValue: what is stored was altered, or cannot be decrypted.
    """

    def __init__(self, namespace: str = "sessions") -> None:
        self.namespace: Final = namespace

    def __repr__(self) -> str:
        return f"Preferences({self.namespace!r})"

    @verb
    def get(self, user: str | int) -> Work[Tree]:
        """Return all that holds for a user, nested: ``{"ui": {"theme": "dark"}}``; it is the caller's own."""
        runtime, desk = self._desk(user, "get")
        return self._work(runtime, desk, "get_preferences", _values(desk))

    @verb
    def get_path(self, user: str | int, path: str, default: object = None) -> Work[Any]:
        """Return what holds for a user under one path, nested where others are below it; else ``default``."""
        path = check_path(path, f"{self!r}.get_path")
        runtime, desk = self._desk(user, "get_path")
        return self._work(runtime, desk, "get_preferences", _below(desk, path, default))

    @verb
    def read(self, user: str | int) -> Work[Preferred]:
        """Return all that holds for a user, and its version, for a change that must not overlook another."""
        runtime, desk = self._desk(user, "read")
        return self._work(runtime, desk, "get_preferences", desk.read())

    @verb
    def set(
        self,
        user: str | int,
        changes: Mapping[str, object] = _NOTHING,
        *,
        remove: Iterable[str] = (),
        if_version: int | None = None,
    ) -> Work[int]:
        """Change some preferences, all of them or none; others stay, whoever changes them at the same time.

        Args:
            user: whose.
            changes: values by path; a mapping as a value stands for paths below.
            remove: paths that fall back to the policy's defaults, with all below them; before ``changes``.
            if_version: of ``read``; nothing is changed where somebody did since. None: whatever is there.

        Returns:
            The version that is there now; 0: nothing is left that was chosen.

        Raises:
            TooLarge: more than ``max_fields`` or ``max_bytes``; nothing was changed.
            Conflict: ``if_version`` is no longer what is there.
            UnserializableValue: a value would not come back as it was.
        """
        who = f"{self!r}.set"
        flat: dict[str, object] = {}
        for path, value in leaves(changes, who):
            if path in flat:
                raise PolicyError(f"{who}: a path is there twice")
            flat[path] = value
        gone = list(dict.fromkeys(check_path(path, who) for path in paths_of(remove)))
        if not is_version(if_version):
            raise PolicyError(f"{who}: if_version: expected the version of what was read")
        runtime, desk = self._desk(user, "set")
        self._check(desk, flat)
        return self._work(runtime, desk, "set_preferences", desk.change(flat, gone, if_version))

    @verb
    def increment(self, user: str | int, path: str, by: float = 1) -> Work[int | float]:
        """Add to a number, which is 0 or the policy's default at first; none of many at once is lost.

        Returns:
            The sum.

        Raises:
            TooLarge: see ``set``.
            Conflict: others changed it again and again meanwhile.
            PolicyError: what stands there is no number.
        """
        who = f"{self!r}.increment"
        path = check_path(path, who)
        if not is_amount(by):
            raise PolicyError(f"{who}: by: expected a number")
        runtime, desk = self._desk(user, "increment")
        self._check(desk, {path: by})
        return self._work(runtime, desk, "set_preferences", desk.increment(path, by))

    @verb
    def reset(self, user: str | int) -> Work[bool]:
        """Forget all that a user chose; tells whether that was anything."""
        runtime, desk = self._desk(user, "reset")
        return self._work(runtime, desk, "reset_preferences", desk.forget())

    def _desk(self, user: object, name: str) -> tuple[Runtime, Desk]:
        from cachepolicy.managers.preferring import desk  # loaded with the first policy

        runtime = current.current()
        who = f"{self!r}.{name}"
        return runtime, desk(runtime, self.namespace, user_of(user, who), who)

    def _work(self, runtime: Runtime, desk: Desk, name: str, flow: Flow[T]) -> Work[T]:
        return Work(runtime, desk.records.site, desk.records.watched(name, flow))

    def _check(self, desk: Desk, changes: Mapping[str, object]) -> None:
        defaults = desk.records.rule.preferences.defaults
        if any(are_torn(path, defaults) for path in changes):
            raise PolicyError(
                f"{desk.who}: a path cannot have a value and others below it: a default of the policy does"
            )


def _values(desk: Desk) -> Flow[Tree]:
    return (yield from desk.read()).values


def _below(desk: Desk, path: str, default: object) -> Flow[Any]:
    return below((yield from desk.read()).values, path, default)


def paths_of(remove: Iterable[str]) -> Iterable[str]:
    """Return the paths to be removed; a text is one, not so many letters."""
    return (remove,) if isinstance(remove, str) else remove


def is_amount(by: object) -> bool:
    """Tell whether that can be added to a number."""
    return type(by) is int or (type(by) is float and math.isfinite(by))


def is_version(version: object) -> bool:
    """Tell whether that is what ``read`` returns as a version, or None."""
    return version is None or (type(version) is int and version >= 0)
