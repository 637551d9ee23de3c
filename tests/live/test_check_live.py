"""``cachepolicy check --live``: what real servers are found to do wrong, at which line of the policy."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from cachepolicy.__main__ import main
from cachepolicy.cli.live import live_lints
from cachepolicy.clock import Clock
from cachepolicy.policy import load
from cachepolicy.policy.lints import Lint, Severity
from cachepolicy.policy.rules.linting import LiveCode
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.advisories import concerning
from tests.support import chores
from tests.support.source import ROOT
from tests.support.tls import TlsServer

EVICTING = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")


def found(policy: dict[str, Any], *codes: str) -> list[Lint]:
    """Ask the servers of a policy; return the findings of some codes."""
    return [each for each in live_lints(load(policy)) if each.code in codes]


@pytest.fixture
def evicting(redis_binary: str) -> Iterator[RedisServer]:
    """Give a server that evicts any key."""
    with RedisServer(*EVICTING) as server:
        yield server


def test_a_server_that_evicts_is_an_error_where_nothing_may_be_lost(evicting: RedisServer) -> None:
    """All kinds but caches are errors on a server that evicts; a cache is one where it says required."""
    policy = chores.policy(evicting.url)
    policy["namespaces"]["kept"] = {**chores.RULES["llm"], "db": 6, "guarantee": "required"}
    lints = found(policy, "server-evicts")
    assert {each.path.rpartition(".")[2] for each in lints} == {*chores.RULES, "kept"} - {"llm"}
    assert all(each.severity is Severity.ERROR for each in lints)


def test_the_eviction_that_a_cache_counts_on_is_compared(evicting: RedisServer) -> None:
    """A cache that counts on another maxmemory-policy than the server's is told; on the same, nothing is."""
    policy = chores.policy(evicting.url, "llm")
    policy["namespaces"]["llm"]["eviction"] = {"redis": "allkeys-lfu"}
    (lint,) = found(policy, "eviction-differs")
    assert lint.path == "namespaces.llm.eviction.redis"
    assert "counts on allkeys-lfu" in lint.message
    policy["namespaces"]["llm"]["eviction"] = {"redis": "allkeys-lru"}
    assert found(policy, "eviction-differs", "no-maxmemory", "server-evicts") == []


def test_a_server_without_a_limit_never_evicts(own_redis: RedisServer) -> None:
    """Who counts on eviction is told of a server that has no maxmemory, and sessions are in order there."""
    policy = chores.policy(own_redis.url, "llm", "sessions")
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    policy["namespaces"]["llm"]["eviction"] = {"redis": "allkeys-lru"}
    assert [each.code for each in found(policy, "no-maxmemory", "server-evicts")] == ["no-maxmemory"]


def test_sessions_that_a_restart_would_lose_are_told(own_redis: RedisServer) -> None:
    """A server that keeps nothing on disk loses all sessions with its process; one that does is in order."""
    policy = chores.policy(own_redis.url, "sessions")
    assert [each.path for each in found(policy, "not-persisted")] == ["namespaces.sessions"]
    own_redis.command("CONFIG", "SET", "appendonly", "yes")
    assert found(policy, "not-persisted") == []


@pytest.mark.parametrize("admin", [("+acl|whoami", "+acl|dryrun"), ()], ids=["DRYRUN", "by saying them"])
def test_what_the_user_may_not_is_told(own_redis: RedisServer, admin: tuple[str, ...]) -> None:
    """Commands that a namespace needs and its user may not run are named, with or without ACL DRYRUN."""
    own_redis.command("ACL", "SETUSER", "app", "on", ">pw", "~app:*", "&app:*", "+@all", "-@admin", *admin)
    own_redis.command("ACL", "SETUSER", "app", "-pexpireat", "-zscore")
    policy = chores.policy(own_redis.url, "sessions", username="app", password="pw")
    (lint,) = found(policy, "not-allowed")
    assert lint.severity is Severity.ERROR
    assert lint.message.endswith(" pexpireat, zscore")
    assert lint.remedy == "cachepolicy acl --namespace sessions writes what it needs"
    assert own_redis.command("DBSIZE") == b":0\r\n"


def test_asking_changes_nothing(own_redis: RedisServer) -> None:
    """Nothing of the questions stays, in any database, even where the user may not remove what it wrote."""
    for db in range(8):
        own_redis.command(
            "EVAL", "redis.call('SELECT', ARGV[1]) redis.call('SET', 'app:x', 'x')", "0", str(db)
        )
    own_redis.command(
        "ACL", "SETUSER", "app", "on", ">pw", "~app:*", "&app:*", "+@all", "-acl", "-unlink", "-del"
    )
    for user in ({}, {"username": "app", "password": "pw"}):
        live_lints(load(chores.policy(own_redis.url, **user)))
    kept = re.findall(r"db\d:keys=(\d+),expires=(\d+)", own_redis.command("INFO", "keyspace").decode())
    assert [int(keys) - int(expires) for keys, expires in kept] == [1] * 8  # canaries end by themselves


@pytest.mark.parametrize("databases", ["auto", "select"])
def test_databases_that_are_not_apart_are_found(own_redis: RedisServer, databases: str) -> None:
    """A server that refuses other databases is found by a canary or by its refusal."""
    own_redis.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-select")
    rule = {"username": "app", "password": "pw", "databases": databases}
    lints = found(chores.policy(own_redis.url, "llm", **rule), "databases-not-apart", "unreachable")
    assert [each.code for each in lints] == ["databases-not-apart" if databases == "auto" else "unreachable"]


