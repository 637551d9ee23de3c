"""What is known of a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Session:
    """One session, as it was when it was read; changing ``data`` changes nothing but this copy.

    Attributes:
        id: by which its user can end it; no secret, and no token.
        user_id: whose it is; None: it is anonymous.
        data: what it holds.
        permissions: what its user may do, as far as the session says.
        device: what it runs on, as it was told.
        created: when it was made; all times are seconds since the epoch, on the server's clock.
        last_seen: when it was used, as exactly as the policy's ``touch``.
        expires_at: when it ends, if nobody uses it.
        due: its token is as old as the policy lets one be: ``rotate`` gives it another.
    """

    id: str
    user_id: str | int | None = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    permissions: frozenset[str] = field(repr=False)
    device: str = field(repr=False)
    created: float
    last_seen: float
    expires_at: float
    due: bool = False

    @property
    def is_anonymous(self) -> bool:
        """Tell whether nobody has logged in."""
        return self.user_id is None

    def may(self, permission: str) -> bool:
        """Tell whether its user has a permission."""
        return permission in self.permissions


class NewSession(NamedTuple):
    """A session and the token that it has got: this is the only time that anybody sees it.

    Attributes:
        token: for its user's cookie, and nowhere else.
        session: what it is good for.
    """

    token: str
    session: Session

    def __repr__(self) -> str:
        return f"NewSession(session={self.session!r})"


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session in the list of its user; attributes as of ``Session``."""

    id: str
    device: str = field(repr=False)
    created: float
    last_seen: float
    expires_at: float
