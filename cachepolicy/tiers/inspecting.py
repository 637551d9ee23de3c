"""What is asked of a key by whoever looks at it from outside: nothing here is on a call's path."""

from __future__ import annotations

from cachepolicy.tiers.commands import Command, Repeat, no_reply

NOTHING = "none"
"""The type of a key that is not there."""


def kind(key: str) -> Command[str]:
    """Ask what type lies under a key: ``string``, ``hash``, …; ``none``: nothing does."""
    return Command(("TYPE", key), key, _word, Repeat.READ)


def left(key: str) -> Command[float | None]:
    """Ask for how many seconds a key has yet to live; None: it has no TTL, or is not there."""
    return Command(("PTTL", key), key, _seconds, Repeat.READ)


def length(key: str) -> Command[int]:
    """Ask how many bytes a string has."""
    return Command(("STRLEN", key), key, _number, Repeat.READ)


def memory(key: str) -> Command[int | None]:
    """Ask how many bytes of memory a key takes; None: it is not there."""
    return Command(("MEMORY", "USAGE", key), key, _number_or_none, Repeat.READ)


def begin(key: str, size: int) -> Command[bytes | None]:
    """Ask for so many bytes from the beginning of a string; None where it is not there."""
    return Command(("GETRANGE", key, 0, size - 1), key, _bytes_or_none, Repeat.READ)


def _word(reply: object) -> str:
    if isinstance(reply, bytes):
        return reply.decode(errors="replace")
    if isinstance(reply, str):
        return reply
    raise no_reply(reply)


def _seconds(reply: object) -> float | None:
    number = _number(reply)
    return number / 1000 if number >= 0 else None


def _number(reply: object) -> int:
    if isinstance(reply, int):
        return reply
    raise no_reply(reply)


def _number_or_none(reply: object) -> int | None:
    return None if reply is None else _number(reply)


def _bytes_or_none(reply: object) -> bytes | None:
    if isinstance(reply, bytes):
        return reply or None
    raise no_reply(reply)
