"""What a Redis user needs: that is enough, nothing of it is too much, and nothing else is reached."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachepolicy import CachePolicyError, cached, close, configure
from cachepolicy.policy import load
from cachepolicy.runtime.permissions import Grant, for_app, for_namespace
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers import permissions
from tests.support import chores
from tests.support.origin import settle
from tests.support.source import ROOT
from tests.support.waiting import until

_BEFORE = {"&app:~canary:*": "+client|tracking"}
"""What is only used where something else is refused."""
_NO_MATTER = {"hello", "auth", "sentinel", "prefix"}
"""Said to nobody in particular, or to sentinels; and a word of CLIENT TRACKING."""
_USER = {"username": "app", "password": "pass"}


def _allow(server: RedisServer, words: list[str]) -> None:
    """Empty a server, and let the user do just this."""
    for command in (("FLUSHALL",), ("SCRIPT", "FLUSH"), ("ACL", "LOG", "RESET")):
        server.command(*command)
    told = server.command("ACL", "SETUSER", "app", "reset", "on", ">pass", *words)
    assert told.startswith(b"+OK"), told


def _refused(server: RedisServer) -> set[str]:
    """Return what the user was refused: commands, keys, channels."""
    log = server.command("ACL", "LOG", "100").decode(errors="replace")
    return set(re.findall(r"\$\d+\r\nobject\r\n\$\d+\r\n([^\r]*)", log))


@pytest.fixture(params=["redis", "valkey"])
def any_server(
    request: pytest.FixtureRequest, redis_server: RedisServer, valkey_server: RedisServer
) -> Iterator[RedisServer]:
    """Give a server of either make, and take the user away again."""
    server = redis_server if request.param == "redis" else valkey_server
    yield server
    close()
    server.command("ACL", "DELUSER", "app")


def _of(name: str, server: RedisServer) -> Grant:
    policy = chores.policy(server.url, name, **_USER)
    return for_namespace(load(policy).policy, name)


@pytest.mark.parametrize("name", chores.CHORES)
def test_a_namespace_works_with_its_rules(any_server: RedisServer, name: str) -> None:
    """Every verb of a kind works for a user with the rules of one namespace; nothing is refused."""
    _allow(any_server, _of(name, any_server).words)
    configure(chores.policy(any_server.url, name, **_USER))
    chores.CHORES[name](until)
    chores.health()
    settle()
    close()
    assert _refused(any_server) == set()


@pytest.mark.parametrize("policy_of_memory", ["volatile-lru", "allkeys-lfu"])
@pytest.mark.parametrize(
    ("name", "eviction"),
    [
        ("sessions", {"mode": "protected"}),
        ("ratelimit", {"mode": "protected"}),
        ("llm", {"mode": "quota", "max_bytes": "2500KiB"}),
    ],
)
def test_a_mode_of_eviction_works_with_its_rules(
    own_redis: RedisServer, name: str, eviction: dict[str, str], policy_of_memory: str
) -> None:
    """What keeps count of deadlines or of sizes is allowed for, and nothing that it does is refused."""
    own_redis.command("CONFIG", "SET", "maxmemory-policy", policy_of_memory)
    policy = chores.policy(own_redis.url, name, **_USER)
    policy["namespaces"][name]["eviction"] = eviction
    _allow(own_redis, for_namespace(load(policy).policy, name).words)
    configure(policy)
    chores.CHORES[name](until)
    if name == "llm":
        _fill()
    settle()
    close()
    assert _refused(own_redis) == set()


def _fill() -> None:
    @cached("llm")
    def answer(number: int, model: str) -> bytes:
        return os.urandom(200_000)

    for number in range(30):  # twice what there is room for
        answer(number, "m")


def test_an_application_works_with_its_rules(any_server: RedisServer) -> None:
    """Every verb of all kinds works for a user with the rules of the application; nothing is refused."""
    policy = chores.policy(any_server.url, **_USER)
    _allow(any_server, for_app(load(policy).policy, tuple(chores.RULES)).words)
    configure(policy)
    for chore in chores.CHORES.values():
        chore(until)
    chores.health()
    settle()
    close()
    assert _refused(any_server) == set()


@pytest.mark.parametrize("name", ["llm", "sessions", "ratelimit", "analytics"])
def test_a_namespace_of_a_cluster_works_with_its_rules(redis_cluster: RedisCluster, name: str) -> None:
    """On a cluster, too, nothing that a kind does is refused."""
    policy = chores.policy(redis_cluster.url, name, **_USER)
    grant = for_namespace(load(policy).policy, name)
    for node in redis_cluster.masters():
        ask(node, "ACL", "LOG", "RESET")
        ask(node, "FLUSHALL")
        ask(node, "ACL", "SETUSER", "app", "reset", "on", ">pass", *grant.words)
    try:
        configure(policy)
        chores.CHORES[name](until)
        chores.health()
        settle()
        close()
        for node in redis_cluster.masters():
            assert ask(node, "ACL", "LOG") == []
    finally:
        for node in redis_cluster.masters():
            ask(node, "ACL", "DELUSER", "app")


@pytest.mark.parametrize("name", chores.CHORES)
def test_nothing_is_too_much(redis_server: RedisServer, name: str) -> None:
    """With any one command, key or channel of the rules taken away, a verb of the kind is refused."""
    grant = _of(name, redis_server)
    try:
        for word in grant.words:
            _allow(redis_server, [each for each in grant.words if each not in {word, _BEFORE.get(word)}])
            missed = _missed(redis_server, name)
            if word.startswith("+"):
                assert word[1:] in {each.lower() for each in missed}, word
            else:
                assert any(_matches(word[1:], each) for each in missed), word
    finally:
        redis_server.command("ACL", "DELUSER", "app")


def _missed(server: RedisServer, name: str) -> set[str]:
    """Do what can be done, for one refusal ends it; return what was refused."""
    configure(chores.policy(server.url, name, **_USER))
    with contextlib.suppress(CachePolicyError, AssertionError):
        chores.CHORES[name](lambda done, what: until(lambda: done() or bool(_refused(server)), what))
    with contextlib.suppress(CachePolicyError):
        chores.health()
    settle()
    missed = _refused(server)
    _allow(server, ["~*", "&*", "+@all"])  # what was counted is sent, and never tried again
    close()
    return missed


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern.removesuffix("*"))


@pytest.mark.parametrize("name", chores.CHORES)
def test_other_namespaces_are_out_of_reach(redis_server: RedisServer, name: str) -> None:
    """A user of one namespace can neither read, write nor hear anything of another, nor look around."""
    _allow(redis_server, _of(name, redis_server).words)
    other = next(each for each in chores.CHORES if each != name)
    tried = (
        ("GET", f"app:{other}:x"),
        ("SET", f"app:{other}:x", "1"),
        ("EVALSHA", "0" * 40, "1", f"app:{other}:x"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SUBSCRIBE", "other:~changes"),
        ("MONITOR",),
    )
    try:
        for words in tried:
            said = redis_server.command("ACL", "DRYRUN", "app", *words)
            assert not said.startswith(b"+OK"), words
    finally:
        redis_server.command("ACL", "DELUSER", "app")


def test_all_that_the_library_says_is_known() -> None:
    """Each command that a module or a script of the tiers says belongs to a kind, or to its own table."""
    known = set[str]().union(*permissions.BY_KIND.values(), *permissions.BY_MODE.values())
    for each in (
        "NUMBERED",
        "PROVED",
        "CLUSTER",
        "HEARD",
        "TRACKED",
        "TOLD",
        "INSPECTED",
        "LOOKED_THROUGH",
        "ASKED",
        "APPLIED",
    ):
        known |= getattr(permissions, each)
    assert _said() - known == _NO_MATTER


def _said() -> set[str]:
    folder = ROOT / "cachepolicy/tiers"
    found: set[str] = set()
    for script in folder.glob("lua/*.lua"):
        said = re.findall(
            r"call\(\s*['\"]([A-Z]+)['\"](?:, ['\"]([A-Z]+)['\"])?", script.read_text(encoding="utf-8")
        )
        found |= {f"{first} {second}" if first == "OBJECT" else first for first, second in said}
    for module in folder.glob("*.py"):
        found |= _in_module(module)
    return {each.lower().replace(" ", "|") for each in found}


def _in_module(module: Path) -> set[str]:
    text = module.read_text(encoding="utf-8")
    found: set[str] = set()
    for first, second in re.findall(r'\("([A-Z]{3,})"(?:, "([A-Z]{3,})")?[,)]', text):
        has_parts = first in {"CLIENT", "CLUSTER", "ACL", "CONFIG", "SCRIPT", "MEMORY"}
        found.add(f"{first} {second}" if has_parts and second else first)
    return found
