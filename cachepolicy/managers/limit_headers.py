"""What HTTP says of limits: ``RateLimit-Policy``, ``RateLimit``, ``Retry-After``, and the body of a refusal.

The syntax is that of draft-ietf-httpapi-ratelimit-headers (structured fields, RFC 9651) and of problem
details (RFC 9457). It is told of each limit that a caller can act on:

- A rule in shadow that would have refused is not told of: it holds for nobody yet.
- What was decided without Redis says nothing of what is left: this process does not know.
- Tokens and money have no registered unit; they are told of with ``all_units`` only. ``Retry-After`` and the
  body of a refusal tell of every limit.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cachepolicy.chance import chance
from cachepolicy.flow.decision import Decision, LimitState

QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDUCED_CAPACITY: Final = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
_TOO_MANY_REQUESTS: Final = 429
_UNAVAILABLE: Final = 503
_LARGEST: Final = 999_999_999_999_999  # of an integer in a structured field
_UNITS: Final = {
    "requests": "requests",
    "content-bytes": "content-bytes",
    "concurrency": "concurrent-requests",
}
_UNSAFE: Final = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """A response to a call that was refused.

    Attributes:
        status: 429; 503 where it was decided without Redis: not because of what the caller did.
        headers: of the response.
        body: JSON, of type ``application/problem+json``.
    """

    status: int
    headers: dict[str, str]
    body: bytes


class _Told(NamedTuple):
    """One limit, by the name that all fields call it."""

    name: str
    state: LimitState
    decision: Decision


def limit_headers(
    *decisions: Decision,
    legacy: bool = False,
    all_units: bool = False,
    spread: float = 0.0,
    rng: Callable[[], float] = chance,
) -> dict[str, str]:
    """Return what the headers of a response say of limits, allowed or not.

    Args:
        decisions: of all rules that were asked about the call.
        legacy: add ``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (seconds since the epoch) of the
            limit that is nearest its end.
        all_units: tell of tokens and money too, though their units are not registered.
        spread: add up to this share to ``Retry-After``, so that those who were refused together do not come
            back together.
        rng: returns a number from 0 to 1, for ``spread``.
    """
    told = [one for one in _told(decisions) if all_units or one.state.unit in _UNITS]
    fields = {
        "RateLimit-Policy": ", ".join(map(_policy, told)),
        "RateLimit": ", ".join(map(_service, told)),
    }
    retry = _retry_after(decisions)
    if retry is not None:
        fields["Retry-After"] = str(_whole(retry + int(retry * spread * rng())))
    if legacy:
        fields |= _legacy(told)
    return {name: value for name, value in fields.items() if value}


def limit_refusal(
    *decisions: Decision,
    legacy: bool = False,
    all_units: bool = False,
    spread: float = 0.0,
    rng: Callable[[], float] = chance,
) -> HttpRefusal:
    """Return the response to a call that was refused; arguments as of :func:`limit_headers`.

    Raises:
        ValueError: no decision refuses it.
    """
    refusing = [decision for decision in decisions if not decision.allowed]
    if not refusing:
        raise ValueError("expected a decision that refuses the call")
    headers = limit_headers(*decisions, legacy=legacy, all_units=all_units, spread=spread, rng=rng)
    body: dict[str, object]
    if all(decision.degraded for decision in refusing):
        status = _UNAVAILABLE
        title = "Request cannot be satisfied due to temporary server capacity constraints"
        body = {"type": REDUCED_CAPACITY, "title": title, "status": status}
    else:
        status = _TOO_MANY_REQUESTS
        title = "Request cannot be satisfied as assigned quota has been exceeded"
        names = [one.name for one in _told(decisions) if _refuses(one)]
        body = {"type": QUOTA_EXCEEDED, "title": title, "status": status, "violated-policies": names}
    headers["Content-Type"] = "application/problem+json"
    return HttpRefusal(status, headers, json.dumps(body).encode())


def _told(decisions: Sequence[Decision]) -> Iterator[_Told]:
    """Name each limit that is told of; those of one name are numbered."""
    seen: dict[str, int] = {}
    for decision in decisions:
        if decision.denied_in_shadow or decision.degraded:
            continue
        for state in decision.states:
            name = f"{decision.rule}: {state.name}"
            seen[name] = seen.get(name, 0) + 1
            yield _Told(name if seen[name] == 1 else f"{name} ({seen[name]})", state, decision)


def _refuses(one: _Told) -> bool:
    if one.decision.allowed:
        return False
    if one.state.retry_after is None or one.state.retry_after > 0:
        return True
    return one.state == one.decision.binding


def _policy(one: _Told) -> str:
    parts = [_string(one.name), f"q={_whole(one.state.limit)}"]
    unit = _UNITS.get(one.state.unit, one.state.unit)
    if unit != "requests":
        parts.append(f"qu={_string(unit)}")
    if one.state.window >= 1 and one.state.window == int(one.state.window):
        parts.append(f"w={_whole(one.state.window)}")
    return ";".join(parts)


def _service(one: _Told) -> str:
    parts = [_string(one.name), f"r={_whole(one.state.remaining)}"]
    if one.state.window:
        parts.append(f"t={_whole(math.ceil(one.state.reset_after))}")
    return ";".join(parts)


def _retry_after(decisions: Sequence[Decision]) -> int | None:
    """Return after how many seconds all rules could allow the call; None: never, or it is allowed."""
    waits = [decision.retry_after for decision in decisions if not decision.allowed]
    known = [wait for wait in waits if wait is not None]
    if not known or len(known) < len(waits):
        return None
    return max(1, math.ceil(max(known)))


def _legacy(told: Sequence[_Told]) -> dict[str, str]:
    if not told:
        return {}
    state, decision = min(told, key=_nearness)[1:]
    return {
        "X-RateLimit-Limit": str(_whole(state.limit)),
        "X-RateLimit-Remaining": str(_whole(state.remaining)),
        "X-RateLimit-Reset": str(_whole(math.ceil(decision.now + state.reset_after))),
    }


def _nearness(one: _Told) -> tuple[float, float]:
    retry = one.state.retry_after
    waits = math.inf if retry is None else retry
    return -waits, one.state.remaining / max(1, one.state.limit)


def _whole(number: float) -> int:
    return max(0, min(_LARGEST, int(number)))


def _string(text: str) -> str:
    """Write a string of a structured field: what is not ASCII is written as in a URL."""
    plain = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
