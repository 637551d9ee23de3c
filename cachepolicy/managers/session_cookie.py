"""The cookie of a session: what browsers send to one host only, over TLS, and show to no script."""

from __future__ import annotations

import math
import re
from typing import Final, Literal

from cachepolicy.errors import PolicyError, UnreadableToken
from cachepolicy.keys import tokens
from cachepolicy.managers.limit_arguments import Span, seconds_of

SameSite = Literal["Strict", "Lax", "None"]
"""Which requests from other sites carry it: none, those that follow a link, or all."""

_HOST_ONLY: Final = "__Host-"  # browsers take such a name only with Secure, with Path=/, and with no Domain
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SAME_SITE: Final = frozenset({"Strict", "Lax", "None"})
_LONG_AGO: Final = "Thu, 01 Jan 1970 00:00:00 GMT"


def session_cookie(
    token: str, *, name: str = "session", max_age: Span | None = None, same_site: SameSite = "Lax"
) -> str:
    """Return the value of a ``Set-Cookie`` header that gives a browser the token of a session.

    >>> made = await SessionManager().login(session_token(request.headers.get("cookie")), user.id)
    >>> response.headers["set-cookie"] = session_cookie(made.token)
    >>> response.headers["cache-control"] = "no-store"

    Args:
        token: as ``SessionManager`` has just returned it.
        name: of the cookie; ``__Host-`` goes before it.
        max_age: how long the browser keeps it, such as ``"8h"`` or seconds; None: until it is closed. Redis
            ends a session by its own clock, whatever this says.
        same_site: which requests from other sites carry it.

    Raises:
        UnreadableToken: it is no token of a session.
        PolicyError: the name, ``max_age`` or ``same_site`` is none.
    """
    if tokens.read(token) is None:
        raise UnreadableToken("session_cookie(): this is no token of a session")
    value = f"{_named(name)}={token}; {_attributes(same_site)}"
    if max_age is None:
        return value
    return f"{value}; Max-Age={math.ceil(seconds_of(max_age, 'session_cookie(max_age=…)'))}"


def clear_session_cookie(*, name: str = "session", same_site: SameSite = "Lax") -> str:
    """Return the value of a ``Set-Cookie`` header that takes the cookie away, as at logout.

    Arguments and errors are as of ``session_cookie``.
    """
    return f"{_named(name)}=; {_attributes(same_site)}; Max-Age=0; Expires={_LONG_AGO}"


def session_token(cookies: str | None, *, name: str = "session") -> str | None:
    """Return the token in a ``Cookie`` header; None where there is none, or where it is not clear which.

    Args:
        cookies: the header's value, if there is one.
        name: as of ``session_cookie``.
    """
    wanted = _named(name)
    pairs = (pair.partition("=") for pair in (cookies or "").split(";"))
    found = {value.strip() for key, _, value in pairs if key.strip() == wanted}
    token = found.pop() if len(found) == 1 else None
    return None if tokens.read(token) is None else token


def _named(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise PolicyError("the name of a cookie: expected letters, digits, - and _, such as session")
    return name if name.startswith(_HOST_ONLY) else f"{_HOST_ONLY}{name}"


def _attributes(same_site: str) -> str:
    if same_site not in _SAME_SITE:
        raise PolicyError("same_site: expected Strict, Lax or None, each as text")
    return f"Path=/; Secure; HttpOnly; SameSite={same_site}"
