"""The policy that comes with the library, and how a policy is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cachepolicy import policy
from cachepolicy.errors import PolicyError
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import (
    AnalyticsRule,
    CacheRule,
    RateLimitRule,
    SessionsRule,
    TempRule,
)
from tests.policy.helpers import NOTHING, write
from tests.support.source import ROOT

HOUR, DAY = 3600.0, 86_400.0


def loaded(**variables: str) -> Policy:
    """Load the shipped policy."""
    return policy.load(policy.shipped(), variables=variables).policy


def ttl(found: Policy, name: str) -> float:
    """Return a namespace's default TTL."""
    return policy.namespace(found, name).ttl.default


def llm(found: Policy) -> CacheRule:
    """Return the llm namespace."""
    rule = policy.namespace(found, "llm")
    assert isinstance(rule, CacheRule)
    return rule


def secret(found: Policy) -> str | None:
    """Return the Redis password."""
    return None if found.redis.password is None else found.redis.password.get_secret_value()


VARIABLES: dict[str, tuple[Callable[[Policy], object], object, str, object]] = {
    "REDIS_URL": (lambda p: p.redis.url.get_secret_value(), "memory://", "rediss://host", "rediss://host"),
    "REDIS_PASSWORD": (secret, None, "12345", "12345"),
    "REDIS_SSL": (lambda p: p.redis.tls.enabled, False, "true", True),
    "REDIS_MAX_CONNECTIONS": (lambda p: p.redis.max_connections, 20, "50", 50),
    "REDIS_RETRY_ON_TIMEOUT": (lambda p: p.redis.retry.on_timeout, True, "False", False),
    "SESSION_TTL": (lambda p: ttl(p, "sessions"), DAY, "1800", 1800.0),
    "LLM_CACHE_TTL": (lambda p: ttl(p, "llm"), 7 * DAY, "172800", 2 * DAY),
    "RATE_LIMIT_TTL": (lambda p: ttl(p, "ratelimit"), HOUR, "7200", 2 * HOUR),
    "ANALYTICS_TTL": (lambda p: ttl(p, "analytics"), 30 * DAY, "86400", DAY),
    "TEMP_DATA_TTL": (lambda p: ttl(p, "temp"), DAY, "3600", HOUR),
    "ENABLE_COMPRESSION": (lambda p: llm(p).compression.enabled, True, "0", False),
    "COMPRESSION_THRESHOLD": (lambda p: llm(p).compression.threshold, 1024, "2048", 2048),
    "MAX_MEMORY_POLICY": (lambda p: llm(p).eviction.redis, "allkeys-lru", "volatile-ttl", "volatile-ttl"),
    "ENABLE_PIPELINE": (lambda p: p.redis.pipeline.enabled, True, "no", False),
    "PIPELINE_SIZE": (lambda p: p.redis.pipeline.size, 100, "7", 7),
    "ENABLE_METRICS": (lambda p: p.telemetry.enabled, True, "off", False),
    "HEALTH_CHECK_INTERVAL": (lambda p: p.health.interval, 30.0, "5", 5.0),
    "ALERT_ON_HIGH_MEMORY": (lambda p: p.health.memory_alert, True, "FALSE", False),
    "MEMORY_THRESHOLD_PERCENT": (lambda p: p.health.memory_threshold, 0.8, "75", 0.75),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_each_variable_is_honoured(name: str) -> None:
    """Setting a variable changes its field and nothing else; unset or empty, the field has its default."""
    read, default, text, value = VARIABLES[name]
    assert read(loaded()) == default
    assert read(loaded(**{name: ""})) == default
    assert read(loaded(**{name: text})) == value
    others = {other: row[0](loaded(**{name: text})) for other, row in VARIABLES.items() if other != name}
    assert others == {other: row[1] for other, row in VARIABLES.items() if other != name}


def test_all_variables_together() -> None:
    """All variables may be set at once."""
    found = loaded(**{name: row[2] for name, row in VARIABLES.items()})
    assert {name: row[0](found) for name, row in VARIABLES.items()} == {
        name: row[3] for name, row in VARIABLES.items()
    }


def test_no_other_variable_is_used() -> None:
    """The file names exactly the variables that are promised, beside the examples of its head."""
    text = policy.shipped().read_text(encoding="utf-8")
    values = "\n".join(line.partition("#")[0] for line in text.splitlines())
    assert set(re.findall(r"\$\{([A-Z_]+)", values)) == set(VARIABLES)


@pytest.mark.parametrize(
    ("name", "kind", "db", "default", "least", "most"),
    [
        ("sessions", SessionsRule, 0, DAY, None, None),
        ("llm", CacheRule, 1, 7 * DAY, DAY, 7 * DAY),
        ("ratelimit", RateLimitRule, 2, HOUR, HOUR, DAY),
        ("analytics", AnalyticsRule, 3, 30 * DAY, HOUR, 30 * DAY),
        ("temp", TempRule, 4, DAY, HOUR, DAY),
    ],
)
def test_the_five_namespaces(
    name: str, kind: type, db: int, default: float, least: float | None, most: float | None
) -> None:
    """Five namespaces come with the library, each with its kind, its database and its TTL."""
    rule = policy.namespace(loaded(), name)
    assert type(rule) is kind
    assert (rule.db, rule.ttl.default, rule.ttl.min, rule.ttl.max) == (db, default, least, most)
    assert list(loaded().namespaces) == ["sessions", "llm", "ratelimit", "analytics", "temp"]


def test_production_insists_on_a_server() -> None:
    """In production there is no falling back to the process's own memory."""
    with pytest.raises(PolicyError, match="set REDIS_URL in production"):
        policy.load(policy.shipped(), environment="production", variables=NOTHING)
    found = policy.load(
        policy.shipped(), environment="production", variables={"REDIS_URL": "redis://host"}
    ).policy
    assert found.redis.tls.enabled


def test_tests_never_leave_the_process() -> None:
    """In the environment ``test``, the server of the shell is not touched."""
    found = policy.load(policy.shipped(), variables={"REDIS_URL": "redis://host", "CACHEPOLICY_ENV": "test"})
    assert found.policy.redis.url.get_secret_value() == "memory://"


def test_there_is_one_shipped_policy() -> None:
    """The file in the package and the one at the top of the repository are one."""
    assert policy.shipped().samefile(ROOT / "policies.yaml")


def test_a_policy_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest ``policies.yaml`` at or above the working directory is found."""
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    path = write(tmp_path, "version: 1\n")
    assert policy.find(below) == path
    nearer = write(tmp_path / "a", "version: 1\n")
    assert policy.find(below) == nearer
    monkeypatch.chdir(below)
    assert policy.find() == nearer


def test_a_folder_of_that_name_is_no_policy(tmp_path: Path) -> None:
    """Only a file is found, and nothing at all is an answer."""
    (tmp_path / "policies.yaml").mkdir()
    assert policy.find(tmp_path) != tmp_path / "policies.yaml"


def test_a_path_may_be_text(tmp_path: Path) -> None:
    """A source is a path in any form."""
    path = write(tmp_path, "version: 1\napp: chat\n")
    assert policy.load(str(path), variables=NOTHING).policy.app == "chat"
