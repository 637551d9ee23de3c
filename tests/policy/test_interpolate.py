"""``${…}`` in values: what it means, what it may become, and what it may never do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import policy
from tests.policy.helpers import NOTHING, cache, cache_rule, said, write


def app(value: str, variables: Mapping[str, str] = NOTHING) -> str:
    """Load a policy whose ``app`` is interpolated."""
    return policy.load({"version": 1, "app": value}, variables=variables).policy.app


def password(value: object, variables: Mapping[str, str] = NOTHING) -> str | None:
    """Load a policy whose password is interpolated."""
    redis = policy.load({"version": 1, "redis": {"password": value}}, variables=variables).policy.redis
    return None if redis.password is None else redis.password.get_secret_value()


@pytest.mark.parametrize(
    ("text", "variables", "result"),
    [
        ("${NAME}", {"NAME": "chat"}, "chat"),
        ("${NAME:-spare}", {"NAME": "chat"}, "chat"),
        ("${NAME:-spare}", {}, "spare"),
        ("${NAME:-spare}", {"NAME": ""}, "spare"),
        ("${NAME:?say it}", {"NAME": "chat"}, "chat"),
        ("a-${ONE}-${TWO:-2}-z", {"ONE": "1"}, "a-1-2-z"),
        ("${file:-x}", {}, "x"),
        ("${A_b9}", {"A_b9": "x"}, "x"),
    ],
    ids=str,
)
def test_a_reference_is_replaced(text: str, variables: dict[str, str], result: str) -> None:
    """A variable, its default, and a message mean what they mean in a shell."""
    assert app(text, variables) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME", "$NAME"),
        ("a$", "a$"),
        ("{NAME}", "{NAME}"),
        ("$${", "${"),
    ],
)
def test_a_dollar_can_be_meant(text: str, result: str) -> None:
    """``$${`` is the characters themselves, and a lone dollar is a dollar."""
    assert password(text) == result


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("${NAME}", {}, "app: ${NAME} is not set: set it, or write ${NAME:-default}"),
        ("${NAME:?name the app}", {}, "app: ${NAME} is not set: name the app"),
        ("${NAME:?name the app}", {"NAME": ""}, "app: ${NAME} is empty: name the app"),
        ("${NAME:?}", {}, "app: ${NAME} is not set"),
        ("${NAME", {"NAME": "x"}, "app: a ${ is never closed: expected ${NAME}"),
        ("${}", {}, "app: expected ${NAME}, ${NAME:-default}"),
        ("${NA ME}", {}, "app: expected ${NAME}, ${NAME:-default}"),
        ("${NAME-default}", {}, "app: expected ${NAME}, ${NAME:-default}"),
        ("${1}", {"1": "x"}, "app: expected ${NAME}, ${NAME:-default}"),
        ("${ONE:-${TWO}}", {"TWO": "x"}, "app: ${ONE:-…} holds another ${…}"),
        ("${file:secret}", {}, "app: expected an absolute path after ${file:"),
        ("${file:/nowhere/at/all}", {}, "app: ${file:/nowhere/at/all}: there is no such file"),
        ("${NAME}", {"NAME": "two\nlines"}, "app: ${NAME} holds a line end or a NUL: expected one line"),
        ("${NAME}", {"NAME": "a\rb"}, "app: ${NAME} holds a line end or a NUL"),
        ("${NAME}", {"NAME": "a\0b"}, "app: ${NAME} holds a line end or a NUL"),
        ("${NAME}", {"NAME": "\udcff"}, "app: ${NAME} is not UTF-8 text"),
    ],
    ids=ascii,
)
def test_a_reference_without_a_value_is_an_error(text: str, variables: dict[str, str], message: str) -> None:
    """What cannot be put in is an error that names the variable or the file, and says how to mend it."""
    (complaint,) = said({"version": 1, "app": text}, variables=variables)
    assert complaint.startswith(message)


@pytest.mark.parametrize(
    "structure", ["{a: 1}", "[1, 2]", "a: b", "- a", "*x", "!!str x", "# no comment", "'x'"]
)
def test_a_value_never_becomes_structure(structure: str) -> None:
    """A variable that looks like YAML stays the text it is."""
    assert password("${VALUE}", {"VALUE": structure}) == structure


def test_a_value_is_not_interpolated_again() -> None:
    """What a variable holds is final: a reference in it is text."""
    assert password("${ONE}", {"ONE": "${TWO}", "TWO": "no"}) == "${TWO}"


def test_keys_are_not_interpolated() -> None:
    """A reference in a key names nothing: a variable cannot choose what is configured."""
    source = {"version": 1, "redis": {"${NAME}": "x"}}
    (found,) = said(source, variables={"NAME": "password"})
    assert found.startswith("redis.${NAME}: unknown key; expected url, username, password,")


@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("digits", ["12345", "0010", "true", "null", "1e3", "~"])
def test_a_password_of_digits_stays_text(tmp_path: Path, quote: str, digits: str) -> None:
    """The field decides the type: a text field gets the variable's text, quoted in the file or not."""
    path = write(tmp_path, f"version: 1\nredis:\n  password: {quote}${{PASSWORD}}{quote}\n")
    redis = policy.load(path, variables={"PASSWORD": digits}).policy.redis
    assert redis.password is not None
    assert redis.password.get_secret_value() == digits


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_number_field_reads_a_number(tmp_path: Path, quote: str) -> None:
    """The field decides the type: a number field parses the variable, quoted in the file or not."""
    path = write(tmp_path, f"version: 1\nredis:\n  max_connections: {quote}${{MAX}}{quote}\n")
    assert policy.load(path, variables={"MAX": "7"}).policy.redis.max_connections == 7


@pytest.mark.parametrize("wrong", ["", "x", "1.5", "1e3", "0x10", " 7", "7 ", "0", "-1", "9" * 30, "\u0661"])
def test_a_number_field_refuses_what_is_no_number(wrong: str) -> None:
    """A variable that is no whole number in range is an error that names it, and not its content."""
    (complaint,) = said({"version": 1, "redis": {"max_connections": "${MAX}"}}, variables={"MAX": wrong})
    assert complaint.startswith("redis.max_connections: expected ")
    assert complaint.endswith(" (from ${MAX})")


@pytest.mark.parametrize(
    ("word", "flag"),
    [
        (spelled, flag)
        for flag, words in ((True, "true yes on 1"), (False, "false no off 0"))
        for word in words.split()
        for spelled in sorted({word, word.upper(), word.title()})
    ],
)
def test_a_flag_field_reads_the_words_of_the_shell(word: str, flag: bool) -> None:
    """A variable turns a flag on or off in any usual spelling."""
    loaded = policy.load({"version": 1, "redis": {"tls": "${TLS}"}}, variables={"TLS": word})
    assert loaded.policy.redis.tls.enabled is flag


@pytest.mark.parametrize("wrong", ["", "y", "2", "enabled", "tru"])
def test_a_flag_field_refuses_other_words(wrong: str) -> None:
    """Any other word is an error that names the variable."""
    assert said({"version": 1, "redis": {"tls": "${TLS}"}}, variables={"TLS": wrong}) == [
        "redis.tls: expected true or false (or yes, no, on, off, 1, 0) (from ${TLS})"
    ]


def test_a_flag_in_the_file_is_true_or_false() -> None:
    """Written in the file itself, only true and false are flags: ``no`` is text in YAML 1.2."""
    assert said({"version": 1, "redis": {"tls": "no"}}) == ["redis.tls: expected true or false"]


def test_an_empty_value_means_none_where_none_is_allowed() -> None:
    """An empty result leaves an optional field unset; a field that must have a value refuses it."""
    assert password("${PASSWORD:-}") is None
    assert cache_rule(cache(url="${URL:-}")).url is None
    assert said(cache(ttl="${TTL:-}"))[0].startswith("namespaces.llm.ttl: expected a duration")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_file_is_read_without_its_line_end(tmp_path: Path, end: str) -> None:
    """The line end that editors leave at the end of a file is no part of the secret."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s3cret " + end.encode())
    assert password(f"${{file:{secret}}}") == "s3cret "


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\ntwo", "holds a line end or a NUL: expected one line"),
        (b"one\n\n", "holds a line end or a NUL: expected one line"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"x" * 65_537, "is larger than 64KiB"),
    ],
    ids=["lines", "empty line", "bytes", "large"],
)
def test_a_secret_file_is_one_line_of_text(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that is no single line of text is refused by its name."""
    secret = tmp_path / "secret"
    secret.write_bytes(content)
    reference = f"${{file:{secret}}}"
    assert said({"version": 1, "redis": {"password": reference}}) == [
        f"redis.password: {reference} {message}"
    ]


def test_a_folder_is_no_secret_file(tmp_path: Path) -> None:
    """A path that is no regular file is refused before it is opened: a pipe would hang the start."""
    (complaint,) = said({"version": 1, "redis": {"password": f"${{file:{tmp_path}}}"}})
    assert complaint.endswith("there is no such file")


def test_a_value_can_be_part_of_a_word() -> None:
    """A unit may stand behind a reference."""
    loaded = policy.load(
        {"version": 1, "health": {"memory_threshold": "${PERCENT:-80}%"}}, variables={"PERCENT": "75"}
    )
    assert loaded.policy.health.memory_threshold == 0.75


@given(st.text(alphabet=st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1))
def test_any_line_of_text_arrives_unchanged(value: str) -> None:
    """Whatever one line a variable holds, the field gets exactly that."""
    assert password("${VALUE}", {"VALUE": value}) == value
