"""Keeps secrets off the terminal."""

from __future__ import annotations


def without_secrets(url: str) -> str:
    """Show where a URL leads, without its user, password and options.

    >>> without_secrets("redis://ada:secret@cache.internal:6379/0?password=secret")
    'redis://***@cache.internal:6379/0'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "***"
    address, _, options = rest.partition("?")
    if "@" in options or "#" in rest:
        return f"{scheme}://***"  # a password with an unescaped ? or # in it: no telling where it ends
    userinfo, at, host = address.rpartition("@")
    return f"{scheme}://{'***@' if at and userinfo else ''}{host}"
