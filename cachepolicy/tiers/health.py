"""What a server is asked about itself, and how its answers are read."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cachepolicy.tiers.commands import Command, Repeat, get, no_reply, put, unlink

_WORD: Final = re.compile(r"[A-Za-z0-9_.+\-]{1,64}", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_CANARY_TTL: Final = 5.0  # seconds: whoever wrote it may be gone before it is removed


@dataclass(frozen=True, slots=True)
class Info:
    """What INFO told, field by field; which fields there are differs by server, version and provider."""

    fields: Mapping[str, str]

    def word(self, name: str) -> str | None:
        """Return a field that is a word, such as may stand in a message; None: it is not told."""
        text = self.fields.get(name, "")
        return text if _WORD.fullmatch(text) else None

    def number(self, name: str) -> float | None:
        """Return a field that is a number; None: it is not told."""
        return _number(self.fields.get(name, ""))

    def part(self, name: str, part: str) -> float | None:
        """Return a number out of a field such as ``slave0:ip=…,lag=1``; None: it is not told."""
        pairs = (pair.partition("=") for pair in self.fields.get(name, "").split(","))
        return next((_number(value) for key, _, value in pairs if key == part), None)

    def names(self, pattern: str) -> Iterator[str]:
        """Return the fields whose whole name matches."""
        return (name for name in self.fields if re.fullmatch(pattern, name))


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def ping(key: str) -> Command[None]:
    """Ask the server that has a key whether it is there."""
    return Command(("PING",), key, _pong, Repeat.READ)


def info(key: str) -> Command[Info]:
    """Ask the server that has a key all that it tells of itself."""
    return Command(("INFO",), key, _info, Repeat.READ)


def info_everything(key: str) -> Command[Info]:
    """Ask the server that has a key all that it tells, each command's count and time included."""
    return Command(("INFO", "everything"), key, _info, Repeat.READ)


def cluster_info(key: str) -> Command[Info]:
    """Ask the server that has a key how its cluster is."""
    return Command(("CLUSTER", "INFO"), key, _info, Repeat.READ)


def canary(key: str) -> list[Command[Any]]:
    """Write something, read it, and remove it; the reading tells whether it came back."""
    value = secrets.token_bytes(8)
    return [put(key, value, _CANARY_TTL), _same(key, value), unlink(key)]


def _same(key: str, value: bytes) -> Command[bool]:
    read = get(key).read
    return Command(("GET", key), key, lambda reply: read(reply) == value, Repeat.READ)


def _pong(reply: object) -> None:
    if reply != b"PONG":
        raise no_reply(reply)


def _info(reply: object) -> Info:
    if not isinstance(reply, bytes):
        raise no_reply(reply)
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return Info({name: value.strip() for name, _, value in lines if value})
