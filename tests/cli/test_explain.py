"""``cachepolicy explain``: the policy in effect, and what calls do under it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from cachepolicy import close, configure, scope
from cachepolicy.__main__ import main
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from tests.support import explained
from tests.support.colour import Colour
from tests.support.commands import MODULE, command, monitored

NOWHERE = "redis://:hunter2@127.0.0.1:1"
ASK = """answer([{"role": "user", "content": "hi"}], "gpt-4o", user="ada")"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Write a policy whose Redis nobody can reach."""
    file = tmp_path / "policies.yaml"
    file.write_text(explained.POLICY.format(url=NOWHERE))
    return file


def told(capsys: pytest.CaptureFixture[str], policy: Path, *words: str) -> Any:
    """Explain in this process, as JSON."""
    capsys.readouterr()
    assert main(["explain", *words, "--policy", str(policy), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], policy: Path, *words: str) -> str:
    """Explain in vain; return what is said."""
    capsys.readouterr()
    assert main(["explain", *words, "--policy", str(policy)]) == 1
    out, err = capsys.readouterr()
    assert not out
    return err


def commands(case: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Return the commands of a case, with their keys."""
    return [(said["name"], tuple(said["keys"])) for trip in case["trips"] for said in trip]


def values(layer: Any) -> dict[str, Any]:
    """Return the settings of a layer by their paths."""
    return {value["path"]: value for value in layer["values"]}


def test_each_value_has_its_place(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A value says its file, line and column, the variable it came from, or that it is built in."""
    found = values(told(capsys, policy, "llm")["layers"][0])
    ttl = found["namespaces.llm.ttl.default"]
    assert (ttl["value"], ttl["line"], ttl["column"]) == ("1h", 9, 10)
    assert ttl["origin"] == "file"
    assert found["namespaces.llm.jitter"]["origin"] == "default"
    in_production = told(capsys, policy, "llm", "--environment", "production")
    assert in_production["environment"] == "production"
    ttl = values(in_production["layers"][0])["namespaces.llm.ttl.default"]
    assert (ttl["value"], ttl["origin"], ttl["line"]) == ("2h", "environments.production", 17)


def test_a_variable_is_named(
    policy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value out of ``${…}`` says which variable gave it."""
    monkeypatch.setenv("LLM_CACHE_TTL", "5m")
    ttl = values(told(capsys, policy, "llm")["layers"][0])["namespaces.llm.ttl.default"]
    assert (ttl["value"], ttl["variables"]) == ("5m", ["LLM_CACHE_TTL"])


def test_what_the_decorator_says_is_told(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A TTL, and parameters that are left out, of the decorator stand before the policy's."""
    (layer,) = told(capsys, policy, f"{MODULE}:price")["layers"]
    assert [(each["path"], each["value"]) for each in layer["values"] if each["origin"] == "decorator"] == [
        ("ttl", "30m"),
        ("ignore", "trace"),
    ]


def test_the_commands_are_those_of_a_real_call(
    colour: Colour, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is told of a call, and of its invalidation, is what a real Redis is asked, command by command."""
    file = tmp_path / "policies.yaml"
    text = explained.POLICY.format(url=redis_url).replace("tags:", "local: {coherence: off}\n    tags:")
    file.write_text(text.replace("deadline:", "databases: prefix, deadline:"))  # no canaries
    name = "agreeting" if colour.is_async else "greeting"
    (layer,) = told(capsys, file, f"{MODULE}:{name}", "--call", f"{name}('ada')")["layers"]
    configure(file)
    _greet(colour, "eve")
    _invalidate(colour, "eve")  # the server knows the scripts from now on
    with monitored(redis_url, "shop") as first:
        _greet(colour, "ada")
    with monitored(redis_url, "shop") as ended:
        _invalidate(colour, "ada")
    close()
    cases = {case["when"].split()[-1]: commands(case) for case in layer["cases"]}
    assert first.seen == cases["kept"]
    assert ended.seen == cases["invalidated"]
    assert cases["(L1)"] is not None


def _greet(colour: Colour, name: str) -> None:
    async def main() -> None:
        await explained.agreeting(name)
        await current.current().stores.aclose()

    if colour.is_async:
        asyncio.run(main())
    else:
        explained.greeting(name)


def _invalidate(colour: Colour, name: str) -> None:
    async def main() -> None:
        await explained.agreeting.invalidate(name)
        await current.current().stores.aclose()

    if colour.is_async:
        asyncio.run(main())
    else:
        explained.greeting.invalidate(name)


def test_no_function_is_called_and_no_redis_asked(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever decorators stand above it, a function that is explained is not called, nor its Redis asked."""
    layers = told(capsys, policy, f"{MODULE}:answer", "--call", ASK)["layers"]
    assert [layer["what"] for layer in layers] == [
        "counted: answers",
        "rate limited: chat",
        "cached: llm_cache",
    ]
    assert [bool(layer["cases"]) for layer in layers] == [True, True, True]
    assert layers[1]["keys"] == ["shop:ratelimit:rate_limit:{chat:ada}"]
    assert [said["script"] for trip in layers[1]["cases"][0]["trips"] for said in trip] == [
        "charge",
        "settle",
    ]


@pytest.mark.parametrize(
    ("function", "call", "keys"),
    [
        ("stream", "stream([{'role': 'user', 'content': 'hi'}], 'gpt-4o')", 1),
        ("price", "price('a', trace='t')", 1),
        ("prices", "prices(['a', 'b', 'a'])", 2),
        ("Shop.price", "price('a')", 1),
        ("Shop.rate", "rate('a')", 1),
    ],
)
def test_every_form_of_function_is_explained(
    function: str, call: str, keys: int, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Streams, batches, methods and class methods have keys, and commands for each case."""
    (layer,) = told(capsys, policy, f"{MODULE}:{function}", "--call", call)["layers"]
    assert len(layer["keys"]) == keys
    assert [len(case["trips"]) for case in layer["cases"]] == [3, 0, 1, 1]


def test_the_key_is_that_of_the_function(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C8: the key that is told is the one that ``.key()`` returns; a scope is said by options."""
    configure(policy)
    expected = explained.price.key("a")
    with scope(tenant="acme", user="ada"):
        scoped = explained.mine.key("a")
    close()
    (layer,) = told(capsys, policy, f"{MODULE}:price", "--call", "price('a')")["layers"]
    assert layer["keys"] == [expected]
    who = ("--tenant", "acme", "--user", "ada")
    (layer,) = told(capsys, policy, f"{MODULE}:mine", "--call", "mine('a')", *who)["layers"]
    assert layer["keys"] == [scoped]
    assert "say who asks" in refused(capsys, policy, f"{MODULE}:mine", "--call", "mine('a')")


def _apart(
    capsys: pytest.CaptureFixture[str], policy: Path, name: str, calls: Sequence[str], *more: str
) -> Any:
    words = ("--call", calls[0], "--against", calls[1], *more)
    return told(capsys, policy, f"{MODULE}:{name}", *words)["difference"]


def test_the_first_difference_is_found_within_arguments(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """O2: two calls are told apart by the first place that differs, by its hash; by value when asked."""
    calls = (ASK, ASK.replace('"hi"', '"my secret"'))
    found = _apart(capsys, policy, "answer", calls)
    assert (found["same"], found["where"]) == (False, "messages[0].content")
    assert "secret" not in json.dumps(found)
    assert found["one"] != found["other"]
    revealed = _apart(capsys, policy, "answer", calls, "--reveal")
    assert (revealed["one"], revealed["other"]) == ("'hi'", "'my secret'")


def test_types_and_what_is_ignored(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number and its text differ by type; what is no part of the key makes no other key."""
    found = _apart(capsys, policy, "price", ("price('1')", "price(1)"))
    assert found["why"] == "the first difference is in sku: one is str, the other int"
    same = _apart(capsys, policy, "price", ("price('1', trace='a')", "price('1', trace='b')"))
    assert (same["same"], same["where"]) == (True, "trace")
    same = _apart(capsys, policy, "keyed", ("keyed('1')", "keyed('1', currency='USD')"))
    assert (same["same"], same["where"]) == (True, "currency")
    same = _apart(capsys, policy, "price", ("price('1')", "price(sku='1')"))
    assert (same["same"], same["where"]) == (True, "")


@pytest.mark.parametrize("kind", ["sessions", "ratelimit", "analytics", "temp", "llm"])
def test_every_kind_is_explained(kind: str, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A namespace of each kind tells its settings, its commands and what stays; twice, it tells the same."""
    once = told(capsys, policy, kind)
    (layer,) = once["layers"]
    assert layer["values"]
    assert layer["eviction"]
    assert layer["cases"]
    assert all(case["trips"] for case in layer["cases"])
    assert all(
        key.startswith("shop:") for case in layer["cases"] for _, keys in commands(case) for key in keys
    )
    assert once == told(capsys, policy, kind)


@pytest.mark.parametrize(
    ("word", "said"),
    [("noeviction", "the server evicts nothing"), ("allkeys-lru", "(maxmemory-policy allkeys-lru)")],
)
def test_servers_are_asked_what_they_evict(
    word: str, said: str, own_redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``--live`` the server's own word stands beside what the policy alone can tell."""
    client = redis.Redis.from_url(own_redis.url)
    client.config_set("maxmemory", "50mb")
    client.config_set("maxmemory-policy", word)
    file = tmp_path / "policies.yaml"
    file.write_text(explained.POLICY.format(url=own_redis.url.removesuffix("/0")))
    try:
        (layer,) = told(capsys, file, "sessions", "--live")["layers"]
    finally:
        client.close()
    assert "no guarantee" in layer["eviction"]
    assert said in layer["eviction"]
    file.write_text(explained.POLICY.format(url=NOWHERE))
    assert "no usable answer" in refused(capsys, file, "sessions", "--live")


def test_nothing_is_written_to_disk(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory of large files is neither made nor swept by explaining the namespace that has it."""
    folder = policy.parent / "large"
    offload = f"temp, db: 4, offload: {{directory: {folder}, above: 1}}"
    policy.write_text(policy.read_text().replace("temp, db: 4", offload))
    assert told(capsys, policy, "temp")["layers"][0]["cases"]
    assert not folder.exists()


def test_limits_by_plan_and_at_once(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a rule with plans the first is told of; of calls that run at once, that a place is taken."""
    text = policy.read_text().replace(
        "rules: {chat:",
        "rules: {paid: {by: user, plans: {free: {requests: 1/day, concurrency: 2}}}, chat:",
    )
    policy.write_text(text)
    (layer,) = told(capsys, policy, "ratelimit")["layers"]
    assert [case["when"] for case in layer["cases"]] == [
        "rule paid, plan free: is checked",
        "rule paid, plan free: a place is taken, and given back",
        "rule chat: is checked",
    ]


def test_one_of_several_kept_answers(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where several answers to a call are kept, all their keys are told, and what one of them asks."""
    policy.write_text(
        policy.read_text().replace("tags:", "sampling: {temperature_above_zero: {variants: 3}}\n    tags:")
    )
    (layer,) = told(capsys, policy, f"{MODULE}:drawn", "--call", "drawn([], 'm', temperature=0.7)")["layers"]
    assert [key.rpartition(":")[2] for key in layer["keys"]] == ["0", "1", "2"]
    assert [len(case["trips"]) for case in layer["cases"]] == [3, 0, 1, 1]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("llmm",), "did you mean 'llm'?"),
        ((f"{MODULE}:nothing",), "there is no 'nothing'"),
        ((f"{MODULE}:bare",), "expected a function under @cached"),
        (("tests.support.no_such:f",), "there is no module 'tests.support.no_such' here"),
        ((f"{MODULE}:price", "--call", "price(open('secret'))"), "argument 1 (column 7): expected a literal"),
        ((f"{MODULE}:price", "--call", "price(**x)"), "** cannot be used"),
        ((f"{MODULE}:price", "--call", "price("), "not Python"),
        ((f"{MODULE}:price", "--call", "'secret'"), "expected a call"),
        ((f"{MODULE}:price", "--call", "price(1, 2, 3)"), "too many positional arguments"),
        ((f"{MODULE}:limited", "--call", "f('a')", "--against", "f('b')"), "it is not cached"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    words: Sequence[str], why: str, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be explained is told in one line on stderr, without a traceback or an argument's value."""
    said = refused(capsys, policy, *words)
    assert why in said
    assert said.count("\n") == 1
    assert "secret'" not in said


def test_as_users_run_it(policy: Path) -> None:
    """From a shell it tells all of it as text, no secret among it, and ends with 0; a wrong line, with 2."""
    ended = command(policy.parent, "explain", f"{MODULE}:answer", "--call", ASK)
    assert (ended.code, ended.err) == (0, "")
    for line in (
        "tests.support.explained:answer, by policies.yaml",
        "cached: llm_cache (namespace llm)",
        "policies.yaml:9:10",
        "it is in this process (L1): none",
    ):
        assert line in ended.out
    assert "hunter2" not in ended.out
    assert command(policy.parent, "explain", "llm", "--call", "x()").code == 2
    assert command(policy.parent, "explain", f"{MODULE}:answer", "--against", "x()").code == 2
