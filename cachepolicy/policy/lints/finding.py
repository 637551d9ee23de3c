"""What a lint says, and what it looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from cachepolicy.policy.effective import LoadedPolicy
from cachepolicy.policy.rules import NamespaceRule, Policy
from cachepolicy.policy.tree import BUILT_IN, Provenance, layered

R = TypeVar("R")


class Severity(StrEnum):
    """How bad it is, the worst first."""

    ERROR = "error"
    """It cannot work as it says."""
    WARNING = "warning"
    """It works, and will probably surprise."""
    INFO = "info"
    """Worth knowing."""


WORST_FIRST: Final = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Lint:
    """One finding in a policy that is valid.

    ``code`` is its name, ``path`` the setting it is about as the file has it, ``place`` where that stands,
    ``message`` what is wrong, ``remedy`` how to mend it. Nothing in it is secret.
    """

    code: str
    severity: Severity
    place: Provenance
    path: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Look:
    """A policy to look at, with the places of its settings."""

    loaded: LoadedPolicy

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self.loaded.policy

    def of_kind(self, kind: type[R]) -> Iterator[tuple[str, str, R]]:
        """Go through the namespaces of a kind: each by its name, its path, its rule."""
        for name, rule in self.policy.namespaces.items():
            if isinstance(rule, kind):
                yield name, f"namespaces.{name}", rule

    def namespaces(self) -> Iterator[tuple[str, str, NamespaceRule]]:
        """Go through all namespaces."""
        for name, rule in self.policy.namespaces.items():
            yield name, f"namespaces.{name}", rule

    def place(self, path: str) -> Provenance:
        """Say where a setting stands; of one that is built in, where that which it belongs to does."""
        while path:
            at = self.loaded.provenance.get(path, BUILT_IN)
            if at.via != BUILT_IN.via:
                return at
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return Provenance(self.loaded.source, 1, 1, "file")

    def is_said(self, path: str) -> bool:
        """Tell whether the file says a setting, or the value is built in."""
        return self.loaded.provenance.get(path, BUILT_IN).via != BUILT_IN.via

    def lint(
        self, code: str, path: str, message: str, remedy: str, *, severity: Severity = Severity.WARNING
    ) -> Lint:
        """Make a finding about a setting."""
        at = self.place(path)
        return Lint(code, severity, at, layered(at, path), message, remedy)
