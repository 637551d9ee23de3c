"""What a model's answer took, in tokens: small enough to lie beside it in both tiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

_TYPES: Final = (str, int, int, int, int)
_FACT: Final = "usage"  # its name among the small facts that a stored value carries


class Usage(NamedTuple):
    """The tokens of one answer.

    Attributes:
        model: that gave it; empty where nobody said.
        input: all tokens of the request, those from the provider's own cache included.
        output: all tokens of the answer, reasoning included.
        cached_input: those of ``input`` that the provider had in its cache.
        cache_write: those of ``input`` that it wrote there.
    """

    model: str
    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write: int = 0


def facts(usage: Usage | None) -> dict[str, object]:
    """Return usage as the small facts of a stored value."""
    return {} if usage is None else {_FACT: list(usage)}


def usage_in(metadata: Mapping[str, object]) -> Usage | None:
    """Return the usage among small facts; None where there is none that can be one."""
    found = metadata.get(_FACT)
    if type(found) is not list or tuple(map(type, found)) != _TYPES or min(found[1:]) < 0:
        return None
    return Usage(*found)
