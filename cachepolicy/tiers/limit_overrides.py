"""Amounts that one subject has of its own: they stand beside what it has used, and are read with it."""

from __future__ import annotations

from collections.abc import Mapping

from cachepolicy.keys.layout import overrides_key
from cachepolicy.tiers.commands import Command, Repeat, no_reply, unlink

Amounts = Mapping[str, tuple[int, int]]
"""By ``Limit.name``: the amount, and the burst (gcra; 0: as the rule says)."""


def override(key: str, amounts: Amounts | None, ttl: int = 0) -> Command[bool]:
    """Give a subject other amounts than the rule's; what it has used stays used.

    A call sees them where its ``Part`` says that there may be some.

    Args:
        key: of the subject, from ``keys.layout.limit_key``.
        amounts: each times the limit's period is below 2^53; None: as the rule says again.
        ttl: ms that they hold; 0: until they are taken back.

    Returns whether any were given, or taken back.
    """
    own = overrides_key(key)
    if not amounts:
        return unlink(own)
    text = " ".join(f"{name} {amount} {burst}" for name, (amount, burst) in amounts.items())
    lasting = ("PX", ttl) if ttl > 0 else ()
    return Command(("SET", own, text, *lasting), own, _is_set, Repeat.WRITE)


def overrides(key: str) -> Command[dict[str, tuple[int, int]]]:
    """Ask which amounts a subject has of its own."""
    own = overrides_key(key)
    return Command(("GET", own), own, _amounts, Repeat.READ)


def _is_set(reply: object) -> bool:
    if reply != b"OK":
        raise no_reply(reply)
    return True


def _amounts(reply: object) -> dict[str, tuple[int, int]]:
    if reply is None:
        return {}
    try:
        if isinstance(reply, bytes):
            words = reply.decode().split(" ")
            triples = zip(words[::3], words[1::3], words[2::3], strict=True)
            return {name: (int(amount), int(burst)) for name, amount, burst in triples}
    except ValueError:  # UnicodeDecodeError is one
        pass
    raise no_reply(reply)
