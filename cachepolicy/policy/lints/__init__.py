"""What is valid in a policy, and probably not meant: found by looking at the policy, and at nothing else.

::

    finding.py      what a finding says, and what lints look at
    servers.py      who shares a Redis, what it may evict, who can listen
    caches.py       times that do not fit together, answers that are shared, waste
    others.py       limits that do not hold, sessions, what is told, secrets

A lint is a function of a :class:`Look` that yields findings. Its code is named in ``rules/linting.py``, so
that ``lint: {ignore: [...]}`` knows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cachepolicy.policy.effective import LoadedPolicy
from cachepolicy.policy.lints import caches, others, servers
from cachepolicy.policy.lints.finding import Lint, Look, Severity
from cachepolicy.policy.rules import Policy
from cachepolicy.policy.tree import ENVIRONMENTS

__all__ = ["Lint", "Look", "Severity", "empty_environment", "heard", "lint"]

_LINTS: Final = (*servers.LINTS, *caches.LINTS, *others.LINTS)


def lint(loaded: LoadedPolicy) -> tuple[Lint, ...]:
    """Look a policy over.

    Args:
        loaded: the policy, in one environment.

    Returns:
        All findings that it does not say are meant, in the order of the file.
    """
    look = Look(loaded)
    return heard(loaded.policy, (finding for find in _LINTS for finding in find(look)))


def empty_environment(loaded: LoadedPolicy) -> tuple[Lint, ...]:
    """Find that the environment of a policy says nothing."""
    path = f"{ENVIRONMENTS}.{loaded.environment}"
    if loaded.environment is None or any(place.via == path for place in loaded.provenance.values()):
        return ()
    place = loaded.environments[loaded.environment]
    message, remedy = "says nothing: what holds without it holds in it", "say what differs, or take it away"
    return heard(loaded.policy, [Lint("empty-environment", Severity.INFO, place, path, message, remedy)])


def heard(policy: Policy, findings: Iterable[Lint]) -> tuple[Lint, ...]:
    """Leave out the findings that a policy says are meant, and sort the others by their places."""
    left = [each for each in findings if not _is_meant(policy, each)]
    return tuple(
        sorted(left, key=lambda each: (each.place.file, each.place.line, each.place.column, each.code))
    )


def _is_meant(policy: Policy, finding: Lint) -> bool:
    # paths of an environment's own lines begin with its name, and are meant all the same
    path = finding.path.removeprefix(f"{finding.place.via}.")
    return any(
        ignored.code == finding.code and (ignored.at is None or _is_below(path, ignored.at))
        for ignored in policy.lint.ignore
    )


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))
