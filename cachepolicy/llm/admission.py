"""Which answers of language models are worth keeping, and which streams came to an end that is.

The findings themselves are in ``answers`` and ``chunks``; here the policy says which of them keep one out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from cachepolicy.llm.answers import findings
from cachepolicy.llm.chunks import has_ended, stream_findings
from cachepolicy.telemetry.names import Reason

if TYPE_CHECKING:  # loaded with the first policy
    from cachepolicy.policy.rules.cache import Admit

T = TypeVar("T")


def judge(admit: Admit) -> Callable[[object], Reason | None]:
    """Return what says why an answer is not to be kept; None where it is."""
    return _first_of(findings, _kept_out(admit))


def judge_stream(admit: Admit) -> Callable[[Sequence[object]], Reason | None]:
    """Return what says the same of a stream that was read to its end, by its chunks.

    One without a proper end was cut off, whatever the policy says of answers that were.
    """
    reason = _first_of(stream_findings, _kept_out(admit))
    return lambda chunks: reason(chunks) if has_ended(chunks) else Reason.TRUNCATED


def _kept_out(admit: Admit) -> frozenset[Reason]:
    admitted = {
        Reason.TRUNCATED: admit.truncated,
        Reason.FILTERED: admit.filtered,
        Reason.REFUSED: admit.refused,
        Reason.EMPTY: admit.empty,
        Reason.FAILED: admit.failed,
    }
    return frozenset(reason for reason, kept in admitted.items() if not kept)


def _first_of(
    findings: Callable[[T], Iterator[Reason]], kept_out: frozenset[Reason]
) -> Callable[[T], Reason | None]:
    def reason(answer: T) -> Reason | None:
        return next((found for found in findings(answer) if found in kept_out), None)

    return reason
