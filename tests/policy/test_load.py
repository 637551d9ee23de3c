"""The strict reader: YAML 1.2's meaning, and an error with its place for all that could mislead."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cachepolicy import policy
from cachepolicy.errors import PolicyError, Problem
from cachepolicy.policy.load import parse
from cachepolicy.policy.tree import FILE
from tests.policy.helpers import NOTHING, complaints, read_value, write

SHIPPED = policy.shipped().read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("1:00:00", "1:00:00"),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5e-1", -0.05),
        ("+3", 3),
        ("-0", 0),
        ("12_000", "12_000"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("=", "="),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|-\n  010", "010"),
        ("[1, no, 'x', [~]]", (1, "no", "x", (None,))),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
    ids=repr,
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    """No boolean, time, octal number or date is made of what YAML 1.2 calls text or a decimal."""
    found = read_value(text)
    assert (found, type(found)) == (value, type(value))


def test_nan_is_read_and_refused_by_the_field() -> None:
    """``.nan`` is a float of YAML's, but no duration."""
    assert math.isnan(read_value(".nan"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "policies.yaml:1:1: the file is empty: expected a mapping that begins with version: 1"),
        ("# only a comment\n", "policies.yaml:1:1: the file is empty"),
        ("- version: 1", "policies.yaml:1:1: expected a mapping that begins with version: 1"),
        ("version", "policies.yaml:1:1: expected a mapping"),
        ("version: 1\napp: a\napp: b\n", "policies.yaml:3:1: app: set twice: first on line 2"),
        (
            "version: 1\nredis:\n  tls: true\n  'tls': true",
            "policies.yaml:4:3: redis.tls: set twice: first on line 3",
        ),
        ("version: 1\napp: &name chat", "policies.yaml:2:6: app: an anchor (&name): write the value out"),
        ("version: 1\napp: *name", "policies.yaml:2:6: app: an alias (*name): write the value out"),
        ("version: 1\nredis: {<<: {tls: true}}", "policies.yaml:2:9: redis: a merge key (<<): use extends:"),
        ("version: 1\napp: !!str chat", "policies.yaml:2:6: app: a tag (!name): expected a plain value"),
        ("version: 1\napp: ! chat", "policies.yaml:2:6: app: a tag (!name): expected a plain value"),
        ("version: 1\n---\nversion: 1", "policies.yaml:2:1: a second document: expected one policy per file"),
        ("version: 1\n? [a, b]\n: c", "policies.yaml:2:3: a key that is no plain word: expected name: value"),
        ("version: 1\nredis: {tls: true", "policies.yaml:2:18: not YAML: while parsing a flow mapping"),
        ("version: 1\n\tapp: x", "policies.yaml:2:1: not YAML: while scanning for the next token"),
        ("version: 1\napp: 'x", "policies.yaml:2:8: not YAML: while scanning a quoted scalar"),
        ('version: 1\napp: "\x07"', "policies.yaml:2:7: a control character: expected printable text"),
        (
            'version: 1\napp: "\\ud800"',
            "policies.yaml:2:6: app: an escape (\\u…) that names half a character",
        ),
        ('version: 1\napp: "\\UFFFFFFFF"', "policies.yaml:1:10: an escape (\\U…) that names no character"),
        ("app: chat", "policies.yaml:1:1: version: required: expected version: 1 as the first line"),
        ("version: 2", "policies.yaml:1:10: version: expected 1, the only version of the format so far"),
        ("version: '1'", "policies.yaml:1:10: version: expected 1"),
        ("version: true", "policies.yaml:1:10: version: expected 1"),
        ("version: 1.0", "policies.yaml:1:10: version: expected 1"),
    ],
    ids=ascii,
)
def test_what_could_mislead_is_an_error_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    """Whatever YAML would let pass or could not read is refused at its line and column."""
    (found,) = complaints(write(tmp_path, text))
    assert found.startswith(complaint)


