"""Two policies, compared by meaning: what differs, and what each difference does to a running process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from cachepolicy import policy
from cachepolicy.policy.diff import Change, Effect, diff
from cachepolicy.policy.effects import EFFECTS, line_of
from cachepolicy.policy.judges import INSIDE
from cachepolicy.policy.rules.base import Rule
from tests.policy.helpers import NOTHING, cache, namespace, write

KEY, OTHER, THIRD = ("a" * 64, "b" * 64, "c" * 64)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Compare two policies given as mappings."""
    return diff(policy.load(before, variables=NOTHING), policy.load(after, variables=NOTHING))


def rules() -> Iterator[type[Rule]]:
    """Go through every rule there is."""
    todo = [*Rule.__subclasses__()]
    while todo:
        rule = todo.pop()
        todo += rule.__subclasses__()
        if rule.__module__.startswith("cachepolicy."):
            yield rule


def test_every_setting_is_classed() -> None:
    """Each field of each rule is live, cold, forbidden, judged or looked into: a new one is not forgotten."""
    unclassed = []
    for rule in rules():
        for name in rule.model_fields:
            try:
                line_of(rule, name)
            except LookupError:
                unclassed.append(f"{rule.__name__}.{name}")
    assert unclassed == []


def test_what_is_looked_into_holds_rules() -> None:
    """Only a setting that is a rule, or holds rules by name, can be left to what is in it."""
    empty = [
        f"{rule.__name__}.{name}"
        for rule in rules()
        for name, info in rule.model_fields.items()
        if line_of(rule, name) is INSIDE and not holds_rules(info.annotation)
    ]
    assert empty == []


def holds_rules(annotation: object) -> bool:
    """Tell whether a type is a rule, or made of some."""
    if isinstance(annotation, type) and issubclass(annotation, Rule):
        return True
    return any(holds_rules(inner) for inner in get_args(annotation))


def test_no_class_is_left_over() -> None:
    """Each line of the table is of a setting that there is."""
    left = [
        (rule, name) for rule, lines in EFFECTS.items() for name in lines if name not in rule.model_fields
    ]
    assert left == []


def test_an_unclassed_setting_is_no_guess() -> None:
    """What nobody has classed is an error, and not taken for harmless."""

    class Unclassed(Rule):
        setting: int = 0

    with pytest.raises(LookupError, match=r"Unclassed\.setting is not classed"):
        line_of(Unclassed, "setting")


REDIS = {"version": 1, "redis": {"url": "redis://host"}}
TLS = {"version": 1, "redis": {"url": "redis://host", "tls": {}}}
SESSIONS = {"namespaces": {"s": {"kind": "sessions"}}}


def limits(**fields: object) -> dict[str, object]:
    """Return a policy with one rule of requests."""
    return namespace("ratelimit", rules={"chat": {"by": "user", "requests": "5/hour", **fields}})


