"""Layers: what a file extends, the file, its environments; and which environment applies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import policy
from cachepolicy.policy.mapping import from_mapping
from cachepolicy.policy.overlay import merge
from cachepolicy.policy.rules import CacheRule, RateLimitRule
from cachepolicy.policy.tree import MapNode, plain
from tests.policy.helpers import NOTHING, complaints, write

LAYERED: dict[str, object] = {
    "version": 1,
    "redis": {"max_connections": 1, "retry": {"attempts": 3, "budget": "5%"}},
    "namespaces": {
        "llm": {
            "kind": "cache",
            "scope": "global",
            "ttl": {"default": "2d", "max": "3d"},
            "tags": ["model", "user"],
        },
    },
    "environments": {
        "production": {
            "redis": {"retry": {"attempts": 4}},
            "namespaces": {"llm": {"tags": ["tenant"], "ttl": "1h"}, "temp": {"kind": "temp"}},
        },
        "test": {"redis": {"retry": None}, "namespaces": {"llm": None}},
        "idle": None,
    },
}


def loaded(environment: str | None, **variables: str) -> policy.LoadedPolicy:
    """Load the layered policy in an environment."""
    return policy.load(LAYERED, environment=environment, variables=variables)


def llm(environment: str | None) -> CacheRule:
    """Return the llm namespace of the layered policy."""
    rule = policy.namespace(loaded(environment).policy, "llm")
    assert isinstance(rule, CacheRule)
    return rule


def test_mappings_merge_key_by_key() -> None:
    """An environment changes what it names and leaves the rest of a mapping."""
    redis = loaded("production").policy.redis
    assert (redis.retry.attempts, redis.retry.budget, redis.max_connections) == (4, 0.05, 1)


def test_lists_and_scalars_replace() -> None:
    """A list of an environment is the whole list, and a scalar replaces even a mapping."""
    rule = llm("production")
    assert rule.tags == ("tenant",)
    assert (rule.ttl.default, rule.ttl.max) == (3600.0, None)


def test_an_environment_may_add() -> None:
    """A namespace that only one environment has is there in that one."""
    assert "temp" in loaded("production").policy.namespaces
    assert "temp" not in loaded(None).policy.namespaces


def test_a_tilde_takes_an_inherited_value_away() -> None:
    """``~`` returns a value to its built-in default, and removes a namespace."""
    there = loaded("test").policy
    assert there.redis.retry.attempts == 2
    assert "llm" not in there.namespaces


def test_an_environment_that_changes_nothing_is_one() -> None:
    """An environment may be declared with nothing in it."""
    assert loaded("idle").environment == "idle"
    assert loaded("idle").policy == loaded(None).policy


@pytest.mark.parametrize(
    ("asked", "variable", "applied"),
    [
        (None, None, None),
        (None, "", None),
        (None, "production", "production"),
        ("test", None, "test"),
        ("test", "production", "test"),
        ("test", "unheard-of", "test"),
    ],
)
def test_the_argument_comes_before_the_variable(
    asked: str | None, variable: str | None, applied: str | None
) -> None:
    """The environment is the one asked for, else the one CACHEPOLICY_ENV names, else none."""
    variables = {} if variable is None else {"CACHEPOLICY_ENV": variable}
    assert policy.load(LAYERED, environment=asked, variables=variables).environment == applied


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``variables``, the process's own are used, for CACHEPOLICY_ENV and for references."""
    monkeypatch.setenv("CACHEPOLICY_ENV", "production")
    monkeypatch.setenv("APP", "chat")
    found = policy.load({**LAYERED, "app": "${APP}"})
    assert (found.environment, found.policy.app) == ("production", "chat")


def test_an_undeclared_environment_is_an_error() -> None:
    """An environment that the policy does not declare is refused, with the nearest one."""
    (found,) = complaints(LAYERED, environment="prodution")
    assert found.startswith("<mapping>:0:0: environments: no environment is declared as 'prodution' ")
    assert found.endswith("(declared: production, test, idle); did you mean 'production'?")
    assert complaints({"version": 1}, environment="production") == [
        "<mapping>:0:0: environments: no environment is declared as 'production' (declared: none)"
    ]


