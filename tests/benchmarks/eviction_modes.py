"""What the modes of eviction cost on a real Redis: beside ``server``, which costs nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from typing import Any, Final

import cachepolicy
from tests.benchmarks.harness import OURS, Row, Table, timed
from tests.benchmarks.stage import Stage, configured

SESSION: Final = "eviction, session, load and touch"
CHECK: Final = "eviction, a limit is checked"
STORE: Final = "eviction, an answer of 1 kB is stored"
READ: Final = "eviction, an answer of 1 kB is read from Redis"

SERVER: Final = f"{OURS}, mode: server"
PROTECTED: Final = f"{OURS}, mode: protected"
ROOMY: Final = f"{OURS}, mode: quota, with room"
FULL: Final = f"{OURS}, mode: quota, full"

_SESSIONS: Final = 500
_NOTE: Final = "def, one after the other; client and server on one processor"
_PROTECTED: Final = {"mode": "protected"}
_RULES: Final = {"chat": {"by": "user_id", "requests": "1000000000/hour"}}


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    for title, make in {SESSION: _sessions, CHECK: _checks, STORE: _stores, READ: _reads}.items():
        if is_wanted(title):
            with configured(loop, **_namespaces()) as stage:
                stage.at_end(_close)
                yield Table(
                    title,
                    _NOTE,
                    [
                        Row(name, timed("f(next(turn))", f=call, turn=turn, next=next))
                        for name, call, turn in make(stage)
                    ],
                    slice_seconds=0.03,
                    server=stage.server.pid,
                    pinned=True,
                )


_Rows = Iterator[tuple[str, Callable[[Any], object], Iterator[Any]]]


def _sessions(_: Stage) -> _Rows:
    for name, namespace in ((SERVER, "sessions"), (PROTECTED, "protected_sessions")):
        manager = cachepolicy.SessionManager(namespace)
        tokens = [manager.create_session.sync(f"u{n}", {"theme": "dark"}).token for n in range(_SESSIONS)]
        yield name, manager.get_session.sync, cycle(tokens)


def _checks(_: Stage) -> _Rows:
    for name, namespace in ((SERVER, "limits"), (PROTECTED, "protected_limits")):
        check = cachepolicy.RateLimiter(namespace).check.sync
        users = cycle([f"u{n}" for n in range(_SESSIONS)])
        yield name, partial(check, "chat"), users


def _stores(_: Stage) -> _Rows:
    for name, namespace in ((SERVER, "answers"), (ROOMY, "roomy"), (FULL, "full")):
        yield name, _answers(namespace), itertools.count()


def _reads(_: Stage) -> _Rows:
    for name, namespace in ((SERVER, "answers"), (ROOMY, "roomy")):
        answer = _answers(namespace)
        for number in range(_SESSIONS):
            answer(number)
        yield name, answer, cycle(range(_SESSIONS))


def _answers(namespace: str) -> Callable[[int], str]:
    @cachepolicy.cached(namespace)
    def answer(number: int) -> str:
        return f"{number:01000}"

    return answer


def _namespaces() -> dict[str, Any]:
    answers: dict[str, Any] = {
        "kind": "cache",
        "scope": "global",
        "local": {"enabled": False},
        "compression": {"enabled": False},
    }
    return {
        "sessions": {"kind": "sessions"},
        "protected_sessions": {"kind": "sessions", "eviction": _PROTECTED},
        "limits": {"kind": "ratelimit", "rules": _RULES},
        "protected_limits": {"kind": "ratelimit", "rules": _RULES, "eviction": _PROTECTED},
        "answers": answers,
        "roomy": {**answers, "eviction": {"mode": "quota", "max_bytes": "10GiB"}},
        "full": {**answers, "eviction": {"mode": "quota", "max_bytes": "4MiB"}},
    }


async def _close() -> None:
    cachepolicy.close()
