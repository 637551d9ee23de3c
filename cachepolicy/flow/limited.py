"""A call of a function under limits, from its admission to its settlement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cachepolicy.errors import RateLimitExceeded
from cachepolicy.flow import incidents
from cachepolicy.flow.admitting import Admission, admit, leave, refund, settle, settle_as_estimated
from cachepolicy.flow.effects import Attempt, Flow, call_origin
from cachepolicy.flow.limiter import Claim, Refund
from cachepolicy.telemetry.usage import Usage


class LimitedCall(NamedTuple):
    """One call.

    Attributes:
        function: that is called.
        args: of the call.
        kwargs: of the call.
        claims: what is asked of each rule.
        requests: how many the call counts for.
        most_wait: ms that it would wait for its turn.
        settles: what it uses is known only afterwards.
        usage: says what a result took; None: it does not say.
        streamed: returns what stands in for a result that comes in parts and settles at its end; None: it is
            whole.
    """

    function: Callable[..., Any]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    claims: Sequence[Claim]
    requests: int
    most_wait: int
    settles: bool
    usage: Callable[[object], Usage | None]
    streamed: Callable[[object, Admission], object]


def limited(call: LimitedCall) -> Flow[Attempt | RateLimitExceeded]:
    """Make a call if its limits allow; errors of the function come boxed."""
    try:
        admission = yield from admit(call.claims, call.most_wait, reserve=call.settles)
    except RateLimitExceeded as denied:
        return denied
    try:
        attempt = yield from call_origin(call.function, call.args, call.kwargs)
    except GeneratorExit:
        admission.abandon()
        raise
    except BaseException:  # cancelled: the estimate stands, or hanging up would evade a quota
        yield from leave(admission)
        raise
    if attempt.error is None:
        stream = call.streamed(attempt.value, admission)
        if stream is not None:
            return Attempt(stream)
    yield from _end(call, admission, attempt)
    return attempt


def _end(call: LimitedCall, admission: Admission, attempt: Attempt) -> Flow[None]:
    """Settle a call that has ended, and give its places back."""
    try:
        yield from leave(admission)
    finally:
        yield from _settled(call, admission, attempt)


def _settled(call: LimitedCall, admission: Admission, attempt: Attempt) -> Flow[None]:
    if attempt.error is not None:
        # An interruption is no failure: the model may have gone on.
        if isinstance(attempt.error, Exception) and (call.settles or _gives_all(call.claims)):
            yield from refund(admission)
    elif call.settles:
        yield from conclude(admission, call.requests, _usage(call, attempt.value))


def ended(admission: Admission, requests: int, usage: Usage | None, *, settles: bool) -> Flow[None]:
    """Settle a call whose result came in parts, to what was seen of them, and give its places back."""
    try:
        yield from leave(admission)
    finally:
        if settles:
            yield from conclude(admission, requests, usage)


def conclude(admission: Admission, requests: int, usage: Usage | None) -> Flow[bool]:
    """Settle a call that took so much; where nobody says, the estimate stands."""
    if usage is None or not any(usage[1:]):
        return (yield from settle_as_estimated(admission))
    return (yield from settle(admission, requests, usage))


def _usage(call: LimitedCall, value: object) -> Usage | None:
    try:
        return call.usage(value)
    except Exception as error:  # noqa: BLE001 - a result's own attributes may raise anything: counted
        incidents.bug(call.claims[0].limiter, error)
        return None


def _gives_all(claims: Sequence[Claim]) -> bool:
    return any(claim.limiter.refund is Refund.ALL for claim in claims)
