"""Wrong hits and needless misses that other caches are known for, each named after where it was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from cachepolicy.decorators.hit_path import compile_wrapper
from cachepolicy.keys.canonical import encode, encode_arguments
from cachepolicy.keys.signature import shape_of


def key_of(function: Callable[..., object], *args: Any, **kwargs: Any) -> bytes:
    """Encode a call as its decorated function would: bound by the compiled wrapper, defaults filled in."""
    shape = shape_of(function)
    values, _, _ = compile_wrapper(shape, lambda *_: None, is_async=False).bind(*args, **kwargs)
    return encode_arguments(shape.names, list(values), "f")


def two(a: object, b: object) -> None:
    """Take two arguments."""


def chat(messages: object, model: str = "m", *, temperature: float = 0.0, **more: object) -> None:
    """Take what a chat completion takes."""


USER = [{"role": "user", "content": "hi"}]
WRONG_HITS: dict[str, tuple[Any, Any]] = {
    "cashews: a colon moves between arguments": (("1", "2:b:3"), ("1:b:2", "3")),
    "cashews: empty text and None": (("", 0), (None, 0)),
    "cashews: text and the list it looks like": (("1:2", 0), ([1, 2], 0)),
    "cashews: text and number": (("1", 0), (1, 0)),
    "dogpile: a blank moves between arguments": (("a", "b c"), ("a b", "c")),
    "redisvl: a colon moves between content and model": (("a:b", "c"), ("a", "b:c")),
    "redisvl: bytes and their hex": ((b"\x01", 0), ("01", 0)),
    "litellm: a parameter's name inside another's text": (("a", "x"), ("aprompt: x", None)),
    "lightrag: texts joined by nothing": (("ab", "c"), ("a", "bc")),
    "cacheout: digits move between numbers": ((1, 23), (12, 3)),
    "lru_cache: numbers that compare equal": ((1, 1.0), (True, 1)),
    "lru_cache: zeros that compare equal": ((0.0, 0), (-0.0, 0)),
}


@pytest.mark.parametrize("source", WRONG_HITS)
def test_no_wrong_hit_known_of_others(source: str) -> None:
    """Two requests that another cache answers with one entry have two keys here."""
    left, right = WRONG_HITS[source]
    assert key_of(two, *left) != key_of(two, *right)


SHAPING: dict[str, dict[str, Any]] = {
    "litellm: extra_body": {"extra_body": {"top_k": 1}},
    "litellm: api_base": {"api_base": "http://elsewhere"},
    "litellm: a parameter of one provider only": {"reasoning_effort": "high"},
    "betterdb: a parameter that no allow-list knows": {"logit_bias": {"50256": -100}},
    "langchain: an option of this call": {"temperature": 1.0},
    "dspy: base_url": {"base_url": "http://elsewhere"},
    "redisvl: dimensions of an embedding": {"dimensions": 256},
    "gptcache: the model": {"model": "another"},
}


@pytest.mark.parametrize("source", SHAPING)
def test_whatever_shapes_the_output_is_in_the_key(source: str) -> None:
    """M1: no argument is left out, known or unknown."""
    assert key_of(chat, USER) != key_of(chat, USER, **SHAPING[source])


def test_gptcache_the_whole_conversation_is_the_request() -> None:
    """A last message that is the same does not make two conversations one."""
    system = {"role": "system", "content": "answer in verse"}
    assert key_of(chat, USER) != key_of(chat, [system, *USER])


def test_litellm_an_edited_schema_is_seen() -> None:
    """A response format of the same name with another field is another request."""
    before, after = (create_model("Reply", __module__="m", **fields) for fields in ({"a": str}, {"a": int}))
    assert key_of(chat, USER, response_format=before) != key_of(chat, USER, response_format=after)


def test_a_schema_with_its_fields_in_another_order_is_another() -> None:
    """Models write fields in the schema's order: thinking before answering is not answering first."""
    fields: dict[str, Any] = {"thoughts": (str, ""), "answer": (str, "")}
    before = create_model("Reply", __module__="m", **fields)
    after = create_model("Reply", __module__="m", **dict(reversed(fields.items())))
    assert encode(before) != encode(after)


def test_dspy_what_cannot_be_hashed_is_not_dropped() -> None:
    """Bytes, models inside lists and sets are part of the key, not a reason to leave an argument out."""

    class Tool(BaseModel):
        name: str

    keys = {key_of(chat, USER, tools=tools) for tools in ([Tool(name="a")], [Tool(name="b")], [b"a"], {"a"})}
    assert len(keys) == 4


def test_litellm_the_order_of_keywords_and_of_keys_does_not_matter() -> None:
    """Needless miss: keyword arguments, or a message's keys, in another order."""
    turned = [dict(reversed(USER[0].items()))]
    assert key_of(chat, USER, top_p=1.0, seed=7) == key_of(chat, turned, seed=7, top_p=1.0)


def test_langchain_the_order_of_nested_keys_does_not_matter() -> None:
    """Needless miss: a tool whose schema was built in another order."""
    one = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}
    other = {"properties": {"b": {"type": "integer"}, "a": {"type": "string"}}, "type": "object"}
    assert key_of(chat, USER, tools=[one]) == key_of(chat, USER, tools=[other])


def test_every_spelling_of_a_call_has_one_key() -> None:
    """Positional, by keyword, or left to its default: one request, one key."""
    spelled = key_of(chat, messages=USER, model="m", temperature=0.0)
    assert key_of(chat, USER) == key_of(chat, USER, "m") == key_of(chat, model="m", messages=USER) == spelled


def test_litellm_a_list_changed_after_the_call_began_leaves_the_key() -> None:
    """The key is a copy: a function that appends to its messages does not store under another key."""
    messages = list(USER)
    before = key_of(chat, messages)
    messages.append({"role": "assistant", "content": "hello"})
    assert (before == key_of(chat, USER)) is True
    assert before != key_of(chat, messages)