def keys(*given: str) -> dict[str, object]:
    """Return a policy of a cache that is encrypted with some keys."""
    return cache(encryption={"keys": list(given)})


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "ttl": (cache(ttl="1h"), cache(ttl="2h"), "namespaces.llm.ttl.default", "live"),
    "on_fault": (cache(), cache(on_fault="raise"), "namespaces.llm.on_fault", "live"),
    "a limit": (limits(), limits(requests="6/hour"), "namespaces.it.rules.chat.requests", "live"),
    "a new namespace": ({"version": 1}, cache(), "namespaces.llm", "live"),
    "a namespace less": (cache(), {"version": 1}, "namespaces.llm", "cold"),
    "a rule less": (limits(), namespace("ratelimit"), "namespaces.it.rules.chat", "cold"),
    "db": (cache(), cache(db=1), "namespaces.llm.db", "cold"),
    "own url": (cache(), cache(url="memory://"), "namespaces.llm.url", "cold"),
    "redis.url": (REDIS, {"version": 1, "redis": {"url": "redis://other"}}, "redis.url", "cold"),
    "app": (cache(), {**cache(), "app": "other"}, "app", "cold"),
    "app of sessions": (
        {"version": 1, **SESSIONS},
        {"version": 1, "app": "x", **SESSIONS},
        "app",
        "forbidden",
    ),
    "who is limited": (limits(), limits(by="ip"), "namespaces.it.rules.chat.by", "cold"),
    "kind": (namespace("temp"), namespace("sessions"), "namespaces.it.kind", "forbidden"),
    "scope, wider": (cache(scope="tenant"), cache(scope="global"), "namespaces.llm.scope", "forbidden"),
    "scope, wider still": (cache(scope="user"), cache(scope="tenant"), "namespaces.llm.scope", "forbidden"),
    "scope, narrower": (cache(scope="global"), cache(scope="user"), "namespaces.llm.scope", "cold"),
    "encryption on": (cache(), keys(KEY), "namespaces.llm.encryption.enabled", "cold"),
    "encryption off": (keys(KEY), cache(), "namespaces.llm.encryption.enabled", "forbidden"),
    "a key on top": (keys(KEY), keys(OTHER, KEY), "namespaces.llm.encryption.keys", "live"),
    "an old key less": (keys(KEY, OTHER), keys(KEY), "namespaces.llm.encryption.keys", "cold"),
    "another key": (keys(KEY), keys(OTHER), "namespaces.llm.encryption.keys", "forbidden"),
    "the writing key less": (
        keys(KEY, OTHER),
        keys(THIRD, OTHER),
        "namespaces.llm.encryption.keys",
        "forbidden",
    ),
    "a dictionary more": (
        cache(compression={"dictionary": "a"}),
        cache(compression={"dictionary": ["b", "a"]}),
        "namespaces.llm.compression.dictionary",
        "live",
    ),
    "a dictionary less": (
        cache(compression={"dictionary": "a"}),
        cache(),
        "namespaces.llm.compression.dictionary",
        "cold",
    ),
    "a tag more": (cache(tags="a"), cache(tags=["a", "b"]), "namespaces.llm.tags", "cold"),
    "a tag less": (cache(tags=["a", "b"]), cache(tags="a"), "namespaces.llm.tags", "live"),
    "guarantee, less": (cache(guarantee="required"), cache(), "namespaces.llm.guarantee", "live"),
    "tls on": (REDIS, TLS, "redis.tls.enabled", "live"),
    "tls off": (TLS, REDIS, "redis.tls.enabled", "forbidden"),
    "rediss to redis": ({"version": 1, "redis": {"url": "rediss://host"}}, REDIS, "redis.url", "forbidden"),
    "unverified": (
        TLS,
        {"version": 1, "redis": {"url": "redis://host", "tls": {"verify": False}}},
        "redis.tls.verify",
        "forbidden",
    ),
    "l1": (cache(), cache(eviction={"l1": "lru"}), "namespaces.llm.eviction.l1", "cold"),
    "a metric's meaning": (
        namespace("analytics", metrics={"m": {}}),
        namespace("analytics", metrics={"m": {"kind": "gauge"}}),
        "namespaces.it.metrics.m.kind",
        "cold",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_change_is_told_with_its_effect(name: str) -> None:
    """A change is told by its path, and by what it does to a running process; nothing else is told."""
    before, after, path, effect = CASES[name]
    found = {each.path: each.effect.value for each in changes(before, after)}
    extra = {"namespaces.llm.encryption.keys"} if path.endswith("encryption.enabled") else set()
    assert found.pop(path) == effect
    assert found.keys() <= extra


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[3] != "live"])
def test_what_is_not_live_says_why(name: str) -> None:
    """Each change that costs something, or is refused, says what follows from it."""
    before, after, path, _ = CASES[name]
    (change,) = (each for each in changes(before, after) if each.path == path)
    assert change.why


