"""How ``cachepolicy stats`` writes numbers and names."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

_LONGEST = 48  # characters of a name


def name(text: str) -> str:
    """Write a name that code, or a provider, made up: nothing in it can steer a terminal or break markup."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def count(number: int) -> str:
    """Write a whole number."""
    return f"{number:,}"


def share(part: float | None) -> str:
    """Write a share, 0 to 1; an en dash where there is none. What is not all is never written as all."""
    if part is None:
        return "–"
    return "99.9%" if 0.9995 <= part < 1 else f"{part:.1%}"


def amount(cost: Decimal | None, currency: str) -> str:
    """Write money; parts of a cent are shown where that is all there is."""
    if cost is None:
        return "–"
    if cost >= 1 or not cost:
        return f"{cost:,.2f} {currency}".rstrip()
    exact = f"{cost:.6f}"
    return f"{exact[:4]}{exact[4:].rstrip('0')} {currency}".rstrip()


def duration(seconds: float) -> str:
    """Write how long something takes, or would have taken."""
    if seconds < 100:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.1f} min" if minutes < 100 else f"{hours:,.1f} h"


def moment(at: datetime, step: timedelta) -> str:
    """Write when a step begins: the hour where steps are shorter than a day, else the day."""
    return f"{at:%m-%d %H:%M}" if step < timedelta(days=1) else f"{at:%Y-%m-%d}"


def period(since: datetime, until: datetime) -> str:
    """Write from when to when, in UTC."""
    return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
