"""What an error of the function comes from: may something older answer, is the error itself an answer?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """What an error comes from."""

    TRANSIENT = "transient"  # whoever was asked cannot answer now: what is out of date may stand in
    DETERMINISTIC = "deterministic"  # the request itself is refused: the same one is refused again
    AUTH = "auth"  # who asks may not, or does not pay: somebody has to see it, at once and each time
    OTHER = "other"  # the function's own doing


@dataclass(frozen=True, slots=True)
class Failure:
    """What became of a call that raised.

    Attributes:
        kind: what its error comes from.
        retry_after: for how long whoever was asked wants to be left alone, in seconds; 0: it did not say.
    """

    kind: FailureKind
    retry_after: float = 0.0


def any_failure(error: BaseException) -> Failure:
    """Judge an error of a function of which nothing is known: all but an interruption may pass."""
    return Failure(FailureKind.TRANSIENT if isinstance(error, Exception) else FailureKind.OTHER)
