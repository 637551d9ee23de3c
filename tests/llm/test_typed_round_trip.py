"""M5: what an SDK returned comes back equal to it, whatever the vendor."""

from __future__ import annotations

import copy
import logging
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

import anthropic.types as claude
import pytest
from anthropic import BaseModel as ClaudeModel
from anthropic.lib._parse._response import parse_response as parse_message
from anthropic.types.beta import BetaMessage
from hypothesis import event, given, settings
from hypothesis import strategies as st
from openai import BaseModel as SdkModel
from openai import pydantic_function_tool
from openai.lib._parsing import _responses, parse_chat_completion
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ParsedChatCompletion
from openai.types.responses import ParsedResponse, Response
from pydantic import BaseModel, ValidationError

from cachepolicy import cached, configure, llm_cached, observe
from cachepolicy.codec.equality import same
from cachepolicy.codec.lenient import alike
from cachepolicy.codec.serialize import read, serializer_for
from cachepolicy.errors import UnserializableValue
from cachepolicy.telemetry.names import Reason, Tier
from tests.support.asking import ask_each
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.sdk_answers import CHAT, COMPLETION, EMBEDDINGS, MESSAGE, RESPONSE, chat, litellm_answer

T = TypeVar("T")
GENERIC: Any = operator.getitem(ParsedChatCompletion, T)  # type: ignore[call-overload] # a class, not a list
NO_L1 = {"enabled": False}


class Sum(BaseModel):
    """What a model was asked to answer in."""

    total: int
    unit: str = "apples"


class Order(BaseModel):
    """What a model calls a tool with."""

    fruit: str


@dataclass
class Turn:
    """An application's own type around an answer."""

    answer: ChatCompletion
    question: str
    others: list[claude.Message] = field(default_factory=list)


def _chat() -> ChatCompletion:
    made = ChatCompletion.construct(**copy.deepcopy(CHAT))
    made._request_id = "req_1"
    return made


def _parsed() -> ParsedChatCompletion[Sum]:
    plain = ChatCompletion.construct(**chat('{"total": 4}', reasoning_content="2 + 2"))
    return parse_chat_completion(response_format=Sum, input_tools=[], chat_completion=plain)


