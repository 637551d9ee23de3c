"""What ``cachepolicy check`` finds, over all environments, once each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachepolicy.errors import Problem
from cachepolicy.policy import Provenance
from cachepolicy.policy.lints import Lint, Severity
from cachepolicy.policy.tree import ENVIRONMENTS

INVALID: Final = "invalid"
"""The code of what keeps a policy from being used at all."""
NOT_SEEN: Final = "not-seen"
"""The code of what could not be looked at here."""
NOWHERE: Final = "no environment"
"""What it is called that none applies."""


@dataclass(slots=True)
class Findings:
    """All of one policy; ``where`` says in which environments each was found, None if it is in the text."""

    source: str
    looked: list[str] = field(default_factory=list)
    where: dict[Lint, list[str] | None] = field(default_factory=dict)

    def problems(self, problems: Iterable[Problem]) -> None:
        """Add what keeps the policy from being used."""
        for each in problems:
            place = Provenance(each.file or self.source, max(each.line, 1), max(each.column, 1), "")
            self.where[Lint(INVALID, Severity.ERROR, place, each.path, each.message, "")] = None

    def lints(self, found: Iterable[Lint], environment: str | None) -> None:
        """Add what was found in one environment."""
        name = environment or NOWHERE
        self.looked.append(name)
        for each in found:
            self.where[each] = [*(self.where.get(each) or []), name]

    def servers(self, found: Iterable[Lint]) -> None:
        """Add what the servers of one environment say: it is asked for by itself."""
        self.where.update(dict.fromkeys(found))

    def not_seen(self, environment: str, place: Provenance, problems: Sequence[Problem]) -> None:
        """Add that an environment could not be looked at, for its variables are not set here."""
        path = f"{ENVIRONMENTS}.{environment}"
        reasons = "; ".join(dict.fromkeys(each.message for each in problems))
        remedy = f"check it with --environment {environment} where they are set"
        self.where[Lint(NOT_SEEN, Severity.INFO, place, path, f"not looked over here: {reasons}", remedy)] = (
            None
        )

    def all(self) -> list[tuple[Lint, list[str] | None]]:
        """Return what was found, in the order of the files, and where it is not everywhere."""
        ordered = sorted(self.where, key=_order)
        return [(each, self._somewhere(each)) for each in ordered]

    def _somewhere(self, each: Lint) -> list[str] | None:
        where = self.where[each]
        if where is None or len(where) == len(self.looked):
            return None
        return None if where == [each.path.removeprefix(f"{ENVIRONMENTS}.").partition(".")[0]] else where

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return self._count(Severity.ERROR)

    @property
    def warnings(self) -> int:
        """How many warnings there are."""
        return self._count(Severity.WARNING)

    def _count(self, severity: Severity) -> int:
        return sum(each.severity is severity for each in self.where)


def _order(each: Lint) -> tuple[str, int, int, str, str]:
    return each.place.file, each.place.line, each.place.column, each.code, each.message
