"""What names a token, and what it says of itself. Nothing here verifies it: the application does."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cachepolicy.errors import UnreadableToken
from cachepolicy.keys.layout import token_name
from cachepolicy.managers.user_ids import plain, text_of

_LATEST: Final = 253_402_300_799  # seconds since the epoch: the year 9999 ends


@dataclass(frozen=True, slots=True)
class Named:
    """A token, as it is known without being verified.

    Attributes:
        name: what it is known by, in place of itself.
        ends: when it expires by itself, seconds since the epoch; None: it does not say.
        is_sure: whether all readers agree on ``ends``.
        holder: whose it is; None: it does not say.
        issued: when, seconds since the epoch; None: it does not say.
        family: of refresh tokens; None: none.
    """

    name: str = field(repr=False)
    ends: float | None = None
    is_sure: bool = False
    holder: str | None = field(default=None, repr=False)
    issued: float | None = None
    family: str | None = field(default=None, repr=False)


def read_token(token: object, who: str) -> Named:
    """Read a token's text, or its claims; errors name ``who`` asks.

    The ``jti`` names it; a JWT without one is named by what is signed of it, any other text by the whole.

    Raises:
        UnreadableToken: it is empty, neither text nor claims, or claims without a ``jti``.
    """
    if isinstance(token, Mapping):
        named = _of_claims(token)
        if named is None:
            raise UnreadableToken(f"{who}: the claims have no jti to name the token: pass the token's text")
        return named
    if not isinstance(token, str) or not token or token.isspace():
        kind = "empty text" if isinstance(token, str) else f"a {type(token).__name__}"
        raise UnreadableToken(f"{who}: expected a token's text or its claims, not {kind}")
    text = plain(token)
    parts = text.split(".", 3)
    if len(parts) != 3 or not isinstance(_decoded(parts[0]), dict):
        return Named(token_name("text", text))
    # The signature's own spelling names nothing: a reader may well take it in another one.
    signed = token_name("signed", f"{parts[0]}.{parts[1]}")
    claims = _decoded(parts[1])
    if not isinstance(claims, dict):
        return Named(signed)
    return _of_claims(claims) or _named(signed, claims)


def moment_of(value: object) -> float | None:
    """Return a moment in seconds since the epoch, where that is what it is: a number, or a ``datetime``.

    One without a time zone is read as UTC, as libraries that sign tokens write it.
    """
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return min(max(value, 0), _LATEST)


def issued_of(value: object) -> float | None:
    """Return when a token was issued; None where that cannot have been."""
    moment = moment_of(value)
    return None if moment == _LATEST else moment


def _of_claims(claims: Mapping[str, object]) -> Named | None:
    jti = _text(claims.get("jti"))
    return None if jti is None else _named(token_name("jti", jti), claims)


def _named(name: str, claims: Mapping[str, object]) -> Named:
    ends, family = claims.get("exp"), claims.get("family")
    is_text = isinstance(ends, str)
    if isinstance(ends, str):  # some readers take it for the number that it spells, others for none
        ends = int(ends) if ends.isascii() and ends.isdigit() and len(ends) < 20 else None
    moment = moment_of(ends)
    return Named(
        name,
        moment,
        moment is not None and not is_text,
        _text(claims.get("sub")),
        issued_of(claims.get("iat")),
        family if isinstance(family, str) else None,
    )


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return text_of(value)


def _decoded(part: str) -> object:
    """Read a part of a JWT; None where it is none."""
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):  # binascii.Error and UnicodeDecodeError are ValueErrors
        return None
