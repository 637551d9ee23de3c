"""What a runtime takes over from the one whose place it takes: all that nothing has changed for.

========= ==================================================================================================
kept      nothing that the namespace depends on differs: it goes on as it is, opened things and all
warm      it differs, and what it keeps is still good: L1 and what is known of subjects go on under new rules
neither   it begins anew
========= ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeVar

from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.diff import Change
from cachepolicy.policy.judges import Effect
from cachepolicy.policy.rules import Policy

K = TypeVar("K", bound=str | tuple[object, ...])
V = TypeVar("V")

_BY_ITSELF: Final = frozenset({"version", "namespaces", "defaults", "health", "lint", "reload"})
"""Settings at the top that no namespace depends on as they are; ``defaults`` are seen in each."""


@dataclass(frozen=True, slots=True)
class Heritage:
    """Which namespaces go on.

    Attributes:
        kept: as they are.
        warm: under other rules.
    """

    kept: AbstractSet[str] = frozenset()
    warm: AbstractSet[str] = frozenset()

    def but(self, namespaces: AbstractSet[str]) -> Heritage:
        """Return the same without some namespaces."""
        return Heritage(self.kept - namespaces, self.warm - namespaces)

    def of(self, opened: Mapping[K, V]) -> dict[K, V]:
        """Return what was opened for those that are kept; a key is a namespace's name, or begins with it."""
        return {
            key: part
            for key, part in list(opened.items())
            if (key if isinstance(key, str) else key[0]) in self.kept
        }


NOTHING: Final = Heritage()


def heritage(before: LoadedPolicy, after: LoadedPolicy, changes: Sequence[Change]) -> Heritage:
    """Say which namespaces go on.

    Args:
        before: what is in use.
        after: what takes its place.
        changes: that lie between.
    """
    old, new = before.policy, after.policy
    shared = {name for name in new.namespaces if name in old.namespaces}
    is_same_around = all(
        getattr(old, name) == getattr(new, name) for name in Policy.model_fields if name not in _BY_ITSELF
    )
    kept = {name for name in shared if is_same_around and old.namespaces[name] == new.namespaces[name]}
    cold = {change.path for change in changes if change.effect is not Effect.LIVE}
    if "app" in cold:
        return NOTHING
    begun_anew = {path.split(".")[1] for path in cold if path.startswith("namespaces.")}
    return Heritage(frozenset(kept), frozenset(shared - kept - begun_anew))