def test_a_variable_that_names_an_undeclared_environment_is_not_quoted() -> None:
    """What CACHEPOLICY_ENV holds came from outside: the error names the variable only."""
    (found,) = complaints(LAYERED, variables={"CACHEPOLICY_ENV": "prodution"})
    assert found.startswith("<mapping>:0:0: environments: $CACHEPOLICY_ENV names an environment that is not")
    assert found.endswith("(declared: production, test, idle); did you mean 'production'?")


def test_a_policy_without_environments_disregards_the_variable() -> None:
    """CACHEPOLICY_ENV may be set for a whole machine: a policy that knows no environments has none."""
    found = policy.load({"version": 1}, variables={"CACHEPOLICY_ENV": "production"})
    assert found.environment is None


@pytest.mark.parametrize("chosen", [None, "production", "test"])
def test_environments_that_are_not_chosen_are_checked_too(tmp_path: Path, chosen: str | None) -> None:
    """A slip in any environment is found in every run, once, whichever environment applies."""
    text = """\
version: 1
redis: {deadline: 1s}
environments:
  production:
    redis: {url: "${URL:?not here}", pasword: x}
  test:
    redis: {databases: all, tls: "${TLS}"}
    namespace: {}
"""
    found = complaints(write(tmp_path, text), environment=chosen, variables={"URL": "memory://", "TLS": "on"})
    assert found == [
        "policies.yaml:5:38: environments.production.redis.pasword: unknown key; did you mean 'password'?",
        "policies.yaml:7:24: environments.test.redis.databases: expected select, prefix or auto",
        "policies.yaml:8:5: environments.test.namespace: unknown key; did you mean 'namespaces'?",
    ]


def test_what_is_wrong_below_is_found_even_where_it_is_replaced(tmp_path: Path) -> None:
    """A wrong value that the chosen environment replaces is still wrong for the others."""
    text = "version: 1\nredis: {deadline: soon}\nenvironments: {production: {redis: {deadline: 1s}}}\n"
    (found,) = complaints(write(tmp_path, text), environment="production")
    assert found.startswith("policies.yaml:2:19: redis.deadline: expected a duration")


def test_only_the_chosen_environment_needs_its_variables() -> None:
    """A variable that only production needs is asked for in production only."""
    source = {"version": 1, "environments": {"production": {"redis": {"url": "${URL:?set URL}"}}, "test": {}}}
    assert complaints(source, environment="test") == []
    assert complaints(source) == []
    assert complaints(source, environment="production") == [
        "<mapping>:0:0: environments.production.redis.url: ${URL} is not set: set URL"
    ]


def test_a_variable_that_is_replaced_is_not_needed() -> None:
    """A reference that an environment replaces is never resolved."""
    source = {"version": 1, "app": "${APP:?set APP}", "environments": {"test": {"app": "chat"}}}
    assert policy.load(source, environment="test", variables=NOTHING).policy.app == "chat"


def test_what_all_environments_share_is_wrong_once(tmp_path: Path) -> None:
    """A reference that cannot be read is one error, however many environments it is part of."""
    text = 'version: 1\napp: ${not one}\nenvironments: {a: {}, b: {}, c: {app: "${nor one}"}}\n'
    places = [line.partition(": expected")[0] for line in complaints(write(tmp_path, text), environment="a")]
    assert places == ["policies.yaml:2:6: app", "policies.yaml:3:39: environments.c.app"]


