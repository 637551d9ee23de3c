"""Commands as they are told: names and keys, and nothing of what is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from cachepolicy.cli.explain_parts import Case, Layer, Said
from cachepolicy.cli.plain import counted
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.resp import Word

_OPTION: Final = re.compile(r"[A-Za-z]{1,12}|-?[0-9]{1,20}")  # such as PX, NX, or a field of one letter
_PARTS: Final = re.compile(r"([:{}])")
_ALL_KEYS: Final = frozenset({"MGET", "UNLINK", "EXISTS"})


def case(when: str, trips: Sequence[Sequence[Command[Any]]]) -> Case:
    """Tell of what was asked of Redis in one case."""
    return Case(when, tuple(tuple(map(said, trip)) for trip in trips))


def said(command: Command[Any]) -> Said:
    """Tell of a command."""
    name, *words = command.words
    if name == "EVALSHA":
        digest, count, *rest = words
        at = int(count)
        return Said(
            "EVALSHA",
            scripts.name_of(digest),
            tuple(map(str, rest[:at])),
            (counted(len(rest) - at, "argument"),),
        )
    keys = [word for word in words if name in _ALL_KEYS or (command.key and word == command.key)]
    rest = [word for word in words if word not in keys]
    return Said(str(name), "", tuple(map(_text, keys)), tuple(map(_shown, rest)))


def steady(one: Layer, other: Layer) -> Layer:
    """Return a layer as two rehearsals agree on it: what chance chose, in a key, is written as ``…``."""
    cases = [
        Case(mine.when, tuple(map(_agreed, mine.trips, theirs.trips)))
        for mine, theirs in zip(one.cases, other.cases, strict=True)
    ]
    keys = dict.fromkeys(map(_common, one.keys, other.keys))
    return replace(one, keys=tuple(keys), cases=tuple(cases))


def _agreed(mine: tuple[Said, ...], theirs: tuple[Said, ...]) -> tuple[Said, ...]:
    return tuple(
        replace(said, keys=tuple(map(_common, said.keys, other.keys)))
        for said, other in zip(mine, theirs, strict=True)
    )


def _common(mine: str, theirs: str) -> str:
    if mine == theirs:
        return mine
    parts, others = _PARTS.split(mine), _PARTS.split(theirs)
    if len(parts) != len(others):
        return "…"
    return "".join(part if part == other else "…" for part, other in zip(parts, others, strict=True))


def _text(word: Word) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _shown(word: Word) -> str:
    if isinstance(word, bytes):
        return f"({len(word)} bytes)"
    text = str(word)
    return text if _OPTION.fullmatch(text) else "…"
