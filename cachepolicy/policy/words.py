"""Names: which are allowed, and which one was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

A_NAME: Final = (
    "expected a name of lower-case letters, digits, - and _ that begins with a letter, such as llm"
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def is_name(text: str) -> bool:
    """Tell whether text may name a namespace, an environment, a rule, a plan or a metric."""
    return _NAME.fullmatch(text) is not None


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest valid word, or ``""`` when none is near."""
    near = difflib.get_close_matches(word.lower()[:64], sorted(valid), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown(what: str, word: str, valid: Iterable[str]) -> str:
    """Name what was asked for and there is not: only if it is a slip of the pen, for it may be anybody's.

    >>> unknown("label", "modell", ["model"])
    "label 'modell'; did you mean 'model'?"
    >>> unknown("label", "ann@example.com", ["model"])
    'such label'
    """
    near = did_you_mean(word, valid)
    return f"{what} {word[:64]!r}{near}" if near else f"such {what}"