@pytest.mark.parametrize(
    ("environments", "complaint"),
    [
        ([1], "environments: expected a mapping of names to what each changes"),
        ({"test": 3}, "environments.test: expected a mapping of what it changes"),
        ({"Bad Name": {}}, "environments.Bad Name: expected a name such as production or eu-west_1"),
        (
            {"test": {"version": 1}},
            "environments.test.version: is the same in every environment: move it to the top",
        ),
        ({"test": {"extends": "x"}}, "environments.test.extends: is the same in every environment"),
        ({"test": {"environments": {}}}, "environments.test.environments: is the same in every environment"),
        ({"test": {"redis": 3}}, "environments.test.redis: expected a mapping"),
        ({"test": {"namespaces": {"temp": {"db": 4}}}}, "environments.test.namespaces.temp.kind: required"),
    ],
    ids=str,
)
def test_an_environment_has_the_form_of_a_policy(environments: object, complaint: str) -> None:
    """What cannot be laid over a policy is refused at its path."""
    (found,) = complaints({"version": 1, "environments": environments})
    assert found.startswith(f"<mapping>:0:0: {complaint}")


def test_a_file_extends_another(tmp_path: Path) -> None:
    """The file lies over what it extends, environments included, and the chosen environment over both."""
    (tmp_path / "shared").mkdir()
    write(
        tmp_path / "shared",
        "version: 1\napp: root\nredis: {deadline: 1s, connect_timeout: 2s}\n",
        "root.yaml",
    )
    write(
        tmp_path / "shared",
        "version: 1\nextends: root.yaml\nredis: {deadline: 3s}\n"
        "environments: {test: {redis: {connect_timeout: 9s}}}\n",
        "base.yaml",
    )
    path = write(tmp_path, "version: 1\nextends: shared/base.yaml\nredis: {max_connections: 5}\n")
    redis = policy.load(path, variables=NOTHING).policy.redis
    assert (redis.deadline, redis.connect_timeout, redis.max_connections) == (3.0, 2.0, 5)
    there = policy.load(path, environment="test", variables=NOTHING)
    assert (there.policy.app, there.policy.redis.connect_timeout) == ("root", 9.0)


@pytest.mark.parametrize("target", ["policies.yaml", "other.yaml"])
def test_a_circle_of_files_is_refused(tmp_path: Path, target: str) -> None:
    """A file that extends itself, at once or by way of others, is an error where the circle closes."""
    write(tmp_path, "version: 1\nextends: policies.yaml\n", "other.yaml")
    (found,) = complaints(write(tmp_path, f"version: 1\nextends: {target}\n"))
    assert found.endswith(":2:10: extends: a circle: this file is already being read")


@pytest.mark.parametrize(
    ("extends", "complaint"),
    [
        ("absent.yaml", "policies.yaml:2:10: extends: absent.yaml cannot be read: No such file or directory"),
        ("[a.yaml]", "policies.yaml:2:1: extends: expected one path as plain text, relative to this file"),
        ("3", "policies.yaml:2:10: extends: expected one path as plain text, relative to this file"),
        ("${BASE:-x}", "policies.yaml:2:10: extends: expected one path as plain text, relative to this file"),
        ("''", "policies.yaml:2:10: extends: expected one path as plain text, relative to this file"),
        ('"a\\0b"', "policies.yaml:2:10: extends: expected one path as plain text, relative to this file"),
    ],
)
def test_what_cannot_be_extended_is_refused(tmp_path: Path, extends: str, complaint: str) -> None:
    """A base that is not there, or no path, is one error, and what it might hold is not asked for."""
    text = f"version: 1\nextends: {extends}\nnamespaces: {{llm: {{db: 3}}}}\n"
    assert complaints(write(tmp_path, text)) == [complaint]


def test_a_problem_of_the_base_names_the_base(tmp_path: Path) -> None:
    """What is wrong in an extended file is reported in that file."""
    write(tmp_path, "version: 2\nredis: {dedline: 1s}\n", "base.yaml")
    assert complaints(write(tmp_path, "version: 1\nextends: base.yaml\n")) == [
        "base.yaml:1:10: version: expected 1, the only version of the format so far",
        "base.yaml:2:9: redis.dedline: unknown key; did you mean 'deadline'?",
    ]


