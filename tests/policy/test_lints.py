"""What is valid and probably not meant is found, each by its code, and can be said to be meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from cachepolicy import policy
from cachepolicy.policy.lints import Lint, Severity, empty_environment, lint
from cachepolicy.policy.rules.linting import LintCode
from tests.policy.helpers import NOTHING, complaints, namespace, write
from tests.support.source import ROOT

KEY = "a" * 64
HOST = "redis: {url: 'redis://host', deadline: 1s}"
CACHE = "a: {kind: cache, scope: global, db: 1"
SPENT = "money: 5 USD/day"
MONEY = "currency: USD\nprices: {m: {input: 1}}"
LRU = f"{CACHE}, eviction: {{redis: allkeys-lru}}}}"

# code: (the policy below version: 1, the path of the finding, what mends it: text and its replacement)
CASES: dict[str, tuple[str, str, str, str]] = {
    "shared-database": (
        f"{HOST}\nnamespaces: {{b: {{kind: temp, db: 1}}, {CACHE}}}}}",
        "namespaces.a.db",
        "temp, db: 1",
        "temp, db: 2",
    ),
    "cluster-databases": (
        f"redis: {{url: 'redis+cluster://a,b', databases: select}}\nnamespaces: {{{CACHE}}}}}",
        "namespaces.a.db",
        "select",
        "auto",
    ),
    "evicts-what-must-stay": (
        f"{HOST}\nnamespaces: {{{LRU}, s: {{kind: sessions}}}}",
        "namespaces.s",
        "sessions}",
        "sessions, url: 'redis://own'}",
    ),
    "sessions-beside-cache": (
        f"{HOST}\nnamespaces: {{{CACHE}}}, s: {{kind: sessions}}}}",
        "namespaces.s",
        "sessions}",
        "sessions, guarantee: required}",
    ),
    "eviction-conflict": (
        f"{HOST}\nnamespaces: {{{LRU}, b: {{kind: cache, scope: global, eviction: {{redis: allkeys-lfu}}}}}}",
        "namespaces.b.eviction.redis",
        "lfu",
        "lru",
    ),
    "cache-never-evicts": (
        f"{HOST}\nnamespaces: {{{CACHE}, eviction: {{redis: noeviction}}}}}}",
        "namespaces.a.eviction.redis",
        "noeviction",
        "allkeys-lru",
    ),
    "plain-password": (
        "redis: {url: 'redis://host', password: '${P}'}",
        "redis.url",
        "redis://",
        "rediss://",
    ),
    "unverified-tls": ("redis: {tls: {verify: false}}", "redis.tls.verify", "false", "true"),
    "memory-in-production": (
        f"environments: {{production: {{redis: {{url: 'memory://'}}}}}}\nnamespaces: {{{CACHE}}}}}",
        "environments.production.redis.url",
        "memory://",
        "redis://host",
    ),
    "deadline-below-connect": (
        "redis: {deadline: 10ms, connect_timeout: 1s}",
        "redis.connect_timeout",
        "1s",
        "20ms",
    ),
    "no-jitter": (f"namespaces: {{{CACHE}, jitter: 0%}}}}", "namespaces.a.jitter", "0%", "5%"),
    "shared-by-users": (f"namespaces: {{{CACHE}, tags: user_id}}}}", "namespaces.a.scope", "global", "user"),
    "local-beyond-ttl": (
        f"namespaces: {{{CACHE}, ttl: 10s, local: {{ttl: 1m}}}}}}",
        "namespaces.a.local.ttl",
        "10s",
        "10m",
    ),
    "negative-beyond-ttl": (
        f"namespaces: {{{CACHE}, ttl: 10s, negative: {{bad_requests: true, ttl: 1m}}}}}}",
        "namespaces.a.negative.ttl",
        "true",
        "false",
    ),
    "stale-beyond-max": (
        f"namespaces: {{{CACHE}, ttl: {{default: 1h, max: 1h}}, stale: {{while_revalidate: 1m}}}}}}",
        "namespaces.a.stale.while_revalidate",
        "max: 1h",
        "max: 2h",
    ),
    "soft-timeout-unused": (
        f"namespaces: {{{CACHE}, timeouts: {{soft: 1s}}}}}}",
        "namespaces.a.timeouts.soft",
        "timeouts:",
        "stale: {if_error: 1h}, timeouts:",
    ),
    "small-compression": (
        "namespaces: {t: {kind: temp, compression: {threshold: 100B}}}",
        "namespaces.t.compression.threshold",
        "100B",
        "1KiB",
    ),
    "local-budgets": (
        f"namespaces: {{{CACHE}, local: {{max_bytes: 2GiB}}}}}}",
        "namespaces.a.local.max_bytes",
        "2GiB",
        "1GiB",
    ),
    "window-beyond-ttl": (
        "namespaces: {r: {kind: ratelimit, ttl: {default: 1h, max: 1d}, rules: {c: {requests: 5/week}}}}",
        "namespaces.r.rules.c",
        "week",
        "day",
    ),
    "limit-fails-open": (
        f"{MONEY}\nnamespaces: {{r: {{kind: ratelimit, on_fault: allow, rules: {{c: {{{SPENT}}}}}}}}}",
        "namespaces.r.on_fault",
        "allow",
        "local",
    ),
    "limit-in-shadow": (
        "namespaces: {r: {kind: ratelimit, rules: {c: {requests: 5/day, shadow: true}}}}",
        "namespaces.r.rules.c.shadow",
        "true",
        "false",
    ),
    "ttl-beyond-absolute": (
        "namespaces: {s: {kind: sessions, ttl: 30d}}",
        "namespaces.s.ttl",
        "30d",
        "1d",
    ),
    "content-in-spans": ("telemetry: {content: true}", "telemetry.content", "true", "false"),
    "thresholds-crossed": ("health: {ping_slow: 1s}", "health.ping_slow", "1s", "10ms"),
    "secret-in-file": ("redis: {password: hush}", "redis.password", "hush", "'${P}'"),
}


def found(folder: Path, text: str, environment: str | None = None) -> tuple[Lint, ...]:
    """Lint a policy."""
    path = write(folder, f"version: 1\n{text}\n")
    return lint(policy.load(path, environment=environment, variables={"P": "hush"}))


def environment_of(code: str) -> str | None:
    """Say in which environment a case is seen."""
    return "production" if code == "memory-in-production" else None


@pytest.mark.parametrize("code", CASES)
def test_each_lint_finds_what_it_is_for(code: str, tmp_path: Path) -> None:
    """What is probably not meant is found, alone, at its place; mended as the remedy says, it is not."""
    text, path, wrong, right = CASES[code]
    (finding,) = found(tmp_path, text, environment_of(code))
    assert (finding.code, finding.path) == (code, path)
    assert finding.place.line >= 2
    assert finding.message
    assert finding.remedy
    assert "hush" not in repr(finding)
    assert code not in {
        each.code for each in found(tmp_path, text.replace(wrong, right), environment_of(code))
    }


@pytest.mark.parametrize("code", CASES)
def test_each_finding_can_be_meant(code: str, tmp_path: Path) -> None:
    """With a reason, a finding is left out: everywhere, or at and below a path; elsewhere it stays."""
    text, path, _, _ = CASES[code]
    plain = path.removeprefix("environments.production.")
    for at in ("", f", at: {plain}", f", at: {plain.rpartition('.')[0] or plain}"):
        ignored = f"{text}\nlint: {{ignore: [{{code: {code}, reason: so{at}}}]}}"
        assert found(tmp_path, ignored, environment_of(code)) == ()
    elsewhere = f"{text}\nlint: {{ignore: [{{code: {code}, reason: so, at: {plain}x}}]}}"
    assert [each.code for each in found(tmp_path, elsewhere, environment_of(code))] == [code]


def test_every_code_is_tried() -> None:
    """Each code that a file may name has a case here."""
    assert {*CASES, "empty-environment"} == set(get_args(LintCode))


def test_a_finding_without_a_reason_stays() -> None:
    """To ignore a finding, a policy says why; and a code that there is not is told, with the nearest."""
    source = {"version": 1, "lint": {"ignore": [{"code": "no-jiter"}]}}
    first, second = complaints(source)
    assert "did you mean 'no-jitter'?" in first
    assert "lint.ignore[0].reason: required" in second


def test_an_environment_that_says_nothing_is_found() -> None:
    """An environment that changes nothing is told; one that says anything is not."""
    source = {"version": 1, "environments": {"empty": None, "full": {"app": "x"}}}
    loaded = [policy.load(source, environment=each, variables=NOTHING) for each in (None, "empty", "full")]
    (finding,) = [each for one in loaded for each in empty_environment(one)]
    assert (finding.code, finding.path) == ("empty-environment", "environments.empty")


@pytest.mark.parametrize(
    ("url", "is_found"),
    [
        ("redis://:p@localhost", False),
        ("redis://:p@127.0.0.1:6380", False),
        ("redis://:p@[::1]:6379", False),
        ("unix:///run/redis.sock", False),
        ("rediss://:p@host", False),
        ("redis://host", False),
        ("redis://:p@host", True),
        ("redis+cluster://:p@localhost,host", True),
        ("redis+sentinel://:p@host/master", True),
    ],
)
def test_a_password_is_seen_on_its_way(url: str, is_found: bool) -> None:
    """A password goes in the clear only over a network, and only without TLS."""
    loaded = policy.load({"version": 1, "redis": {"url": url}}, variables=NOTHING)
    assert ("plain-password" in {each.code for each in lint(loaded)}) is is_found


def test_what_is_required_and_cannot_be_is_an_error(tmp_path: Path) -> None:
    """Sessions that must not be lost, on a server that is said to evict: that cannot work."""
    text = f"{HOST}\nnamespaces: {{{LRU}, s: {{kind: sessions, guarantee: required}}}}"
    (finding,) = found(tmp_path, text)
    assert (finding.code, finding.severity) == ("evicts-what-must-stay", Severity.ERROR)


def test_a_mode_that_says_what_becomes_of_sessions_is_enough(tmp_path: Path) -> None:
    """Of protected sessions nothing is found where the server evicts among keys with a TTL, or as it will."""
    for cache in (LRU.replace("allkeys-lru", "volatile-lru"), f"{CACHE}}}"):
        text = f"{HOST}\nnamespaces: {{{cache}, s: {{kind: sessions, eviction: {{mode: protected}}}}}}"
        assert [each.code for each in found(tmp_path, text) if "s" in each.path.split(".")] == []


@pytest.mark.parametrize(
    "source", [{"version": 1}, namespace("temp"), {"version": 1, "redis": {"url": "redis://h"}}]
)
def test_a_plain_policy_is_fine(source: dict[str, Any]) -> None:
    """Built-in values are no mistakes."""
    assert lint(policy.load(source, variables=NOTHING)) == ()


def test_the_shipped_policy_is_fine() -> None:
    """The policy that comes with the library has nothing that is not meant, where it needs no server."""
    for environment in (None, "test"):
        assert lint(policy.load(policy.shipped(), environment=environment, variables=NOTHING)) == ()


def test_servers_are_told_apart_by_what_they_are(tmp_path: Path) -> None:
    """A server is the same by whichever of its spellings; another port, or process, is another."""
    for url, shared in (
        ("redis://HOST:6379/4", True),
        ("rediss://u:p@host", True),
        ("redis://host:6380", False),
    ):
        other = "b: {kind: temp, db: 1, url: 'redis://host'}"
        text = f"redis: {{url: '{url}', tls: true}}\nnamespaces: {{{other}, {CACHE}}}}}"
        codes = {each.code for each in found(tmp_path, text)}
        assert ("shared-database" in codes) is shared


def test_every_code_is_explained() -> None:
    """The guide says of each code what is found."""
    page = (ROOT / "docs/guide/check.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^\| `([a-z][a-z-]+)` \|", page) != []
    assert set(re.findall(r"(?m)^\| `([a-z][a-z-]+)` \|", page)) == set(get_args(LintCode))
