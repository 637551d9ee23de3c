"""Ids at random, which people copy: into a URL, a file, a command line."""

from __future__ import annotations

import secrets


def new_id(size: int) -> str:
    """Return so many random bytes in base64 for URLs, without the ``-`` in front that begins an option."""
    while (made := secrets.token_urlsafe(size)).startswith("-"):
        pass
    return made