def test_meaning_is_compared_and_not_text(tmp_path: Path) -> None:
    """Units, short forms, order, layers and built-in values that are written out make no difference."""
    first = write(
        tmp_path,
        "version: 1\napp: a\nnamespaces:\n"
        "  x: {kind: cache, scope: global, ttl: 1h, tags: model}\n  y: {kind: temp, ttl: 24h}\n",
        "a.yaml",
    )
    write(tmp_path, "version: 1\nnamespaces:\n  y: {kind: temp, ttl: {default: 1d}}\n", "base.yaml")
    second = write(
        tmp_path,
        "version: 1\nextends: base.yaml\nnamespaces:\n  x:\n    scope: global\n    kind: cache\n"
        "    ttl: {default: 3600}\n    jitter: 10%\n    tags: [model]\napp: a\n",
        "b.yaml",
    )
    loaded = [policy.load(each, variables=NOTHING) for each in (first, second)]
    assert diff(*loaded) == ()


def test_a_key_in_another_spelling_is_the_same_key() -> None:
    """A key that is written in base64 instead of hex is no other."""
    (change,) = changes(keys(KEY), keys("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="))
    assert change.effect is Effect.LIVE


def test_secrets_are_told_apart_and_not_told() -> None:
    """That a secret is another one is said; neither is."""
    before = {"version": 1, "redis": {"url": "redis://ada:hush@host/0?x=quiet", "password": "mum"}}
    after = {"version": 1, "redis": {"url": "redis://ada:hash@host/0?x=quiet", "password": "mom"}}
    found = {each.path: each for each in changes({**before, **keys(KEY)}, {**after, **keys(OTHER)})}
    told = repr([(each.before, each.after, each.why) for each in found.values()])
    assert all(secret not in told for secret in ("hush", "hash", "ada", "quiet", "mum", "mom", KEY, OTHER))
    assert (found["redis.password"].before, found["redis.password"].after) == ("(secret)", "(another secret)")
    assert found["redis.url"].after == "redis://***@host/0 (another secret)"
    assert found["namespaces.llm.encryption.keys"].after == "[(secret)] (another secret)"


def test_values_are_told_as_the_file_would_write_them() -> None:
    """Durations, sizes, percentages, rates and lists are told with their units, and nothing as ~."""
    before = cache(ttl={"default": "1h30m", "max": "2d"}, jitter="10%", tags="a", replay={"pace": "20ms"})
    after = cache(
        ttl="90s", jitter="0%", local={"max_value": "1KiB"}, replay={"pace": "recorded"}, on_fault="deny"
    )
    told = {
        each.path.removeprefix("namespaces.llm."): (each.before, each.after)
        for each in changes(before, after)
    }
    assert told == {
        "ttl.default": ("1h30m", "1m30s"),
        "ttl.max": ("2d", "~"),
        "jitter": ("10%", "0%"),
        "tags": ("[a]", "[]"),
        "local.max_value": ("~", "1KiB"),
        "replay.pace": ("20ms", "recorded"),
        "on_fault": ("bypass", "deny"),
    }
    (rates,) = changes(limits(), limits(requests=["5/hour", "9/day"]))
    assert (rates.before, rates.after) == ("[5/hour]", "[5/hour, 9/day]")
    (added,) = changes({"version": 1}, cache(ttl="1m"))
    assert (added.before, added.after) == ("~", "{kind: cache, scope: global, ttl: {default: 1m}}")


def test_a_change_has_a_place(tmp_path: Path) -> None:
    """A change is told with the line that makes it; what is gone, with the line that had it."""
    first = write(tmp_path, "version: 1\nnamespaces:\n  a: {kind: temp}\n  b: {kind: temp}\n", "a.yaml")
    second = write(tmp_path, "version: 1\nnamespaces:\n  b:\n    kind: temp\n    ttl: 1h\n", "b.yaml")
    loaded = [policy.load(each, variables=NOTHING) for each in (first, second)]
    places = {each.path: (Path(each.place.file).name, each.place.line) for each in diff(*loaded)}
    assert places == {"namespaces.a": ("a.yaml", 3), "namespaces.b.ttl.default": ("b.yaml", 5)}
