"""No secret that went into a policy comes out of it in words: planted canaries are looked for everywhere."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from cachepolicy import policy
from cachepolicy.errors import PolicyError
from cachepolicy.policy.rules import RedisRule
from tests.policy.helpers import NOTHING, cache, namespace, write

CANARY = "Hunter2.Canary!"  # of no form that any other field takes
VARIABLES = {
    "REDIS_PASSWORD": CANARY,
    "REDIS_URL": f"redis://user:{CANARY}@host:6379/0",
    "NUMBER": "4242424242",
}


def words_of(error: BaseException) -> str:
    """Return everything an error says, with all that it leads to."""
    seen: list[str] = []
    chain: BaseException | None = error
    while chain is not None:
        seen += [str(chain), repr(chain), repr(chain.args), *traceback.format_exception(chain)]
        chain = chain.__cause__ or chain.__context__
    if isinstance(error, PolicyError):
        seen += [repr(problem) for problem in error.problems]
    return "\n".join(seen)


def test_a_loaded_policy_shows_no_secret(tmp_path: Path) -> None:
    """Neither the policy nor its provenance, printed in any way, shows what its secrets are."""
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}\n")
    source = {
        "version": 1,
        "redis": {"url": "${REDIS_URL}", "password": "${REDIS_PASSWORD}"},
        "namespaces": {
            "llm": {"kind": "cache", "scope": "global", "url": f"redis://:{CANARY}@other"},
            "temp": {"kind": "temp", "url": f"redis://:${{file:{secret}}}@third"},
        },
        "telemetry": {"otlp": {"headers": {"authorization": f"${{file:{secret}}}"}}},
    }
    loaded = policy.load(source, variables=VARIABLES)
    redis = loaded.policy.redis
    assert redis.password is not None
    assert redis.password.get_secret_value() == CANARY
    assert CANARY in redis.url.get_secret_value()
    shown = [
        repr(loaded),
        str(loaded),
        str(loaded.policy),
        repr(loaded.policy),
        loaded.policy.model_dump_json(),
    ]
    shown += [repr(loaded.policy.model_dump()), repr(loaded.provenance), f"{loaded.policy.namespaces}"]
    assert not [text for text in shown if CANARY in text]


FIELDS = [
    ["version"],
    ["redis"],
    ["redis", "url"],
    ["redis", "tls"],
    ["redis", "max_connections"],
    ["redis", "databases"],
    ["redis", "deadline"],
    ["redis", "retry"],
    ["redis", "retry", "budget"],
    ["redis", "unknown_key"],
    ["defaults", "compression", "threshold"],
    ["defaults", "compression", "codec"],
    ["defaults", "encryption", "keys"],
    ["namespaces"],
    ["namespaces", "llm"],
    ["namespaces", "llm", "kind"],
    ["namespaces", "llm", "scope"],
    ["namespaces", "llm", "ttl"],
    ["namespaces", "llm", "ttl", "min"],
    ["namespaces", "llm", "local", "ttl"],
    ["namespaces", "llm", "url"],
    ["namespaces", "llm", "encryption"],
    ["namespaces", "llm", "encryption", "enabled"],
    ["namespaces", "llm", "encryption", "keys"],
    ["namespaces", "llm", "sampling", "temperature_above_zero"],
    ["namespaces", "llm", "eviction", "redis"],
    ["namespaces", "r", "rules", "chat", "requests"],
    ["namespaces", "r", "rules", "chat", "money"],
    ["namespaces", "r", "rules", "chat", "default_plan"],
    ["namespaces", "r", "trusted_proxies"],
    ["health", "memory_threshold"],
    ["telemetry", "otlp", "endpoint"],
    ["telemetry", "resource"],
    ["extends"],
    ["environments"],
    ["environments", "test"],
    ["environments", "test", "redis", "deadline"],
]


def misused(path: list[str], value: object) -> dict[str, object]:
    """Return a policy with a value where it does not belong."""
    source: dict[str, object] = {
        "version": 1,
        "namespaces": {
            "llm": {"kind": "cache", "scope": "global", "ttl": {"default": "1d"}},
            "r": {"kind": "ratelimit", "rules": {"chat": {"requests": "1/hour"}}},
        },
        "environments": {"test": {}},
    }
    *folders, name = path
    inner = source
    for folder in folders:
        below = inner.setdefault(folder, {})
        assert isinstance(below, dict)
        inner = below
    inner[name] = value
    return source


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
@pytest.mark.parametrize(
    "reference", ["${REDIS_PASSWORD}", "x${REDIS_PASSWORD}x", "${file:SECRET}", "${UNSET:-Hunter2.Canary!}"]
)
@pytest.mark.parametrize("environment", [None, "test"])
def test_a_secret_in_the_wrong_place_is_named_but_not_shown(
    tmp_path: Path, path: list[str], reference: str, environment: str | None
) -> None:
    """A secret that is put into any other field is refused, and nothing repeats it or leads to it."""
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    source = misused(path, reference.replace("SECRET", str(secret)))
    if path[:1] == ["environments"] and path[1:] and environment is None:
        policy.load({"version": 1}, variables=NOTHING)  # an environment that is not chosen is not resolved
        return
    with pytest.raises(PolicyError) as raised:
        policy.load(source, environment=environment, variables=VARIABLES)
    assert CANARY not in words_of(raised.value)
    assert CANARY not in repr(raised.value.problems)


def test_a_wrong_value_names_its_variable() -> None:
    """Whoever reads the error learns which variable to look at."""
    with pytest.raises(PolicyError) as raised:
        policy.load(cache(ttl="${REDIS_PASSWORD}"), variables=VARIABLES)
    assert str(raised.value).endswith("(a bare number is seconds) (from ${REDIS_PASSWORD})")


@pytest.mark.parametrize(
    "source",
    [
        cache(ttl={"default": "${NUMBER}", "max": "1h"}),
        cache(db="${NUMBER}"),
        namespace("temp", max_file="${NUMBER}", quotas={"total": "1MiB"}),
        namespace("ratelimit", rules={"chat": {"requests": "${NUMBER}000000/day"}}),
        {"version": 1, "redis": {"retry": {"attempts": "${NUMBER}"}}},
    ],
    ids=["range", "database", "quota", "rate", "attempts"],
)
def test_a_number_from_outside_is_not_shown_either(source: dict[str, object]) -> None:
    """A value that can be read but is out of bounds is named by its variable, too."""
    with pytest.raises(PolicyError) as raised:
        policy.load(source, variables=VARIABLES)
    assert "4242" not in words_of(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        "password: *hunter2-canary",
        "password: &hunter2-canary",
        "password: !hunter2-canary x",
        "password: !hunter2-canary!x y",
        "password: %hunter2-canary",
        "password: @hunter2-canary",
        "password: `hunter2-canary",
        "password: 'hunter2-canary",
        'password: "hunter2-canary\\q"',
        "password: [hunter2-canary",
        "password: {hunter2-canary: x: y}",
        "password: hunter2-canary: x",
        "password: !<hunter2-canary",
        "password: |hunter2-canary",
        "url: redis://:hunter2-canary@host:port",
        "url: hunter2-canary",
        "tls: hunter2-canary",
        "retry: {budget: hunter2-canary}",
        "databases: hunter2-canary",
    ],
)
def test_a_secret_in_the_file_is_not_shown(tmp_path: Path, line: str) -> None:
    """A password written into the file without its quotes breaks YAML, but does not get into the error."""
    with pytest.raises(PolicyError) as raised:
        policy.load(write(tmp_path, f"version: 1\nredis:\n  {line}\n"), variables=NOTHING)
    assert "hunter2-canary" not in words_of(raised.value)


@pytest.mark.parametrize("path", [["namespaces", "llm", "scope"], ["redis", "databases"]], ids=".".join)
def test_no_suggestion_is_made_for_a_value_from_outside(path: list[str]) -> None:
    """The nearest valid word would tell what a variable nearly holds: only the file's own words get one."""
    with pytest.raises(PolicyError) as raised:
        policy.load(
            misused(path, "${WORD}"), variables={"WORD": {"scope": "globl", "databases": "selekt"}[path[-1]]}
        )
    assert "did you mean" not in str(raised.value)


def test_a_rule_made_by_hand_does_not_show_its_input() -> None:
    """Pydantic's own error for a rule that is made in code does not repeat what it was given."""
    with pytest.raises(ValidationError) as raised:
        RedisRule.model_validate({"url": f"http://:{CANARY}@host", "deadline": CANARY})
    assert CANARY not in str(raised.value)


def test_no_exception_leads_to_the_input() -> None:
    """The error stands alone: no cause and no context holds what was read."""
    with pytest.raises(PolicyError) as raised:
        policy.load(cache(ttl="${REDIS_PASSWORD}"), variables=VARIABLES)
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
