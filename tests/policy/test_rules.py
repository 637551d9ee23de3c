"""The rules: what each kind takes, and which combinations are impossible."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from cachepolicy import policy
from cachepolicy.errors import PolicyError, UnknownNamespace
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import (
    KINDS,
    AnalyticsRule,
    NamespaceRule,
    RateLimitRule,
    SessionsRule,
    TempRule,
)
from cachepolicy.policy.rules.base import MaxMemoryPolicy
from cachepolicy.policy.rules.frozen import FrozenMap
from cachepolicy.policy.units import MoneyRate, Rate, parse_duration
from tests.policy.helpers import NOTHING, cache, cache_rule, namespace, said


def rule_of(source: Mapping[str, object]) -> NamespaceRule:
    """Load a policy with one namespace and return it."""
    return policy.namespace(policy.load(source, variables=NOTHING).policy, "it")


def limit(**fields: object) -> dict[str, object]:
    """Return a policy with one rate limit."""
    return namespace("ratelimit", rules={"chat": fields})


def test_a_kind_says_what_a_namespace_is() -> None:
    """Each kind has a rule of its own, and only ``scope`` of a cache must be said beside it."""
    for kind, model in KINDS.items():
        said_by_hand = {"scope": "global"} if kind == "cache" else {}
        rule = rule_of(namespace(kind, **said_by_hand))
        assert type(rule) is model
        assert rule.kind == kind


def test_the_scope_of_a_cache_is_never_guessed() -> None:
    """A cache that does not say who may share its answers is refused."""
    assert said(namespace("cache")) == ["namespaces.it.scope: required"]


def test_a_ttl_is_a_duration_or_a_range() -> None:
    """``ttl: 7d`` is short for a range without bounds."""
    assert cache_rule(cache(ttl="7d")).ttl == cache_rule(cache(ttl={"default": "7d"})).ttl
    bounded = cache_rule(cache(ttl={"default": 120, "min": "1m", "max": "1h"})).ttl
    assert (bounded.default, bounded.min, bounded.max) == (120.0, 60.0, 3600.0)


def test_a_ttl_range_has_its_ends_in_order() -> None:
    """A shortest TTL above the longest is impossible."""
    assert said(cache(ttl={"default": "1h", "min": "3h", "max": "2h"})) == [
        "namespaces.llm.ttl: expected a min that is not above max"
    ]


@pytest.mark.parametrize("default", ["1h", "30d"])
def test_a_default_ttl_is_the_operators_own(default: str) -> None:
    """The range bounds what code may ask for; a default outside of it is honoured."""
    source = cache(ttl={"default": "${LLM_CACHE_TTL:-7d}", "min": "1d", "max": "7d"})
    loaded = policy.load(source, variables={"LLM_CACHE_TTL": default}).policy
    found = policy.namespace(loaded, "llm").ttl
    assert (found.default, found.min) == (parse_duration(default), 86_400.0)


def test_a_range_out_of_variables_names_them() -> None:
    """When a variable makes a range impossible, the error says which."""
    source = cache(ttl={"default": "2d", "min": "${SHORTEST}", "max": "1d"})
    assert said(source, variables={"SHORTEST": "3d"}) == [
        "namespaces.llm.ttl: expected a min that is not above max (from ${SHORTEST})"
    ]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"ttl": 0}, "ttl: expected a duration"),
        ({"ttl": True}, "ttl: expected a duration"),
        ({"ttl": ["1h"]}, "ttl: expected a mapping"),
        ({"ttl": {"min": "1h"}}, "ttl.default: required"),
        ({"jitter": "100%"}, "expected a jitter below 100%"),
        ({"jitter": 0.1}, "jitter: expected a percentage"),
        ({"db": -1}, "db: expected at least 0"),
        ({"db": "1"}, "db: expected a whole number such as 20"),
        ({"db": 1.0}, "db: expected a whole number such as 20"),
        ({"db": True}, "db: expected a whole number such as 20"),
        ({"tags": [3]}, "tags[0]: expected text"),
        ({"tags": {"a": 1}}, "tags: expected a list such as [a, b]"),
        ({"local": {"max_bytes": "0"}}, "local.max_bytes: expected a size"),
        ({"local": {"ttl": "0s"}}, "local.ttl: expected a duration"),
        ({"stale": {"if_error": -1}}, "stale.if_error: expected a duration"),
        ({"eviction": {"redis": "lru"}}, "eviction.redis: expected noeviction, allkeys-lru"),
        (
            {"sampling": {"temperature_above_zero": "bypas"}},
            "temperature_above_zero: expected cache, bypass or {variants: 3}; did you mean 'bypass'?",
        ),
        (
            {"sampling": {"temperature_above_zero": {"variants": 0}}},
            "sampling.temperature_above_zero.variants: expected at least 1",
        ),
        ({"on_fault": "allow"}, "on_fault: expected bypass, raise or deny"),
        ({"compression": {"level": 20}}, "compression.level: expected at most 19"),
        ({"compression": {"codec": "gzip"}}, "compression.codec: expected zstd or none"),
        ({"compression": {"dictionary": ""}}, "compression.dictionary: expected text that is not empty"),
        ({"compression": {"dictionary": 7}}, "compression.dictionary: expected text"),
        (
            {"guarantee": "best-effort"},
            "guarantee: expected best_effort or required; did you mean 'best_effort'?",
        ),
        ({"url": "http://x"}, "url: expected a Redis URL"),
        ({"url": 3}, "url: expected text"),
    ],
    ids=str,
)
def test_a_cache_refuses_what_is_impossible(fields: dict[str, object], complaint: str) -> None:
    """Each wrong value of a cache is refused at its own path with what was expected."""
    (found,) = said(cache(**fields))
    assert found.startswith("namespaces.llm")
    assert complaint in found


@pytest.mark.parametrize(
    ("written", "mode", "variants"),
    [("cache", "cache", 1), ("bypass", "bypass", 1), ({"variants": 3}, "variants", 3)],
    ids=str,
)
def test_chance_is_cached_bypassed_or_kept_in_variants(written: object, mode: str, variants: int) -> None:
    """Calls with a temperature above zero are treated in one of three ways."""
    found = cache_rule(cache(sampling={"temperature_above_zero": written})).sampling.temperature_above_zero
    assert (found.mode, found.variants) == (mode, variants)


def test_zero_turns_off_what_can_be_off() -> None:
    """A field that means a grace or a share takes zero for off."""
    rule = cache_rule(cache(stale={"if_error": "0s", "while_revalidate": 0}, jitter="0%"))
    assert (rule.stale.if_error, rule.stale.while_revalidate, rule.jitter) == (0.0, 0.0, 0.0)


def test_every_eviction_policy_of_redis_is_known() -> None:
    """``eviction.redis`` takes the words of Redis itself."""
    for word in get_args(MaxMemoryPolicy):
        assert cache_rule(cache(eviction={"redis": word})).eviction.redis == word


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:secret@localhost:6379/0",
        "rediss://user:pw@host:6380",
        "redis://[::1]:6379",
        "unix:///run/redis.sock",
        "unix://user:pw@/run/redis.sock",
        "redis+cluster://a:7000,b:7001,c",
        "redis+cluster://:pw@a,b",
        "redis+sentinel://a:26379,b/master",
        "local:///var/cache",
        "local://./cache",
        "local://cache",
        "memory://",
    ],
)
def test_a_redis_url_may_be_of_any_known_kind(url: str) -> None:
    """Every scheme that the library speaks is taken."""
    redis = policy.load({"version": 1, "redis": {"url": url}}, variables=NOTHING).policy.redis
    assert redis.url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis:localhost",
        "redis://host:port",
        "redis://host:0",
        "redis://host:99999",
        "redis://a,b",
        "redis://:p/w@host",
        "unix://",
        "unix://sock",
        "local://",
        "redis+cluster://",
        "redis+cluster://a,,b",
        "redis+cluster://a:x",
        "redis+sentinel://a,b",
        "redis+sentinel://a/",
        "memory://somewhere",
        "memory",
        "redis://[::1",
        "redis://ho st",
        "REDIS",
    ],
)
def test_a_redis_url_of_no_known_form_is_refused(url: str) -> None:
    """A URL that names no server in a known way is refused without being repeated."""
    (found,) = said({"version": 1, "redis": {"url": url}})
    assert found.startswith("redis.url: expected a Redis URL such as redis://host:6379")


def test_limits_of_a_rule() -> None:
    """A rule limits requests, tokens, money and concurrency, by plan or for all."""
    rule = rule_of(
        limit(
            by=["tenant", "user_id"],
            default_plan="free",
            plans={
                "free": {"requests": ["100/hour", "1000/day"], "tokens": "50000/day", "concurrency": 2},
                "pro": {"money": ["5.00 USD/day"], "concurrency": {"limit": 9, "lease": "30s"}},
                "staff": {"unlimited": True},
            },
        )
        | {"currency": "USD", "prices": {"*": {"input": 1, "output": 1}}}
    )
    assert isinstance(rule, RateLimitRule)
    chat = rule.rules["chat"]
    assert chat.by == ("tenant", "user_id")
    assert chat.plans["free"].requests == (Rate(100, 3600.0), Rate(1000, 86_400.0))
    assert chat.plans["free"].tokens == (Rate(50_000, 86_400.0),)
    assert chat.plans["pro"].money == (MoneyRate(5_000_000, "USD", 86_400.0),)
    assert [plan.concurrency.limit for plan in chat.plans.values() if plan.concurrency is not None] == [2, 9]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "expected limits such as requests: [100/hour], or plans, or unlimited: true"),
        ({"requests": "1/hour", "unlimited": True}, "expected limits such as"),
        ({"requests": "1/hour", "plans": {"free": {"requests": "1/hour"}}}, "expected limits such as"),
        (
            {"plans": {"free": {}}},
            "plans.free: expected limits such as requests: [100/hour], or unlimited: true",
        ),
        ({"plans": {"free": {"tokens": "1/hour", "unlimited": True}}}, "plans.free: expected limits such as"),
        ({"requests": ["1/hour", "2/60m"]}, "requests: expected one rate for each window"),
        ({"money": ["1 USD/day", "2 USD/day"]}, "money: expected one rate for each window and currency"),
        ({"requests": ["1/hour", "many/day"]}, "requests[1]: expected a rate such as 100/hour"),
        ({"requests": {"a": 1}}, "requests: expected a list"),
        ({"requests": "100000000000/day"}, "this one cannot be counted exactly"),
        ({"requests": "100/month"}, "expected no rate per month"),
        ({"requests": "100/month", "algorithm": "window"}, "expected no rate per month"),
        ({"requests": "100/10s", "algorithm": "calendar"}, "expected rates per hour, day or month"),
        ({"requests": "100/week", "algorithm": "calendar"}, "expected rates per hour, day or month"),
        ({"requests": "5/hour", "burst": "10%"}, "expected a larger burst: this one lets no call pass"),
        (
            {"requests": "5/hour", "burst": "50%", "algorithm": "window"},
            "expected no burst: it belongs to algorithm: gcra",
        ),
        ({"requests": "5/hour", "buckets": 9}, "expected no buckets: it belongs to algorithm: window"),
        (
            {"requests": "5/hour", "default_plan": "free"},
            "expected default_plan to be one of its plans: none",
        ),
        (
            {"requests": "5/hour", "algorithm": "gcar"},
            "algorithm: expected gcra, window or calendar; did you mean 'gcra'?",
        ),
        ({"requests": "5/hour", "on_fault": "bypass"}, "on_fault: expected allow, deny or local"),
        ({"concurrency": 0}, "concurrency: expected at least 1"),
        (
            {"concurrency": {"limit": 1, "leese": "1s"}},
            "concurrency.leese: unknown key; did you mean 'lease'?",
        ),
        ({"plans": {"Free Plan": {"requests": "1/hour"}}}, "plans.Free Plan: expected a name"),
        (
            {"plans": {"free": {"reqests": "1/hour"}}},
            "plans.free.reqests: unknown key; did you mean 'requests'?",
        ),
        ({"requests": "5/hour", "by": [3]}, "by[0]: expected text"),
        ({"requests": "5/hour", "by": ""}, "by: expected text that is not empty"),
    ],
    ids=str,
)
def test_an_impossible_limit_is_refused(fields: dict[str, object], complaint: str) -> None:
    """A limit that no server could keep, or that limits nothing, is refused at load."""
    found = said(limit(**fields))
    assert complaint in found[0]
    assert found[0].startswith("namespaces.it.rules.chat")


def test_a_calendar_takes_months() -> None:
    """Quotas that are read on an invoice go by the hour, the day and the month."""
    rule = rule_of(limit(requests=["10/hour", "100/day", "1000000000000/month"], algorithm="calendar"))
    assert isinstance(rule, RateLimitRule)
    assert [rate.period for rate in rule.rules["chat"].requests] == ["hour", "day", "month"]


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        (
            "ratelimit",
            {"trusted_proxies": ["10.0.0.1/8"]},
            "trusted_proxies[0]: expected a network such as 10.0.0.0/8",
        ),
        ("ratelimit", {"ipv6_prefix": 129}, "ipv6_prefix: expected at most 128"),
        ("temp", {"chunk": "2MiB"}, "chunk: expected a size of at most 1MiB"),
        (
            "temp",
            {"max_file": "2MiB", "quotas": {"per_owner": "1MiB"}},
            "expected max_file to fit into quotas.per_owner",
        ),
        (
            "temp",
            {"max_file": "2MiB", "quotas": {"total": "1MiB"}},
            "expected max_file to fit into quotas.total",
        ),
        ("temp", {"offload": {"above": "1MiB"}}, "offload.directory: required"),
        ("sessions", {"on_fault": "bypass"}, "on_fault: expected raise or deny"),
        ("sessions", {"preferences": {"defaults": {"ui..theme": 1}}}, "expected a path such as ui.theme"),
        ("sessions", {"preferences": {"defaults": {"theme": [1]}}}, "expected text, a number, true or false"),
        (
            "sessions",
            {"preferences": {"defaults": {"ui": 1, "ui.theme": 2}}},
            "ui cannot have a value and others below it",
        ),
        ("sessions", {"rotate": {"evry": "1d"}}, "rotate.evry: unknown key; did you mean 'every'?"),
        ("analytics", {"metrics": {"calls": {"labels": ["a", "a"]}}}, "labels: expected each label once"),
        (
            "analytics",
            {"metrics": {"calls": {"values": {"a": ["x"]}}}},
            "expected values only for the metric's own labels",
        ),
        ("analytics", {"metrics": {"calls": {"kind": "count"}}}, "metrics.calls.kind: expected counter"),
        (
            "analytics",
            {"metrics": {"calls": {"retention": {"weeks": "1d"}}}},
            "metrics.calls.retention.weeks: unknown key",
        ),
        ("analytics", {"scope": "global"}, "scope: unknown key"),
    ],
    ids=str,
)
def test_other_kinds_refuse_what_is_impossible(kind: str, fields: dict[str, object], complaint: str) -> None:
    """Each kind checks what no code could do."""
    (found,) = said(namespace(kind, **fields))
    assert complaint in found


def test_sessions_analytics_and_temp_take_what_they_need() -> None:
    """The fields of each kind arrive as plain numbers and words."""
    sessions = rule_of(
        namespace("sessions", rotate={"every": "1d"}, preferences={"defaults": {"ui.theme": "dark"}})
    )
    assert isinstance(sessions, SessionsRule)
    assert (sessions.rotate.every, dict(sessions.preferences.defaults)) == (86_400.0, {"ui.theme": "dark"})
    metrics = {"calls": {"labels": "model", "values": {"model": ["a", "b"]}, "retention": {"hour": "1d"}}}
    analytics = rule_of(namespace("analytics", metrics=metrics))
    assert isinstance(analytics, AnalyticsRule)
    calls = analytics.metrics["calls"]
    assert (calls.labels, calls.values["model"]) == (("model",), ("a", "b"))
    assert calls.retention is not None
    assert calls.retention.hour == 86_400.0
    temp = rule_of(namespace("temp", offload={"directory": "/var/exports"}, one_time=True))
    assert isinstance(temp, TempRule)
    assert temp.offload is not None
    assert (temp.offload.above, temp.one_time) == (2**26, True)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"otlp": {"endpoint": "localhost:4318"}}, "telemetry.otlp.endpoint: expected an address such as"),
        (
            {"otlp": {"endpoint": "http://user:pw@host"}},
            "telemetry.otlp.endpoint: expected an address such as",
        ),
        ({"otlp": {"headers": {"x": 1}}}, "telemetry.otlp.headers.x: expected text"),
        ({"spans": "some"}, "telemetry.spans: expected auto, all or none"),
        ({"sampling": 0.5}, "telemetry.sampling: expected a percentage"),
    ],
    ids=str,
)
def test_telemetry_refuses_what_is_impossible(fields: dict[str, object], complaint: str) -> None:
    """Where telemetry goes is checked like everything else."""
    (found,) = said({"version": 1, "telemetry": fields})
    assert found.startswith(complaint)


def test_names_are_free_within_their_form() -> None:
    """Users name their namespaces as they like, from lower-case letters, digits, - and _."""
    names = ["a", "my-cache", "eu_west_1", "x" * 64]
    source = {"version": 1, "namespaces": {name: {"kind": "temp"} for name in names}}
    assert list(policy.load(source, variables=NOTHING).policy.namespaces) == names


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "-a", "a:b", "a b", "a.b", "a*", "{a}", "x" * 65, "é", "a\n"], ids=ascii
)
def test_a_name_that_would_break_a_key_is_refused(name: str) -> None:
    """A namespace's name is a part of every key: nothing that means something there gets in."""
    (found,) = said({"version": 1, "namespaces": {name: {"kind": "temp"}}})
    assert "expected a name of lower-case letters" in found