def test_a_reference_inside_braces_gets_a_hint(tmp_path: Path) -> None:
    """The one YAML error that policies invite says what to do about it."""
    (found,) = complaints(write(tmp_path, "version: 1\nredis: {tls: ${REDIS_SSL:-false}}\n"))
    assert found.endswith("; inside { } or [ ] put ${…} in quotes")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 20_000, "nested deeper than 20 levels: expected a policy"),
        ("a: " + "{a: " * 20_000, "nested deeper than 20 levels: expected a policy"),
        ("- " * 20_000, "nested deeper than 20 levels: expected a policy"),
        ("? " * 20_000, "nested deeper than 20 levels: expected a policy"),
        ("a: [" + "1, " * 20_000 + "]", "more than 10000 values: expected a policy"),
        ("a: '" + "x" * 1_000_000 + "'", "larger than 1 MB: expected a policy"),
    ],
    ids=["brackets", "braces", "dashes", "question marks", "many", "large"],
)
def test_a_bomb_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """A file that is too deep, too long or too large is refused before it costs anything."""
    assert complaints(write(tmp_path, text))[-1].endswith(complaint)


def test_twenty_levels_are_allowed(tmp_path: Path) -> None:
    """The bound on depth is exact: the twentieth level is read."""
    text = "version: 1\na: " + "[" * 18 + "1" + "]" * 18
    assert complaints(write(tmp_path, text))[0].startswith("policies.yaml:2:1: a: unknown key")
    deeper = "version: 1\na: " + "[" * 19 + "1" + "]" * 19
    assert complaints(write(tmp_path, deeper))[0].endswith("nested deeper than 20 levels: expected a policy")


