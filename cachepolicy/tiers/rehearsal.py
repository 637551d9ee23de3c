"""Whether a user may run commands: by ``ACL DRYRUN``, or by saying them so that they change nothing.

What is said for real is turned down for what it says, or finds nothing under a key of its own; but only
after the server has looked whether the user may say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from cachepolicy.tiers.commands import Command, Repeat, no_reply

_SAID: Final[Mapping[str, str]] = MappingProxyType(
    {
        "del": "DEL KEY",
        "eval": "EVAL return(1) 1 KEY",
        "evalsha": f"EVALSHA {'0' * 40} 1 KEY",
        "exists": "EXISTS KEY",
        "get": "GET KEY",
        "getrange": "GETRANGE KEY 0 1",
        "hdel": "HDEL KEY f",
        "hexists": "HEXISTS KEY f",
        "hget": "HGET KEY f",
        "hgetall": "HGETALL KEY",
        "hincrby": "HINCRBY KEY f none",
        "hlen": "HLEN KEY",
        "hmget": "HMGET KEY f",
        "hset": "HSET KEY f v g",
        "info": "INFO",
        "mget": "MGET KEY",
        "persist": "PERSIST KEY",
        "pexpire": "PEXPIRE KEY 1000",
        "pexpireat": "PEXPIREAT KEY 1",
        "pfcount": "PFCOUNT KEY",
        "ping": "PING",
        "pttl": "PTTL KEY",
        "publish": "PUBLISH CHANNEL x",
        "set": "SET KEY v NX XX",
        "setrange": "SETRANGE KEY -1 v",
        "strlen": "STRLEN KEY",
        "time": "TIME",
        "unlink": "UNLINK KEY",
        "zadd": "ZADD KEY none m",
        "zcount": "ZCOUNT KEY 0 1",
        "zrangebylex": "ZRANGEBYLEX KEY - +",
        "zrangebyscore": "ZRANGEBYSCORE KEY 0 1",
        "zrem": "ZREM KEY m",
        "zremrangebyscore": "ZREMRANGEBYSCORE KEY 0 1",
        "zscore": "ZSCORE KEY m",
    }
)

_REHEARSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **_SAID,
        "asking": "ASKING",
        "client|tracking": "CLIENT TRACKING ON BCAST",
        "cluster|info": "CLUSTER INFO",
        "cluster|slots": "CLUSTER SLOTS",
        "pfadd": "PFADD KEY v",
        "select": "SELECT 1",
        "subscribe": "SUBSCRIBE CHANNEL",
    }
)
"""These, too, would change something: the connection, or what is kept."""


def known(commands: Iterable[str], *, said: bool) -> list[str]:
    """Return those commands that can be tried, in order; ``said``: for real."""
    table = _SAID if said else _REHEARSED
    return sorted(each for each in commands if each in table)


def whoami(key: str) -> Command[str]:
    """Ask the server that has a key which user this is."""
    return Command(("ACL", "WHOAMI"), key, _text, Repeat.READ)


def rehearse(user: str, command: str, key: str, channel: str) -> Command[bool]:
    """Ask whether a user may run a command; all arguments but ``command`` go to the server as they are."""
    words = _words(_REHEARSED[command], key, channel)
    return Command(("ACL", "DRYRUN", user, *words), key, lambda reply: reply == b"OK", Repeat.READ)


def say(command: str, key: str, channel: str) -> Command[Any]:
    """Run a command so that nothing changes; what comes of it is an error like any, or ``forbidden``."""
    return Command(_words(_SAID[command], key, channel), key, lambda reply: reply, Repeat.READ)


def _words(text: str, key: str, channel: str) -> tuple[str, ...]:
    stand_ins = {"KEY": key, "CHANNEL": channel}
    return tuple(stand_ins.get(word, word) for word in text.split())


def config(key: str, *names: str) -> Command[dict[str, str]]:
    """Ask the server that has a key for some of its settings; what it does not have is left out."""

    def read(reply: object) -> dict[str, str]:
        if not isinstance(reply, dict):
            raise no_reply(reply)
        return {_text(name): _text(value) for name, value in reply.items()}

    return Command(("CONFIG", "GET", *names), key, read, Repeat.READ)


def configure(key: str, name: str, value: str) -> Command[bool]:
    """Have the server that has a key take a setting, until it is started again."""
    return Command(("CONFIG", "SET", name, value), key, lambda reply: reply == b"OK", Repeat.WRITE)


def _text(reply: object) -> str:
    if not isinstance(reply, bytes):
        raise no_reply(reply)
    return reply.decode(errors="replace")