def test_scripts_that_do_not_run_are_found(redis_binary: str) -> None:
    """A server without EVAL is an error: everything that must be one step is a script."""
    with RedisServer("--rename-command", "EVALSHA", "", "--rename-command", "EVAL", "") as server:
        (lint,) = found(chores.policy(server.url, "temp"), "not-allowed")
    assert "does not know, eval, evalsha" in lint.message


def test_a_clock_that_differs_is_told(own_redis: RedisServer) -> None:
    """A clock that is ahead by more than health.clock_skew is told with the seconds."""
    late = Clock(wall=lambda: time.time() - 30)
    lints = live_lints(load(chores.policy(own_redis.url, "temp")), late)
    (lint,) = [each for each in lints if each.code == "clock-skew"]
    assert " s ahead of ours" in lint.message


@pytest.mark.parametrize(
    ("host", "ca", "code"),
    [
        ("127.0.0.1", "ca", None),
        ("elsewhere.example", "ca", "certificate-hostname"),
        ("127.0.0.1", "other_ca", "certificate-untrusted"),
    ],
    ids=["good", "another name", "another authority"],
)
def test_a_certificate_that_is_not_believed_is_told(
    redis_binary: str, host: str, ca: str, code: str | None
) -> None:
    """A certificate of another name, or of nobody who is trusted, is named as such; a good one is none."""
    with TlsServer(host).start() as server:
        policy = chores.policy(server.url, "temp", tls={"ca": str(getattr(server, ca))}, connect_timeout="5s")
        codes = {each.code for each in live_lints(load(policy)) if "certificate" in each.code}
    assert codes == ({code} if code else set())


def test_a_plain_port_and_an_encrypted_one_are_told_apart(tls_server: TlsServer) -> None:
    """rediss:// at a plain port, and redis:// at one with TLS, are errors that say so."""
    plain = chores.policy(tls_server.server.url.replace("redis:", "rediss:").removesuffix("/0"), "temp")
    (lint,) = found(plain, "certificate-plain")
    assert lint.severity is Severity.ERROR
    (lint,) = found(chores.policy(tls_server.url.replace("rediss:", "redis:"), "temp"), "unreachable")
    assert "rediss://" in lint.remedy


def test_nobody_there_is_an_error() -> None:
    """A server that does not run is an error at the line of its address, and takes seconds at most."""
    began = time.monotonic()
    (lint,) = found(chores.policy("redis://127.0.0.1:1", "temp"), "unreachable")
    assert (lint.path, lint.severity) == ("redis.url", Severity.ERROR)
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("engine", "version", "has"),
    [
        ("redis", "7.0.15", True),
        ("redis", "7.2.10", True),
        ("redis", "7.2.11", False),
        ("redis", "8.2.1", True),
        ("redis", "8.4.0", False),
        ("valkey", "8.1.4", True),
        ("valkey", "8.1.7", False),
        ("valkey", "9.0.2", True),
        ("valkey", "9.0.3", True),
        ("valkey", "9.0.4", False),
        ("dragonfly", "1.0.0", False),
        ("redis", "7.x", False),
    ],
)
def test_a_version_with_known_weaknesses_is_told(engine: str, version: str, has: bool) -> None:
    """A version older than the first mended one of its line is told; a newer one, or no version, is not."""
    assert bool(list(concerning(engine, version))) is has


def test_the_command_has_places_and_an_exit_code(
    evicting: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --live findings stand at the lines of their settings, and the exit code is 1; without it 0."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "policies.yaml"
    file.write_text(
        f"version: 1\nredis: {{url: '{evicting.url}', password: sesame, connect_timeout: 10s}}\nnamespaces:\n"
        "  exports: {kind: temp, db: 4}\n",
        encoding="utf-8",
    )
    evicting.command("CONFIG", "SET", "requirepass", "sesame")
    assert main(["check"]) == 0
    capsys.readouterr()
    assert main(["check", "--live", "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    errors = [(each["code"], each["line"]) for each in told["findings"] if each["severity"] == "error"]
    assert errors == [("server-evicts", 4)]
    assert "sesame" not in json.dumps(told)


def test_what_is_meant_is_not_told(own_redis: RedisServer) -> None:
    """A finding about a server is silenced as those about the file are, with a reason."""
    policy = chores.policy(own_redis.url, "sessions")
    policy["lint"] = {"ignore": [{"code": "not-persisted", "reason": "a test"}]}
    assert found(policy, "not-persisted") == []


def test_every_code_is_explained() -> None:
    """The guide's table has each code that can be silenced, and each has its row."""
    page = (ROOT / "docs/guide/doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| ((?:`[a-z][a-z-]+-[a-z-…]+` ?)+)\|", page.partition("## What servers")[2])
    told = set(re.findall(r"`([^`]+)`", " ".join(rows)))
    assert {each for each in get_args(LiveCode) if not each.startswith("certificate-")} <= told
    source = (ROOT / "cachepolicy/cli/live.py").read_text(encoding="utf-8")
    for code in get_args(LiveCode):
        assert f'"{code}"' in source
