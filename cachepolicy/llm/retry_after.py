"""For how long a provider wants to be left alone, as the headers of its answer say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from cachepolicy.clock import SYSTEM

LONGEST: Final = 600.0
"""Seconds: a header that asks for more, such as one of a daily quota, is not taken at its word for longer."""
_TOO_MANY: Final = 429
_LIMITS: Final = ("requests", "tokens")
_SPANS: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def retry_after(headers: Mapping[str, object], status: int | None) -> float | None:
    """Return for how long, in seconds, at most ``LONGEST``; None where the headers do not say.

    ``retry-after-ms``, then ``retry-after`` (seconds, or a date, read against the server's own), then, with
    status 429, the latest reset of the limits of which nothing remains.

    Args:
        headers: of the response, found by lower-case names.
        status: of the response.
    """
    told = _number(headers, "retry-after-ms", 0.001)
    if told is None:
        told = _number(headers, "retry-after", 1.0)
    if told is None:
        told = _until_date(headers)
    if told is None and status == _TOO_MANY:
        told = _until_reset(headers)
    return None if told is None else min(max(told, 0.0), LONGEST)


def _text(headers: Mapping[str, object], name: str) -> str:
    value = headers.get(name)
    return value.strip() if isinstance(value, str) else ""


def _number(headers: Mapping[str, object], name: str, unit: float) -> float | None:
    try:
        number = float(_text(headers, name))
    except ValueError:
        return None
    return number * unit if math.isfinite(number) else None


def _until_date(headers: Mapping[str, object]) -> float | None:
    until = _date(headers, "retry-after")
    if until is None:
        return None
    now = _date(headers, "date")
    return until.timestamp() - (SYSTEM.wall() if now is None else now.timestamp())


def _date(headers: Mapping[str, object], name: str) -> datetime | None:
    try:
        return parsedate_to_datetime(_text(headers, name))
    except ValueError:
        return None


def _until_reset(headers: Mapping[str, object]) -> float | None:
    used_up = [name for name in _LIMITS if _number(headers, f"x-ratelimit-remaining-{name}", 1.0) == 0]
    spans = [_span(_text(headers, f"x-ratelimit-reset-{name}")) for name in used_up]
    return max((span for span in spans if span is not None), default=None)


def _span(text: str) -> float | None:
    """Read ``6m0s``, ``20ms``, ``1h2m3.5s``."""
    parts = _SPANS.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