@pytest.mark.parametrize("app", ["a:b", "a b", "{a}", "1a", "", "a*"])
def test_an_app_that_would_break_a_key_is_refused(app: str) -> None:
    """The application's name begins every key: nothing that means something there gets in."""
    (found,) = said({"version": 1, "app": app})
    assert found.startswith("app: expected ")


def test_an_unknown_namespace_is_told_with_the_nearest() -> None:
    """Asking for a namespace that is not declared names those that are."""
    loaded = policy.load(cache(), variables=NOTHING).policy
    with pytest.raises(UnknownNamespace, match=r"as 'lmm' \(declared: llm\); did you mean 'llm'\?") as raised:
        policy.namespace(loaded, "lmm")
    assert isinstance(raised.value, PolicyError)
    with pytest.raises(UnknownNamespace, match=r"as 'llm' \(declared: none\)"):
        policy.namespace(policy.load({"version": 1}, variables=NOTHING).policy, "llm")


def test_a_policy_never_changes() -> None:
    """Rules are frozen and mappings read-only; a policy can be compared, hashed and copied."""
    loaded = policy.load(policy.shipped(), variables=NOTHING).policy
    with pytest.raises(ValidationError, match="frozen"):
        loaded.redis.deadline = 1.0
    assert isinstance(loaded.namespaces, FrozenMap)
    assert not hasattr(loaded.namespaces, "__setitem__")
    again = policy.load(policy.shipped(), variables=NOTHING).policy
    assert loaded == again == copy.deepcopy(loaded)
    assert hash(loaded) == hash(again)
    assert loaded != policy.load(policy.shipped(), variables={"PIPELINE_SIZE": "7"}).policy


