"""Policies that are edited while they are in use: in a file, and in a mapping."""

from __future__ import annotations

from typing import Any

from cachepolicy import configure
from cachepolicy.testing.redis_server import RedisServer
from tests.support.policies import PATIENT

POLICY = """
version: 1
app: watched
redis: {url: "memory://"}
reload: {interval: 20ms}
namespaces:
  answers: {kind: cache, db: 1, scope: user, ttl: 1h, jitter: 0%}
"""


class Edited:
    """A policy with two caches, limits and sessions; ``edit`` sets a value by its path."""

    def __init__(self, url: str, **others: Any) -> None:
        cache = {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h", "jitter": "0%"}
        self.policy: dict[str, Any] = {
            "version": 1,
            "app": "reloaded",
            "redis": {"url": url, **PATIENT},
            "namespaces": {
                "answers": dict(cache),
                "others": {**cache, "db": 2},
                "limits": {
                    "kind": "ratelimit",
                    "db": 3,
                    "on_fault": "local",
                    "rules": {"calls": {"by": "user", "requests": "5/day"}},
                },
                "sessions": {"kind": "sessions", "db": 4, "guarantee": "best_effort"},
                **others,
            },
        }

    def use(self) -> Edited:
        """Put it in force."""
        configure(self.policy)
        return self

    def edit(self, path: str, value: Any) -> None:
        """Set a value, or take it away (None)."""
        *folders, last = path.split(".")
        place = self.policy
        for folder in folders:
            place = place.setdefault(folder, {})
        if value is None:
            del place[last]
        else:
            place[last] = value


def connections(server: RedisServer) -> dict[str, str]:
    """Return the clients of a server that the library opened: their ids, and what each did last."""
    lines = server.command("CLIENT", "LIST").decode().splitlines()
    clients = [dict(word.partition("=")[::2] for word in line.split()) for line in lines if "=" in line]
    return {one["id"]: one["cmd"] for one in clients if one.get("name", "").startswith("cachepolicy")}