@pytest.mark.parametrize(
    "raw", [b"version: 1\napp: \xff", "version: 1\napp: é".encode("latin-1")], ids=["ff", "latin"]
)
def test_a_file_is_utf_8(tmp_path: Path, raw: bytes) -> None:
    """Bytes that are no UTF-8 are refused where they stand."""
    path = tmp_path / "policies.yaml"
    path.write_bytes(raw)
    assert complaints(path) == ["policies.yaml:2:6: not UTF-8: expected a text file in UTF-8"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    """A file saved with a byte order mark is read as the others are."""
    path = tmp_path / "policies.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert complaints(path) == []


@pytest.mark.parametrize("name", ["absent.yaml", ".", "a\0b"], ids=ascii)
def test_what_cannot_be_opened_is_a_policy_error(tmp_path: Path, name: str) -> None:
    """A file that is not there, or is none, is an error of the policy's like any other."""
    (found,) = complaints(tmp_path / name)
    assert ": cannot be read: " in found


def test_all_errors_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """One run tells everything that is wrong: of the text, of the references and of the rules."""
    text = """\
version: 1
app: my app
redis:
  tls: maybe
  urll: x
  password: ${PASSWORD}
  tls: true
namespaces:
  llm: {kind: cache, scope: globl, ttl: 1x, eviction: {l1: lruu}}
  Bad Name: {kind: temp}
  other: {kind: cach}
  third: {db: 3}
environments:
  production: {redis: {deadlin: 1s}, namespaces: {lm: {ttl: 1h}}}
"""
    kinds = "cache, sessions, ratelimit, analytics or temp"
    found = [line.removeprefix("policies.yaml:") for line in complaints(write(tmp_path, text))]
    assert found[0].startswith("2:6: app: expected a name of letters, digits, - _ and .")
    assert found[6].startswith(
        "9:41: namespaces.llm.ttl: expected a duration such as 30m, 7d, 100ms or 1h30m"
    )
    assert found[8].startswith("10:3: namespaces.Bad Name: expected a name of lower-case letters")
    assert found[1:6] + found[7:8] + found[9:] == [
        "4:8: redis.tls: expected true or false",
        "5:3: redis.urll: unknown key; did you mean 'url'?",
        "6:13: redis.password: ${PASSWORD} is not set: set it, or write ${PASSWORD:-default}",
        "7:3: redis.tls: set twice: first on line 4",
        "9:29: namespaces.llm.scope: expected global, tenant or user; did you mean 'global'?",
        "9:60: namespaces.llm.eviction.l1: expected lru, lfu, fifo or s3fifo; did you mean 'lru'?",
        f"11:17: namespaces.other.kind: expected {kinds}; did you mean 'cache'?",
        f"12:3: namespaces.third.kind: required: expected {kinds}",
        "14:24: environments.production.redis.deadlin: unknown key; did you mean 'deadline'?",
        f"14:51: environments.production.namespaces.lm.kind: required: expected {kinds}; did you mean 'llm'?",
    ]


def load_text(folder: Path, text: str) -> None:
    """Load text as a file; let nothing through but a policy's error."""
    with suppress(PolicyError):
        policy.load(write(folder, text), environment=None, variables=NOTHING)


def _fuzzed(factory: pytest.TempPathFactory) -> Path:
    """Give one folder to all examples; not the base, where other tests would find the file upward."""
    folder = factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    return folder


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@example("a: *x\n")
@example("? - a\n  - b\n: c")
@example('"\\U0FFFFFFF": 1')
@example("%YAML 9.9\n---\nversion: 1")
@example("version: 1\nnamespaces: {llm: *x}")
@example("version: 1\nenvironments: [1]\nextends: {}\nnamespaces: 3\nredis: ~")
@example("version: 1\nnamespaces: {a: {kind: [x]}, b: {kind: ${X}}, c: ~, d: [], e: {kind: {}}}")
def test_any_text_is_a_policy_or_a_policy_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever a file holds, loading it raises nothing but PolicyError."""
    load_text(_fuzzed(tmp_path_factory), text)


WORDS = st.sampled_from(
    [
        "version: 1",
        "redis:",
        "  ",
        "\n",
        "kind: cache",
        "${X:-1}",
        "${",
        "{",
        "}",
        "[",
        "]",
        "ttl:",
        "~",
        "*a",
        "&a",
        "- ",
        ": ",
        "'",
        '"',
        "1h",
        "environments:",
        "namespaces:",
        "llm:",
        "<<",
        "!!x",
        "? ",
        "| ",
        "extends: policies.yaml",
    ]
)


@given(words=st.lists(WORDS, max_size=30))
def test_any_words_of_a_policy_are_a_policy_or_a_policy_error(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    """Whatever order a policy's own words come in, loading them raises nothing but PolicyError."""
    load_text(_fuzzed(tmp_path_factory), "".join(words))


@given(data=st.data())
def test_any_damage_to_a_policy_is_a_policy_or_a_policy_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is cut from or put into a real policy, loading it raises nothing but PolicyError."""
    start = data.draw(st.integers(0, len(SHIPPED)))
    length = data.draw(st.integers(0, 40))
    patch = data.draw(
        st.one_of(WORDS, st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8))
    )
    load_text(_fuzzed(tmp_path_factory), SHIPPED[:start] + patch + SHIPPED[start + length :])


TREES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=2)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from(["kind", "ttl", "llm", "rules", "by"]), st.integers()),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@given(
    tree=st.dictionaries(
        st.sampled_from(
            ["version", "app", "redis", "namespaces", "environments", "defaults", "health", "telemetry"]
        ),
        TREES,
    )
)
def test_any_mapping_is_a_policy_or_a_policy_error(tree: dict[str, object]) -> None:
    """Whatever plain data stands for a policy, loading it raises nothing but PolicyError."""
    with suppress(PolicyError):
        policy.load(tree, variables=NOTHING)


def test_a_mapping_that_holds_itself_is_refused() -> None:
    """A circle in plain data is an error, not a crash."""
    circle: dict[str, object] = {"version": 1}
    circle["redis"] = circle
    assert complaints(circle) == [
        "<mapping>:0:0: deeper than 20 levels or more than 10000 values: expected a policy"
    ]


def test_a_mapping_is_bounded_as_a_file_is() -> None:
    """Plain data that no policy would need is refused before it is looked at."""
    (found,) = complaints({"version": 1, "app": list(range(10_000))})
    assert found.endswith("more than 10000 values: expected a policy")


def test_a_mapping_holds_plain_data_only() -> None:
    """Objects and keys that no YAML could hold are errors at their path."""
    assert complaints(
        {"version": 1, "app": object(), "redis": {3: 4}, "health": {"\ud800": 1}, "extends": "\udfff"}
    ) == [
        "<mapping>:0:0: app: expected text, a number, true, false, a list or a mapping",
        "<mapping>:0:0: redis: a key that is no text: expected names",
        "<mapping>:0:0: health: a key that is no text: expected names",
        "<mapping>:0:0: extends: expected text, a number, true, false, a list or a mapping",
    ]


def test_text_at_hand_is_read_as_a_file_would_be() -> None:
    """Problems of text name the file that it is said to be."""
    problems: list[Problem] = []
    assert parse("a: [", "somewhere.yaml", FILE, problems) is None
    assert str(problems[0]).startswith("somewhere.yaml:1:5: not YAML")
