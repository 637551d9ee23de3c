"""The JSON Schema of policies: what it lets pass, and what not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no stubs of its own

from cachepolicy import policy
from cachepolicy.errors import PolicyError
from cachepolicy.policy.schema import schema, shipped_schema, text
from tests.policy.helpers import NOTHING, cache, namespace
from tests.support.written_policies import as_written, written_policies

SCHEMA = Draft202012Validator(json.loads(shipped_schema().read_text(encoding="utf-8")))


def complaints(written: Any) -> list[str]:
    """Return where a policy is not as the schema wants it."""
    return [each.json_path for each in SCHEMA.iter_errors(written)]


def test_the_shipped_schema_is_up_to_date() -> None:
    """The file in the package is what the rules make now: ``python -m cachepolicy schema`` writes it."""
    assert shipped_schema().read_text(encoding="utf-8") == text()


def test_it_is_a_schema() -> None:
    """It is valid itself, by the dialect that it names."""
    Draft202012Validator.check_schema(schema())


def test_the_shipped_policy_passes() -> None:
    """The policy that comes with the library is as its schema wants it."""
    assert complaints(as_written(policy.shipped().read_text(encoding="utf-8"))) == []


def test_what_the_library_takes_passes() -> None:
    """Every valid policy that the tests and the guide hold is as the schema wants it."""
    wrong, seen = [], 0
    for place, written in written_policies():
        try:
            policy.load(written, variables=NOTHING)
        except PolicyError:
            continue
        seen += 1
        wrong += [f"{place} {path}" for path in complaints(written)]
    assert wrong == []
    assert seen > 100


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({}, "$"),
        ({"version": 2}, "$.version"),
        ({"version": "1"}, "$.version"),
        ({"version": 1, "apps": "chat"}, "$"),
        ({"version": 1, "app": 3}, "$.app"),
        ({"version": 1, "redis": {"url": "http://host"}}, "$.redis.url"),
        ({"version": 1, "redis": {"max_connections": 0}}, "$.redis.max_connections"),
        ({"version": 1, "redis": {"retry": {"attempts": 11}}}, "$.redis.retry"),
        ({"version": 1, "redis": {"tls": "yes"}}, "$.redis.tls"),
        ({"version": 1, "namespaces": []}, "$.namespaces"),
        ({"version": 1, "namespaces": {"llm": {}}}, "$.namespaces.llm"),
        ({"version": 1, "namespaces": {"LLM": {"kind": "sessions"}}}, "$.namespaces"),
        ({"version": 1, "namespaces": {"llm": {"kind": "cash"}}}, "$.namespaces.llm.kind"),
        ({"version": 1, "namespaces": {"llm": {"kind": "cache"}}}, "$.namespaces.llm"),
        (cache(scope="everybody"), "$.namespaces.llm"),
        (cache(tll="1h"), "$.namespaces.llm"),
        (cache(ttl="1 hour"), "$.namespaces.llm"),
        (cache(ttl="30m1h"), "$.namespaces.llm"),
        (cache(ttl=-1), "$.namespaces.llm"),
        (cache(ttl={"default": "7d", "mix": "1d"}), "$.namespaces.llm"),
        (cache(jitter=0.1), "$.namespaces.llm"),
        (cache(local={"max_bytes": "64 MB"}), "$.namespaces.llm"),
        (cache(on_fault="ignore"), "$.namespaces.llm"),
        (cache(stampede={"early": "sometimes"}), "$.namespaces.llm"),
        (cache(sampling={"temperature_above_zero": "cash"}), "$.namespaces.llm"),
        (namespace("ratelimit", rules={"chat": {"requests": "100 per hour"}}), "$.namespaces.it"),
        (namespace("ratelimit", rules={"chat": {"money": "5/day"}}), "$.namespaces.it"),
        (namespace("ratelimit", scope="global"), "$.namespaces.it"),
        (namespace("temp", ttl="1h", chunk=True), "$.namespaces.it"),
        ({"version": 1, "environments": {"test": {"version": 1}}}, "$.environments.test"),
        (
            {"version": 1, "environments": {"test": {"namespaces": {"llm": {"tll": "1h"}}}}},
            "$.environments.test",
        ),
        ({"version": 1, "environments": {"Test": None}}, "$.environments"),
        ({"version": 1, "lint": {"ignore": [{"code": "no-jitter"}]}}, "$.lint"),
        ({"version": 1, "lint": {"ignore": [{"code": "no-jiter", "reason": "so"}]}}, "$.lint"),
    ],
)
def test_what_is_wrong_is_seen(written: dict[str, Any], path: str) -> None:
    """Unknown keys and words, what is missing, wrong types, units and bounds are seen, at their place."""
    with pytest.raises(PolicyError):
        policy.load(written, variables=NOTHING)
    assert any(each == path or each.startswith((f"{path}.", f"{path}[")) for each in complaints(written))


@pytest.mark.parametrize(
    "written",
    [
        cache(ttl="${TTL}", jitter="${JITTER:-10%}", on_fault="${WHAT}", stampede={"early": "${EARLY}"}),
        cache(ttl=None, local={"max_bytes": None}, tags=None),
        cache(ttl="500ms", negative={"errors": "LookupError"}, replay={"pace": "recorded"}, tags="model"),
        cache(sampling={"temperature_above_zero": {"variants": 3}}, scope="${SCOPE}"),
        {"version": 1, "extends": "base.yaml", "namespaces": {"llm": {"ttl": "1h"}}},
        {
            "version": 1,
            "environments": {"test": None, "prod": {"namespaces": {"llm": {"ttl": "1h"}, "old": None}}},
        },
        {"version": 1, "redis": {"tls": "${REDIS_SSL:-false}", "url": "${REDIS_URL:?set it}"}},
    ],
    ids=["variables", "nothings", "short forms", "variants", "extends", "environments", "redis"],
)
def test_what_only_a_file_says_passes(written: dict[str, Any]) -> None:
    """Variables, ``~``, short forms, and what another layer completes are let pass."""
    assert complaints(written) == []


def test_every_setting_is_explained() -> None:
    """Each key of a policy has a description, for an editor to show."""
    made = schema()
    silent = [
        f"{name}.{key}"
        for name, each in {"": made, **made["$defs"]}.items()
        for key, value in each.get("properties", {}).items()
        if not value.get("description")
    ]
    assert silent == []
