"""Tokens of sessions: where a session is, and a secret that only its holder has.

::

    characters  bytes
        24         18  tag: of the user, a hash; of an anonymous session, random
        16         12  id of the session: no secret, its user's sessions are listed by it
        44         33  secret: 264 random bits

All are base64 for URLs, and whole by themselves: the parts of a token are parts of its text, and no two texts
are one token. Redis is told the SHA-256 of a token, and keeps nothing else of it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final, NamedTuple

from cachepolicy.keys.canonical import encode
from cachepolicy.keys.ids import new_id

_TAG: Final = 18
_ID: Final = 12
_SECRET: Final = 33
_ID_AT: Final = slice(24, 40)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{84}")
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{16}")
_PERSON: Final = b"cachepolicy user"


class Name(NamedTuple):
    """What a token says; shows nothing of it.

    Attributes:
        tag: what all that belongs to one user shares.
        id: of the session.
        digest: SHA-256 of the token.
    """

    tag: str
    id: str
    digest: bytes

    def __repr__(self) -> str:
        return "Name()"


def read(token: object) -> Name | None:
    """Return what a token says; None where it cannot be one of ours."""
    if type(token) is not str or _TOKEN.fullmatch(token) is None:
        return None
    return Name(token[: _ID_AT.start], token[_ID_AT], hashlib.sha256(token.encode()).digest())


def mint(tag: str) -> tuple[str, Name]:
    """Make the token of a new session."""
    return renew(tag, new_id(_ID))


def renew(tag: str, session_id: str) -> tuple[str, Name]:
    """Make a new token of a session."""
    token = f"{tag}{session_id}{secrets.token_urlsafe(_SECRET)}"
    return token, Name(tag, session_id, hashlib.sha256(token.encode()).digest())


def user_tag(namespace_prefix: str, user: str | int) -> str:
    """Return the tag of a user of a namespace; ``1`` and ``"1"`` are two."""
    digest = hashlib.blake2b(encode([namespace_prefix, user]), digest_size=_TAG, person=_PERSON).digest()
    return base64.urlsafe_b64encode(digest).decode()


def random_tag() -> str:
    """Return the tag of an anonymous session."""
    return secrets.token_urlsafe(_TAG)


def is_session_id(text: object) -> bool:
    """Tell whether a text can be the id of a session."""
    return type(text) is str and _SESSION_ID.fullmatch(text) is not None