def test_extends_can_be_taken_away(tmp_path: Path) -> None:
    """``extends: ~`` extends nothing."""
    assert complaints(write(tmp_path, "version: 1\nextends: ~\n")) == []


def test_defaults_are_inherited_by_the_kinds_that_know_them() -> None:
    """A namespace takes from ``defaults`` what it does not say itself, key by key."""
    source = {
        "version": 1,
        "defaults": {"compression": {"level": 9, "threshold": "2KiB"}, "jitter": "5%"},
        "namespaces": {
            "one": {"kind": "cache", "scope": "global", "compression": {"level": 5}},
            "two": {"kind": "cache", "scope": "user", "jitter": "0%", "compression": None},
            "limits": {"kind": "ratelimit"},
        },
    }
    found = policy.load(source, variables=NOTHING).policy
    one, two = policy.namespace(found, "one"), policy.namespace(found, "two")
    assert isinstance(one, CacheRule)
    assert isinstance(two, CacheRule)
    assert (one.compression.level, one.compression.threshold, one.jitter) == (5, 2048, 0.05)
    assert (two.compression.level, two.compression.threshold, two.jitter) == (3, 1024, 0.0)
    assert isinstance(policy.namespace(found, "limits"), RateLimitRule)


def test_dictionaries_are_inherited_whole() -> None:
    """One dictionary or a list of them; a namespace that names its own has none of ``defaults``."""
    source = {
        "version": 1,
        "defaults": {"compression": {"dictionary": ["new.dict", "old.dict"]}},
        "namespaces": {
            "one": {"kind": "cache", "scope": "global"},
            "two": {"kind": "cache", "scope": "global", "compression": {"dictionary": "own.dict"}},
            "three": {"kind": "cache", "scope": "global", "compression": {"dictionary": []}},
        },
    }
    found = policy.load(source, variables=NOTHING).policy
    assert [
        rule.compression.dictionary for rule in found.namespaces.values() if isinstance(rule, CacheRule)
    ] == [
        ("new.dict", "old.dict"),
        ("own.dict",),
        (),
    ]


def test_a_wrong_default_is_one_error(tmp_path: Path) -> None:
    """What every namespace inherits is wrong once, where it stands."""
    text = "version: 1\ndefaults: {compression: {level: 99}}\nnamespaces:\n" + "".join(
        f"  {name}: {{kind: cache, scope: global}}\n" for name in "abc"
    )
    assert complaints(write(tmp_path, text)) == [
        "policies.yaml:2:33: defaults.compression.level: expected at most 19"
    ]


LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
TREES = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=5),
)


def tree(source: dict[str, object]) -> MapNode:
    """Make a tree of plain data."""
    root = from_mapping(source, [])
    assert root is not None
    return root


def merged(base: object, over: object) -> object:
    """Say once more, on plain data, what merging means."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {key: merged(base[key], over[key]) if key in base and key in over else {**base, **over}[key]
                for key in {**base, **over}}  # fmt: skip
    return tuple(over) if isinstance(over, list) else over


def settled(value: object) -> object:
    """Compare lists and tuples alike."""
    if isinstance(value, dict):
        return {key: settled(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


@given(base=TREES, over=TREES)
def test_merging_does_what_it_says(base: dict[str, object], over: dict[str, object]) -> None:
    """Mappings merge and all else replaces, for any two trees; neither of them changes."""
    below, above = tree(base), tree(over)
    assert plain(merge(below, above)) == settled(merged(base, over))
    assert (plain(below), plain(above)) == (settled(base), settled(over))


def test_environments_multiply_what_a_file_costs() -> None:
    """Each environment is checked whole, so a large policy may have few of them; more are told, and soon."""
    source = {
        "version": 1,
        "namespaces": {f"n{number}": {"kind": "temp", "db": 1} for number in range(100)},
        "environments": {f"e{number}": {"app": "a"} for number in range(200)},
    }
    (complaint,) = complaints(source)
    assert "environments: more than 50000 values in all environments together" in complaint
    assert complaints({**source, "environments": {"e0": {"app": "a"}}}) == []
