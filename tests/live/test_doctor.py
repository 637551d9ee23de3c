"""``cachepolicy doctor``: what it finds, and that ``--apply`` sets what it says, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster
from tests.support import chores
from tests.support.source import ROOT

WANTED = {
    "MAX_MEMORY": "256mb",
    "MAX_MEMORY_SAMPLES": "7",
    "HASH_MAX_LISTPACK_ENTRIES": "256",
    "ZSET_MAX_LISTPACK_VALUE": "32",
}
SET = {
    "maxmemory": "268435456",
    "maxmemory-samples": "7",
    "hash-max-listpack-entries": "256",
    "zset-max-listpack-value": "32",
    "maxmemory-policy": "allkeys-lru",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name the policy's file."""
    return tmp_path / "policies.yaml"


def write(file: Path, url: str, *names: str, **rule: Any) -> None:
    """Write a policy whose cache counts on allkeys-lru."""
    policy = chores.policy(url, *names, **rule)
    policy["namespaces"]["llm"]["eviction"] = {"redis": "allkeys-lru"}
    file.write_text(json.dumps(policy), encoding="utf-8")


def doctor(
    file: Path, *words: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a process."""
    return subprocess.run(
        [sys.executable, "-m", "cachepolicy", "doctor", str(file), *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(ROOT), **(WANTED if variables is None else variables)},
    )


def settings(server: RedisServer) -> dict[str, str]:
    """Ask a server for what may be set."""
    found = {}
    for name in SET:
        told = server.command("CONFIG", "GET", name).decode().split("\r\n")
        found[name] = told[4]
    return found


def test_apply_sets_what_it_says_and_can_be_undone(own_redis: RedisServer, file: Path) -> None:
    """--apply sets what the policy and the variables want, tells before and after, and how to go back."""
    write(file, own_redis.url, "llm")
    before = settings(own_redis)
    done = doctor(file, "--apply")
    assert done.returncode == 0, done.stdout
    assert settings(own_redis) == SET
    assert f"maxmemory-samples {before['maxmemory-samples']} → 7 ($MAX_MEMORY_SAMPLES)" in done.stdout
    for line in done.stdout.splitlines():
        _, found, command = line.partition("to undo it: ")
        if found:
            assert own_redis.command(*command.split()) == b"+OK\r\n"
    assert settings(own_redis) == before
    assert doctor(file, "--apply").returncode == 0
    assert "→" not in doctor(file).stdout  # all is as it should be


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--apply", "--dry-run"), ("--json",)])
def test_nothing_is_set_without_apply(own_redis: RedisServer, file: Path, words: tuple[str, ...]) -> None:
    """Without --apply, and with --dry-run, commands are shown and no setting changes."""
    write(file, own_redis.url, "llm")
    before = settings(own_redis)
    done = doctor(file, *words)
    assert "CONFIG SET maxmemory-policy allkeys-lru" in done.stdout
    assert settings(own_redis) == before


def test_a_server_that_refuses_is_left_and_shown_the_commands(own_redis: RedisServer, file: Path) -> None:
    """Where CONFIG is forbidden nothing is set, its operator is shown the commands; exit code 1."""
    own_redis.command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-config")
    write(file, own_redis.url, "llm", username="app", password="pw")
    before = settings(own_redis)
    done = doctor(file, "--apply")
    assert done.returncode == 1
    assert "refused: " in done.stdout
    assert "to set it: CONFIG SET maxmemory 268435456" in done.stdout
    assert settings(own_redis) == before
    own_redis.command("ACL", "SETUSER", "app", "+config|get")
    assert "the server does not let its user set it" in doctor(file, "--apply").stdout
    assert settings(own_redis) == before


def test_what_must_stay_is_never_made_evictable(own_redis: RedisServer, file: Path) -> None:
    """Where sessions lie too, the cache's eviction is not applied, and that is said."""
    write(file, own_redis.url, "llm", "sessions")
    done = doctor(file, "--apply", variables={})
    assert "left: " in done.stdout
    assert "it would evict from sessions, which must not lose anything" in done.stdout
    assert settings(own_redis)["maxmemory-policy"] == "noeviction"


def test_memory_is_not_cut_below_what_is_there(own_redis: RedisServer, file: Path) -> None:
    """A maxmemory below what the data takes is not set: some of it would be lost at once."""
    write(file, own_redis.url, "llm")
    done = doctor(file, "--apply", variables={"MAX_MEMORY": "100kb"})
    assert "some of it would be lost at once" in done.stdout
    assert settings(own_redis)["maxmemory"] == "0"


def test_a_variable_that_is_no_number_is_told(own_redis: RedisServer, file: Path) -> None:
    """A variable that cannot be read is named, without its text, and nothing is set by it."""
    write(file, own_redis.url, "llm")
    done = doctor(file, "--apply", variables={"MAX_MEMORY": "lots", "MAX_MEMORY_SAMPLES": "5 extra"})
    assert "MAX_MEMORY says no setting of a server\n  to mend it: expected a size" in done.stdout
    assert "MAX_MEMORY_SAMPLES says no setting of a server\n  to mend it: expected a number" in done.stdout
    assert done.returncode == 1
    assert "lots" not in done.stdout
    assert settings(own_redis)["maxmemory"] == "0"


def test_each_server_of_a_cluster_is_set(redis_binary: str, file: Path) -> None:
    """On a cluster every master is set, not the one that happens to be asked."""
    with RedisCluster(node_timeout=30.0) as cluster:
        write(file, cluster.url, "llm")
        done = doctor(file, "--apply", variables={"MAX_MEMORY_SAMPLES": "9"})
        assert done.stdout.count("maxmemory-samples 5 → 9") == 3
        assert "→" not in doctor(file, variables={"MAX_MEMORY_SAMPLES": "9"}).stdout


def test_all_that_is_wrong_here_is_told_with_a_remedy(own_redis: RedisServer, file: Path) -> None:
    """The policy, this machine, the servers and their health: each finding says how to mend it."""
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    own_redis.command("CONFIG", "SET", "maxmemory", "1200kb")
    write(file, own_redis.url, "llm", "sessions", password="sesame")
    own_redis.command("CONFIG", "SET", "requirepass", "sesame")
    done = doctor(file, "--json", variables={"LLM_CACHE_TTL": "1d", "CACHEPOLICY_ENVIRONMENT": "x"})
    found = json.loads(done.stdout)["findings"]
    assert {each["part"] for each in found} == {"policy", "here", "servers", "health"}
    assert all(each["remedy"] for each in found)
    assert [each["what"].split()[0] for each in found if each["part"] == "here"] == [
        "CACHEPOLICY_ENVIRONMENT",
        "LLM_CACHE_TTL",
    ]
    assert done.returncode == 1
    assert "sesame" not in done.stdout + done.stderr


def test_a_policy_that_is_wrong_is_told_without_a_traceback(file: Path) -> None:
    """Of a policy that cannot be loaded each problem is told with its place, and nobody is asked."""
    file.write_text("version: 1\nnamespaces: {llm: {kind: cash}}\n", encoding="utf-8")
    done = doctor(file, variables={})
    assert done.returncode == 1
    assert ":2:26: namespaces.llm.kind:" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_server_that_is_down_is_told(file: Path) -> None:
    """A Redis that does not run is an error with a remedy, and no traceback."""
    write(file, "redis://127.0.0.1:1", "llm")
    done = doctor(file, "--apply")
    assert done.returncode == 1
    assert "cannot be used (refused)" in done.stdout
    assert "Traceback" not in done.stderr