def models(model: type[BaseModel] = Policy) -> Iterator[type[BaseModel]]:
    """Walk all rules."""
    yield model
    for field in model.model_fields.values():
        for inner in inside(field.annotation):
            yield from models(inner)


def inside(annotation: object) -> Iterator[type[BaseModel]]:
    """Find the rules in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from inside(argument)


def test_every_field_says_what_it_is() -> None:
    """Each field of each rule has a description: the reference is made of them."""
    found = {*models()}
    assert set(KINDS.values()) < found
    assert [
        f"{model.__name__}.{name}"
        for model in found
        for name, field in model.model_fields.items()
        if not field.description
    ] == []


def test_the_rules_have_a_json_schema() -> None:
    """Editors can check a policy while it is written: the schema takes words where words are meant."""
    schema = json.loads(json.dumps(Policy.model_json_schema()))
    deadline = schema["$defs"]["RedisRule"]["properties"]["deadline"]
    assert {kind["type"] for kind in deadline["anyOf"]} == {"string", "number"}
    assert schema["additionalProperties"] is False


def test_a_policy_can_be_written_down_without_its_secrets() -> None:
    """A policy serializes to JSON, its rates as words and its secrets as stars."""
    source = {**limit(requests="100/hour"), "redis": {"url": "redis://:hunter2@host"}}
    text = policy.load(source, variables=NOTHING).policy.model_dump_json()
    assert "100/hour" in text
    assert "hunter2" not in text
