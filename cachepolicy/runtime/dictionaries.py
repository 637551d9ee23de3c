"""The files of ``compression.dictionary``: read when a policy is put to use, not when it is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cachepolicy.codec import dictionary
from cachepolicy.codec.dictionary import Dictionaries, Dictionary
from cachepolicy.errors import PolicyError, Problem
from cachepolicy.policy import LoadedPolicy, Provenance
from cachepolicy.policy.rules import Compression
from cachepolicy.policy.rules.cache import CacheRule

_NEVER: Final = 2**63  # a threshold that no value reaches


def read_dictionaries(loaded: LoadedPolicy) -> Mapping[str, Dictionaries]:
    """Read the dictionaries of each cache.

    Raises:
        PolicyError: a file cannot be read, or holds none; each is told with its place in the policy.
    """
    problems: list[Problem] = []
    read: dict[str, Dictionaries] = {}
    for name, rule in loaded.policy.namespaces.items():
        if isinstance(rule, CacheRule):
            found = list(_read(loaded, name, rule.compression, problems))
            read[name] = dictionary.together(found, writing=compresses(rule.compression))
    if problems:
        once = {(each.file, each.line, each.column, each.message): each for each in problems}
        raise PolicyError(list(once.values()))  # what namespaces inherit is one mistake
    return read


def changed(before: Mapping[str, Dictionaries], after: Mapping[str, Dictionaries]) -> set[str]:
    """Name the caches whose dictionaries are others, though their files may be called the same."""
    return {
        name
        for name, each in after.items()
        if name in before and list(each.known) != list(before[name].known)
    }


def files(loaded: LoadedPolicy, namespace: str) -> list[tuple[str, Path, Provenance]]:
    """Name a cache's dictionaries: each by its path within the policy, its file, and where it is named.

    A relative path is seen from the folder of the file that it is written in, as those of ``extends`` are.
    """
    rule = loaded.policy.namespaces[namespace]
    names = rule.compression.dictionary if isinstance(rule, CacheRule) else ()
    places = [f"namespaces.{namespace}.compression.dictionary[{number}]" for number in range(len(names))]
    return [
        (place, Path(loaded.provenance[place].file).parent / name, loaded.provenance[place])
        for place, name in zip(places, names, strict=True)
    ]


def compresses(rule: Compression) -> bool:
    """Tell whether values are compressed when they are written."""
    return rule.enabled and rule.codec == "zstd"


def threshold_of(rule: Compression) -> int:
    """Return how long a value must be, in bytes, to be compressed without a dictionary."""
    return rule.threshold if compresses(rule) else _NEVER


def _read(
    loaded: LoadedPolicy, namespace: str, rule: Compression, problems: list[Problem]
) -> Iterator[Dictionary]:
    for path, file, at in files(loaded, namespace):
        try:
            with file.open("rb") as opened:
                yield dictionary.load(opened.read(dictionary.MOST_BYTES + 1), rule.level)
        except OSError as wrong:
            message = f"cannot be read: {wrong.strerror}; a path is seen from the folder of this file"
            problems.append(Problem(at.file, at.line, at.column, path, message))
        except ValueError as wrong:
            problems.append(Problem(at.file, at.line, at.column, path, str(wrong)))