def _parsed_call() -> ParsedChatCompletion[Sum | Order]:
    function = {"name": "Order", "arguments": '{"fruit": "apple"}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    plain = ChatCompletion.construct(**chat('{"total": 4}', "tool_calls", tool_calls=calls))
    tools = [pydantic_function_tool(Order)]
    return parse_chat_completion(
        response_format=Sum,  # of those that the annotation names
        input_tools=tools,
        chat_completion=plain,
    )


def _parsed_response() -> ParsedResponse[Sum]:
    plain = Response.construct(**{**RESPONSE, "output": RESPONSE["output"][:-1]})
    return _responses.parse_response(text_format=Sum, input_tools=[], response=plain)


def _message() -> claude.Message:
    return claude.Message.construct(**MESSAGE)


def _parsed_message() -> claude.ParsedMessage[Sum]:
    plain = claude.Message.construct(**{**MESSAGE, "content": MESSAGE["content"][:-1]})
    return parse_message(output_format=Sum, response=plain)  # type: ignore[arg-type] # as its callers do


SAMPLES: dict[str, tuple[Any, Callable[[], Any]]] = {
    "ChatCompletion": (ChatCompletion, _chat),
    "refusal": (ChatCompletion, lambda: ChatCompletion.construct(**chat(None, refusal="I cannot."))),
    "ParsedChatCompletion": (ParsedChatCompletion[Sum], _parsed),
    "parsed arguments": (ParsedChatCompletion[Sum | Order], _parsed_call),
    "Response": (Response, lambda: Response.construct(**RESPONSE)),
    "ParsedResponse": (ParsedResponse[Sum], _parsed_response),
    "CreateEmbeddingResponse": (
        CreateEmbeddingResponse,
        lambda: CreateEmbeddingResponse.construct(**EMBEDDINGS),
    ),
    "Completion": (Completion, lambda: Completion.construct(**COMPLETION)),
    "Message": (claude.Message, _message),
    "BetaMessage": (BetaMessage, lambda: BetaMessage.construct(**MESSAGE)),
    "ParsedMessage": (claude.ParsedMessage[Sum], _parsed_message),
    "list": (list[ChatCompletion], lambda: [_chat(), _chat()]),
    "tuple": (tuple[ChatCompletion, float], lambda: (_chat(), 0.5)),
    "tuple of many": (tuple[claude.Message, ...], lambda: (_message(), _message())),
    "optional": (ChatCompletion | None, _chat),
    "optional, None": (ChatCompletion | None, lambda: None),
    "union": (ChatCompletion | claude.Message | str, _message),
    "union, plain": (ChatCompletion | claude.Message | str, lambda: "plain"),
    "union, subclass": (ChatCompletion | ParsedChatCompletion[Sum], _parsed),
    "dict": (dict[str, ChatCompletion], lambda: {"a": _chat()}),
    "annotated": (Annotated[ChatCompletion, "remark"], _chat),
    "dataclass": (Turn, lambda: Turn(_chat(), "2 + 2?", [_message()])),
}


def _asked(colour: Colour, annotation: Any, answer: Callable[[], Any], decorator: Any = None) -> Any:
    """Return a cached function that says what it returns."""

    def ask(number: int = 0) -> Any:
        return answer()

    ask.__annotations__["return"] = annotation
    return colour.decorate(decorator or cached("answers"))(ask)


def _models(value: Any) -> Iterator[Any]:
    """Go through all models in a value, in order."""
    if isinstance(value, BaseModel):
        yield value
        yield from _models({**vars(value), **(value.__pydantic_extra__ or {})})
    elif isinstance(value, dict):
        for held in value.values():
            yield from _models(held)
    elif isinstance(value, list | tuple):
        for held in value:
            yield from _models(held)
    elif isinstance(value, Turn):
        yield from _models(vars(value))


def _assert_returned(value: Any, again: Any) -> None:
    assert again == value
    assert same(again, value)
    pairs = list(zip(_models(value), _models(again), strict=True))
    for one, other in pairs:
        assert one is not other
        if isinstance(one, SdkModel | ClaudeModel):
            assert one.model_fields_set == other.model_fields_set
            assert one.to_dict(warnings=False) == other.to_dict(warnings=False)


@pytest.mark.parametrize("name", SAMPLES)
def test_m5_what_an_sdk_returned_comes_back_from_redis(colour: Colour, redis_url: str, name: str) -> None:
    """M5: SDK objects come back from Redis equal in value, type, set fields and extras, at every depth."""
    configure(cache_policy(redis_url, local=NO_L1))
    annotation, make = SAMPLES[name]
    ask = _asked(colour, annotation, make)
    (first, second), tiers = ask_each(colour, ask, [1, 1])
    assert tiers == [Tier.ORIGIN, Tier.L2]
    _assert_returned(first, second)


def test_m5_an_answer_that_the_sdk_itself_would_not_validate(colour: Colour, redis_url: str) -> None:
    """M5: a vendor's finish_reason and fields, None and absent fields, and the request's id survive."""
    configure(cache_policy(redis_url, local=NO_L1))
    (_, again), tiers = ask_each(colour, _asked(colour, ChatCompletion, _chat), [1, 1])
    assert tiers == [Tier.ORIGIN, Tier.L2]
    with pytest.raises(ValidationError):
        ChatCompletion.model_validate(CHAT)
    first, second = again.choices
    assert first.finish_reason == "eos_token"
    assert first.message.reasoning_content == "2 + 2"
    assert "refusal" in first.message.model_fields_set
    assert "refusal" not in second.message.model_fields_set
    assert again.x_vendor == CHAT["x_vendor"]
    assert again._request_id == "req_1"


@pytest.mark.parametrize(
    ("annotation", "make", "parsed"),
    [
        (ParsedChatCompletion[Sum], _parsed, lambda answer: answer.choices[0].message.parsed),
        (ParsedResponse[Sum], _parsed_response, lambda answer: answer.output_parsed),
        (claude.ParsedMessage[Sum], _parsed_message, lambda answer: answer.parsed_output),
    ],
    ids=["chat", "responses", "messages"],
)
def test_m5_parsed_content_comes_back_as_the_users_own_class(
    colour: Colour, redis_url: str, annotation: Any, make: Callable[[], Any], parsed: Callable[[Any], object]
) -> None:
    """M5: of ``Parsed…[Sum]`` the parsed part is a Sum again, by the annotation, not a dict."""
    configure(cache_policy(redis_url, local=NO_L1))
    (_, answer), tiers = ask_each(colour, _asked(colour, annotation, make), [1, 1])
    assert tiers == [Tier.ORIGIN, Tier.L2]
    again = parsed(answer)
    assert type(again) is Sum
    assert again == Sum(total=4)


def test_m5_a_caller_cannot_change_what_the_next_one_gets(colour: Colour) -> None:
    """M5: L1 makes each caller an object of his own, nested ones and vendors' extras included."""
    configure(cache_policy())
    ask = _asked(colour, ChatCompletion, _chat)
    colour.run(ask)
    with observe() as seen:
        mine = colour.run(ask)
        mine.choices[0].message.content = "changed"
        mine.choices.clear()
        mine.x_vendor["seeds"].append(3)
        mine._request_id = "another"
        _assert_returned(_chat(), colour.run(ask))
    assert {one.tier for one in seen} == {Tier.L1}


@pytest.mark.parametrize(
    ("annotation", "make", "advice"),
    [
        (ChatCompletion, _parsed, "ChatCompletion'> is no annotation for it"),
        (ParsedChatCompletion, _parsed, "return type ParsedChatCompletion[Sum]"),
        (GENERIC, _parsed, "return type ParsedChatCompletion[Sum]"),
        (list[ChatCompletion], _chat, "is no annotation for it"),
        (claude.Message, _parsed_message, "is no annotation for it"),
    ],
    ids=["a subclass", "no parameter", "a type variable", "no list", "a subclass of Anthropic's"],
)
def test_m5_what_the_annotation_does_not_name_is_not_kept(
    colour: Colour,
    annotation: Any,
    make: Callable[[], Any],
    advice: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M5: an object of another class than the annotation's is never flattened: it is told once, not kept."""
    configure(cache_policy())
    ask = _asked(colour, annotation, make)
    with observe() as seen, caplog.at_level(logging.WARNING, "cachepolicy"):
        _assert_returned(make(), colour.run(ask))
        _assert_returned(make(), colour.run(ask))
    assert [one.reason for one in seen] == [Reason.UNSERIALIZABLE] * 2
    (said,) = [message for message in caplog.messages if "not cached" in message]
    assert advice in said


def test_m5_without_an_annotation_the_log_says_what_to_do(
    colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    """M5: an SDK object from a function without a return annotation is not kept; the log says what to do."""
    policy = cache_policy()
    configure({**policy, "namespaces": {"llm": policy["namespaces"]["answers"]}})

    @colour.decorate(llm_cached)
    def ask():  # type: ignore[no-untyped-def] # noqa: ANN202 - the point of the test
        return _chat()

    with caplog.at_level(logging.WARNING, "cachepolicy"):
        assert [colour.run(ask), colour.run(ask)] == [_chat(), _chat()]
    (said,) = [message for message in caplog.messages if "not cached" in message]
    assert "ChatCompletion would not come back as it was; annotate the function's return type" in said


def test_m5_an_upgraded_sdk_still_reads_what_the_older_one_wrote() -> None:
    """M5: entries are tied to a class by its name: fields that came or went are treated as a vendor's are."""

    def older() -> type[SdkModel]:
        class Answer(SdkModel):
            text: str
            gone: int | None = None

        return Answer

    def newer() -> type[SdkModel]:
        class Answer(SdkModel):
            text: str
            come: int | None = None

        Answer.__qualname__ = older().__qualname__
        return Answer

    old, new = serializer_for(kind := older()), serializer_for(newer())
    assert old.schema == new.schema
    dumped = old.dump(kind.construct(text="a", gone=1))
    again: Any = new.loaders[dumped.form](dumped.payload)
    assert (again.text, again.gone, again.come) == ("a", 1, None)


def test_m5_a_class_is_never_taken_from_what_is_stored() -> None:
    """M5: bytes written for another class have another fingerprint, and are a miss."""
    names = {serializer_for(annotation).schema for annotation, _ in SAMPLES.values()}
    assert (
        len(names) == len({str(annotation) for annotation, _ in SAMPLES.values()}) - 1
    )  # "annotated" is bare


def test_m5_a_class_with_a_constructor_of_its_own_is_made_by_it() -> None:
    """M5: litellm derives from OpenAI's classes but builds otherwise; its answers come back too."""
    value = litellm_answer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # litellm's own, of its field types
        assert read(serializer_for(type(value)).dump(value)) == value


class Lenient(SdkModel, Generic[T]):
    """A model of an SDK's kind with an aliased field and one that holds anything."""

    class_name: str
    held: T | None = None


def test_m5_values_that_have_no_byte_form_are_refused() -> None:
    """M5: what neither the wire nor the annotation knows is refused, not turned into something like it."""
    serializer = serializer_for(Lenient[Sum])
    for odd in (object(), {1}, 2**70, b"bytes", {1: "a"}, Turn(_chat(), ""), "\ud800"):
        with pytest.raises(UnserializableValue):
            serializer.dump(Lenient[Sum].construct(class_name="a", held=odd))
    with pytest.raises(UnserializableValue):
        serializer.dump(Lenient[Sum].construct({"never set"}, class_name="a"))
    value = Lenient[Sum].construct(class_name="a", held=Sum(total=1))
    _assert_returned(value, read(serializer.dump(value)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WIRE: list[tuple[Any, dict[str, Any]]] = [
    (ChatCompletion, CHAT),
    (Response, RESPONSE),
    (claude.Message, MESSAGE),
    (CreateEmbeddingResponse, EMBEDDINGS),
    (Completion, COMPLETION),
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from _places(value[key], (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """Draw an answer with a few of its parts replaced, added or left out."""
    kind, body = draw(st.sampled_from(WIRE))
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(0, 4))):
        *way, last = draw(st.sampled_from(list(_places(body)) or [("id",)]))
        holder: Any = body
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "leave out", "add"])):
            case "replace":
                holder[last] = draw(JSON)
            case "leave out":
                del holder[last]
            case _:
                holder = holder if isinstance(holder, dict) else body
                holder[draw(st.text(min_size=1, max_size=8))] = draw(JSON)
    return kind, body


@settings(max_examples=400)
@given(mutated())
def test_m5_whatever_the_sdk_accepts_comes_back_or_is_refused(case: tuple[Any, dict[str, Any]]) -> None:
    """M5: for any JSON that the SDK makes an object of, that object comes back, or is refused."""
    kind, body = case
    try:
        value, twin = kind.construct(**copy.deepcopy(body)), kind.construct(**copy.deepcopy(body))
    except Exception:  # noqa: BLE001 - whatever it raises, there is no object then
        event("the SDK refuses it")
        return
    try:
        dumped = serializer_for(kind).dump(value)
    except UnserializableValue:
        event("refused")
        return
    event("kept")
    again: Any = read(dumped)
    assert alike(twin, value)
    assert alike(again, value)
    assert same(again.to_dict(warnings=False), value.to_dict(warnings=False))
    _assert_same_models(value, again)


def _assert_same_models(value: Any, again: Any) -> None:
    for one, other in zip(_models(value), _models(again), strict=True):
        assert type(one) is type(other)
        assert one.model_fields_set == other.model_fields_set
