"""M2: answers that are cut off, filtered, refused, empty or failed are given, and not kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic.types as claude
import pytest
from anthropic.types.beta import BetaMessage
from langchain_core.messages import AIMessage, ToolMessage
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from pydantic import BaseModel
from pydantic_ai.messages import ModelResponse as AgentResponse
from pydantic_ai.messages import TextPart, ThinkingPart

from cachepolicy import Outcome, aclose, cached, configure, llm_cached, observe
from cachepolicy.llm.admission import judge, judge_stream
from cachepolicy.policy.rules.cache import Admit
from cachepolicy.telemetry.names import Reason
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.sdk_answers import CHAT, COMPLETION, EMBEDDINGS, MESSAGE, RESPONSE, chat, litellm_answer
from tests.support.streams import turns

TEXT = {"type": "output_text", "text": "Four.", "annotations": []}
SAID = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [TEXT]}
THOUGHT = {"type": "reasoning", "id": "r", "summary": []}


@dataclass
class Turn:
    """An application's own type around an answer."""

    question: str
    answer: Any


class Held(BaseModel):
    """A model of an application's around an answer."""

    answer: Any


def _completion(*arguments: Any, **message: Any) -> ChatCompletion:
    return ChatCompletion.construct(**chat(*arguments, **message))


def _text(finish: str, text: str = "Four.") -> Completion:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return Completion.construct(**{**COMPLETION, "choices": [choice]})


def _response(*output: Any, **fields: Any) -> Response:
    return Response.construct(**{**RESPONSE, "output": list(output), **fields})


def _message(stop: str | None = "end_turn", *content: Any) -> claude.Message:
    blocks = list(content) or [{"type": "text", "text": "Four."}]
    return claude.Message.construct(**{**MESSAGE, "stop_reason": stop, "content": blocks})


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL_ERROR = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
NOT_KEPT: dict[str, tuple[Reason, Callable[[], Any]]] = {
    "chat, length": (Reason.TRUNCATED, lambda: _completion("Fo", "length")),
    "chat, content_filter": (Reason.FILTERED, lambda: _completion("Fo", "content_filter")),
    "chat, refusal": (Reason.REFUSED, lambda: _completion(None, "stop", refusal="I cannot.")),
    "chat, no text": (Reason.EMPTY, lambda: _completion(None)),
    "chat, blank": (Reason.EMPTY, lambda: _completion(" \n")),
    "chat, no choices": (Reason.EMPTY, lambda: ChatCompletion.construct(**{**CHAT, "choices": []})),
    "chat, thoughts only": (Reason.EMPTY, lambda: _completion("", reasoning_content="2 + 2")),
    "chat, an error": (Reason.FAILED, lambda: _completion("Fo", "error")),
    "chat, a dict": (Reason.TRUNCATED, lambda: chat("Fo", "length")),
    "chat, the second choice": (
        Reason.TRUNCATED,
        lambda: ChatCompletion.construct(
            **{**CHAT, "choices": [*CHAT["choices"], *chat("Fo", "length")["choices"]]}
        ),
    ),
    "text, length": (Reason.TRUNCATED, lambda: _text("length")),
    "text, empty": (Reason.EMPTY, lambda: _text("stop", "")),
    "response, tokens": (
        Reason.TRUNCATED,
        lambda: _response(SAID, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    ),
    "response, filter": (
        Reason.FILTERED,
        lambda: _response(SAID, status="incomplete", incomplete_details={"reason": "content_filter"}),
    ),
    "response, incomplete": (Reason.TRUNCATED, lambda: _response(SAID, status="incomplete")),
    "response, queued": (Reason.TRUNCATED, lambda: _response(SAID, status="queued")),
    "response, failed": (Reason.FAILED, lambda: _response(SAID, status="failed")),
    "response, cancelled": (Reason.FAILED, lambda: _response(SAID, status="cancelled")),
    "response, error": (
        Reason.FAILED,
        lambda: _response(SAID, error={"code": "server_error", "message": "x"}),
    ),
    "response, refusal": (
        Reason.REFUSED,
        lambda: _response({**SAID, "content": [{"type": "refusal", "refusal": "I cannot."}]}),
    ),
    "response, empty": (Reason.EMPTY, _response),
    "response, thoughts only": (Reason.EMPTY, lambda: _response(THOUGHT)),
    "response, blank": (Reason.EMPTY, lambda: _response({**SAID, "content": [{**TEXT, "text": ""}]})),
    "response, MCP error": (
        Reason.FAILED,
        lambda: _response(SAID, {"type": "mcp_call", "id": "1", "name": "f", "arguments": "", "error": "x"}),
    ),
    "response, tool failed": (
        Reason.FAILED,
        lambda: _response(SAID, {"type": "web_search_call", "id": "1", "status": "failed"}),
    ),
    "message, max_tokens": (Reason.TRUNCATED, lambda: _message("max_tokens")),
    "message, window": (Reason.TRUNCATED, lambda: _message("model_context_window_exceeded")),
    "message, paused": (Reason.TRUNCATED, lambda: _message("pause_turn")),
    "message, refusal": (Reason.REFUSED, lambda: _message("refusal")),
    "message, empty": (Reason.EMPTY, lambda: claude.Message.construct(**{**MESSAGE, "content": []})),
    "message, thoughts only": (Reason.EMPTY, lambda: _message("end_turn", MESSAGE["content"][0])),
    "message, a dict": (Reason.TRUNCATED, lambda: {**MESSAGE, "stop_reason": "max_tokens"}),
    "message, tool failed": (
        Reason.FAILED,
        lambda: _message(
            "end_turn",
            *MESSAGE["content"][2:3],
            {"type": "web_search_tool_result", "tool_use_id": "1", "content": TOOL_ERROR},
        ),
    ),
    "beta message, MCP error": (
        Reason.FAILED,
        lambda: BetaMessage.construct(
            **{
                **MESSAGE,
                "content": [
                    {"type": "mcp_tool_result", "tool_use_id": "1", "is_error": True, "content": "x"},
                    {"type": "text", "text": "Four."},
                ],
            }
        ),
    ),
    "an error's body": (Reason.FAILED, lambda: {"error": {"message": "overloaded", "type": "server_error"}}),
    "Anthropic's error": (Reason.FAILED, lambda: {"type": "error", "error": {"type": "overloaded_error"}}),
    "embeddings, none": (
        Reason.EMPTY,
        lambda: CreateEmbeddingResponse.construct(**{**EMBEDDINGS, "data": []}),
    ),
    "litellm": (Reason.TRUNCATED, lambda: litellm_answer("Fo", "length")),
    "LangChain, OpenAI": (
        Reason.TRUNCATED,
        lambda: AIMessage("Fo", response_metadata={"finish_reason": "length"}),
    ),
    "LangChain, Anthropic": (
        Reason.TRUNCATED,
        lambda: AIMessage("Fo", response_metadata={"stop_reason": "max_tokens"}),
    ),
    "LangChain, Gemini": (
        Reason.FILTERED,
        lambda: AIMessage("Fo", response_metadata={"finish_reason": "SAFETY"}),
    ),
    "LangChain, refusal": (
        Reason.REFUSED,
        lambda: AIMessage("", additional_kwargs={"refusal": "no"}, response_metadata={}),
    ),
    "LangChain, empty": (Reason.EMPTY, lambda: AIMessage("")),
    "LangChain, tool": (Reason.FAILED, lambda: ToolMessage("x", tool_call_id="1", status="error")),
    "pydantic-ai": (
        Reason.TRUNCATED,
        lambda: AgentResponse(parts=[TextPart("Fo")], finish_reason="length"),
    ),
    "pydantic-ai, thoughts only": (Reason.EMPTY, lambda: AgentResponse(parts=[ThinkingPart("x")])),
    "None": (Reason.EMPTY, lambda: None),
    "no text": (Reason.EMPTY, lambda: ""),
    "blank": (Reason.EMPTY, lambda: " \n\t"),
    "no items": (Reason.EMPTY, list),
    "no keys": (Reason.EMPTY, dict),
    "in a tuple": (Reason.TRUNCATED, lambda: (_completion("Fo", "length"), 3)),
    "in a list": (Reason.TRUNCATED, lambda: [_completion(), _completion("Fo", "length")]),
    "in a dict": (Reason.REFUSED, lambda: {"answer": _message("refusal")}),
    "in a dataclass": (Reason.FILTERED, lambda: Turn("why?", _completion("Fo", "content_filter"))),
    "in a model": (Reason.EMPTY, lambda: Held(answer=_completion(None))),
}
KEPT: dict[str, Callable[[], Any]] = {
    "chat": _completion,
    "chat, a vendor's end": lambda: _completion("Four.", "eos_token"),
    "chat, no end": lambda: _completion("Four.", None),
    "chat, tool call": lambda: _completion(None, "tool_calls", tool_calls=[CALL]),
    "chat, function call": lambda: _completion(None, "function_call", function_call=CALL["function"]),
    "chat, audio": lambda: _completion(
        None, audio={"id": "a", "data": "", "expires_at": 1, "transcript": "x"}
    ),
    "chat, parts": lambda: _completion([{"type": "text", "text": "Four."}]),
    "text": lambda: _text("stop"),
    "response": lambda: _response(SAID),
    "response, call": lambda: _response(THOUGHT, RESPONSE["output"][1]),
    "message": _message,
    "message, tool use": lambda: _message("tool_use", MESSAGE["content"][3]),
    "message, stop sequence": lambda: _message("stop_sequence"),
    "embeddings": lambda: CreateEmbeddingResponse.construct(**EMBEDDINGS),
    "litellm": litellm_answer,
    "LangChain": lambda: AIMessage("Four.", response_metadata={"finish_reason": "stop"}),
    "LangChain, tool call": lambda: AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
    "pydantic-ai": lambda: AgentResponse(parts=[TextPart("Four.")], finish_reason="stop"),
    "text of one's own": lambda: "Four.",
    "zero": lambda: 0,
    "False": lambda: False,
    "somebody's choices": lambda: {"choices": ["a", "b"], "output": [], "error": None},
    "somebody's content": lambda: {"content": "", "status": "failed", "finish_reason": "length"},
    "somebody's parts": lambda: ("", None, {}),
}


@pytest.mark.parametrize("name", NOT_KEPT)
def test_m2_what_is_found(name: str) -> None:
    """M2: an answer that says of itself that it is no good is found out, whoever made it."""
    reason, make = NOT_KEPT[name]
    assert judge(Admit())(make()) is reason


@pytest.mark.parametrize("name", KEPT)
def test_m2_what_is_left_alone(name: str) -> None:
    """M2: a good answer is kept, and so is what only looks like one that is not."""
    assert judge(Admit())(KEPT[name]()) is None


@pytest.mark.parametrize("reason", ["truncated", "filtered", "refused", "empty", "failed"])
def test_m2_the_policy_lets_each_in_by_name(reason: str) -> None:
    """M2: ``admit`` admits one kind of answer at a time; an answer with two faults needs both."""
    admitted = judge(Admit(**{reason: True}))
    for expected, make in NOT_KEPT.values():
        assert (admitted(make()) is not expected) == (reason == expected)
    both = _completion("", "length")
    assert judge(Admit(truncated=True))(both) is Reason.EMPTY
    assert judge(Admit(truncated=True, empty=True))(both) is None


def _llm(**admit: Any) -> None:
    policy = cache_policy(admit=admit)
    configure({**policy, "namespaces": {"llm": policy["namespaces"]["answers"]}})


ENDINGS = ["chat, length", "chat, refusal", "response, filter", "message, max_tokens", "chat, an error"]


@pytest.mark.parametrize("name", ENDINGS)
def test_m2_such_an_answer_is_given_and_the_next_call_asks_again(colour: Colour, name: str) -> None:
    """M2: the caller gets it, with its reason on the call's record; the next call gets a better one, kept."""
    _llm()
    reason, make = NOT_KEPT[name]
    answers: list[ChatCompletion | Response | claude.Message] = [make(), make(), _completion()]
    given = iter(answers)

    @colour.decorate(llm_cached)
    def ask() -> ChatCompletion | Response | claude.Message:
        return next(given)

    with observe() as seen:
        assert [colour.run(ask) for _ in range(4)] == [*answers, answers[-1]]
    assert [(one.outcome, one.reason) for one in seen] == [
        (Outcome.BYPASS, reason),
        (Outcome.BYPASS, reason),
        (Outcome.MISS, None),
        (Outcome.HIT, None),
    ]


def test_m2_the_policy_may_keep_what_is_cut_off(colour: Colour) -> None:
    """M2: with ``admit: {truncated: true}`` such an answer is kept as any other."""
    _llm(truncated=True)
    calls: list[int] = []

    @colour.decorate(llm_cached)
    def ask() -> ChatCompletion:
        calls.append(1)
        return _completion("Fo", "length")

    assert [colour.run(ask).choices[0].finish_reason for _ in range(2)] == ["length"] * 2
    assert calls == [1]


def test_m2_cached_judges_nothing(colour: Colour) -> None:
    """M2: ``@cached`` is for any function: what it returns is no model's answer, and empty is an answer."""
    configure(cache_policy())
    calls: list[int] = []

    @colour.decorate(cached("answers"))
    def ask() -> dict[str, Any]:
        calls.append(1)
        return {"choices": [], "object": "chat.completion"}

    assert colour.run(ask) == colour.run(ask)
    assert calls == [1]


def test_m2_cache_if_has_a_say_besides(colour: Colour) -> None:
    """M2: ``cache_if`` is asked about answers that the policy admits, and about no others."""
    _llm()
    asked: list[object] = []

    def may_be_kept(answer: str) -> bool:
        asked.append(answer)
        return answer != "no"

    given = iter(["", "no", "yes"])

    @colour.decorate(llm_cached(cache_if=may_be_kept))
    def ask() -> str:
        return next(given)

    with observe() as seen:
        assert [colour.run(ask) for _ in range(4)] == ["", "no", "yes", "yes"]
    assert asked == ["no", "yes"]
    assert [one.reason for one in seen] == [Reason.EMPTY, Reason.NOT_ADMITTED, None, None]


def test_m2_errors_are_not_stored(colour: Colour) -> None:
    """M2: an error is raised and not kept; the next call asks again."""
    _llm()
    calls: list[int] = []

    @colour.decorate(llm_cached)
    def ask() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError
        return "Four."

    with pytest.raises(ConnectionError):
        colour.run(ask)
    assert [colour.run(ask), colour.run(ask)] == ["Four.", "Four."]
    assert len(calls) == 2


def test_m2_those_who_wait_get_an_answer_that_is_not_kept() -> None:
    """M2: callers that share a call share its answer, kept or not: they are not sent to ask again."""
    _llm()
    calls: list[int] = []

    async def share() -> list[ChatCompletion]:
        gate = asyncio.Event()

        @llm_cached
        async def ask() -> ChatCompletion:
            calls.append(1)
            await gate.wait()
            return _completion("Fo", "length")

        callers = [asyncio.create_task(ask()) for _ in range(3)]
        await turns()
        gate.set()
        answers = await asyncio.gather(*callers)
        await aclose()
        return answers

    with observe() as seen:
        assert asyncio.run(share()) == [_completion("Fo", "length")] * 3
    assert calls == [1]
    assert sorted(one.outcome for one in seen) == [Outcome.BYPASS, Outcome.COALESCED, Outcome.COALESCED]


def test_m2_a_judge_that_fails_keeps_nothing_and_is_told(
    colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    """M2: an answer that cannot be judged is given and not kept; that is counted, and told once."""
    _llm()

    class Odd:
        """Cannot be looked at."""

        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    @colour.decorate(llm_cached)
    def ask() -> Any:
        return Odd()

    with observe() as seen, caplog.at_level(logging.WARNING, "cachepolicy"):
        assert type(colour.run(ask)) is Odd
        assert type(colour.run(ask)) is Odd
    assert {one.outcome for one in seen} == {Outcome.BYPASS}
    assert [record.getMessage() for record in caplog.records if "RuntimeError" in record.getMessage()]


def _chunk(content: object = None, finish: str | None = None, index: int = 0, **fields: Any) -> Any:
    delta = {"content": content, **fields}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return ChatCompletionChunk.construct(
        id="c", object="chat.completion.chunk", created=1, model="m", choices=[choice]
    )


def _events(stop: str = "end_turn", *, ended: bool = True, text: str = "Four.") -> list[dict[str, Any]]:
    return [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 3}},
        *([{"type": "message_stop"}] if ended else []),
    ]


def _response_events(last: str, response: Response) -> list[Any]:
    return [
        {"type": "response.created", "response": RESPONSE, "sequence_number": 0},
        {"type": "response.output_text.delta", "delta": "Fo", "sequence_number": 1},
        {"type": last, "response": response, "sequence_number": 2},
    ]


USAGE = ChatCompletionChunk.construct(object="chat.completion.chunk", choices=[], usage={"total_tokens": 1})
STREAMS: dict[str, tuple[Reason | None, list[Any]]] = {
    "chat": (None, [_chunk(""), _chunk("Four."), _chunk(finish="stop"), USAGE]),
    "chat, tool call": (None, [_chunk(tool_calls=[CALL]), _chunk(finish="tool_calls")]),
    "chat, no end": (Reason.TRUNCATED, [_chunk(""), _chunk("Four.")]),
    "chat, one of two ends": (
        Reason.TRUNCATED,
        [_chunk("a"), _chunk("b", index=1), _chunk(finish="stop", index=1)],
    ),
    "chat, length": (Reason.TRUNCATED, [_chunk("Fo"), _chunk(finish="length")]),
    "chat, filter": (Reason.FILTERED, [_chunk("Fo"), _chunk(finish="content_filter")]),
    "chat, refusal": (Reason.REFUSED, [_chunk(refusal="I"), _chunk(finish="stop")]),
    "chat, empty": (Reason.EMPTY, [_chunk(""), _chunk(finish="stop")]),
    "chat, dicts": (None, [_chunk("a").to_dict(), _chunk(finish="stop").to_dict()]),
    "chat, helper": (None, [{"type": "chunk", "chunk": _chunk("a", "stop")}, {"type": "content.done"}]),
    "text": (None, [_text("stop")]),
    "responses": (None, _response_events("response.completed", _response(SAID))),
    "responses, no end": (Reason.TRUNCATED, _response_events("response.output_text.done", _response())),
    "responses, incomplete": (
        Reason.FILTERED,
        _response_events(
            "response.incomplete",
            _response(SAID, status="incomplete", incomplete_details={"reason": "content_filter"}),
        ),
    ),
    "responses, failed": (
        Reason.FAILED,
        _response_events("response.failed", _response(SAID, status="failed")),
    ),
    "responses, refusal": (
        Reason.REFUSED,
        _response_events(
            "response.completed", _response({**SAID, "content": [{"type": "refusal", "refusal": "no"}]})
        ),
    ),
    "messages": (None, _events()),
    "messages, no end": (Reason.TRUNCATED, _events(ended=False)),
    "messages, max_tokens": (Reason.TRUNCATED, _events("max_tokens")),
    "messages, refusal": (Reason.REFUSED, _events("refusal")),
    "messages, empty": (Reason.EMPTY, _events(text="")),
    "messages, error": (
        Reason.FAILED,
        [*_events(), {"type": "error", "error": {"type": "overloaded_error"}}],
    ),
    "text of one's own": (None, ["", "Fo", "ur."]),
    "nothing": (Reason.EMPTY, []),
    "nothing but blanks": (Reason.EMPTY, ["", "\n"]),
    "dicts of one's own": (None, [{"token": ""}]),
    "falsy": (None, [0, False]),
    "LangChain": (
        Reason.TRUNCATED,
        [AIMessage("Fo"), AIMessage("", response_metadata={"finish_reason": "length"})],
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_m2_a_stream_is_judged_by_its_chunks(name: str) -> None:
    """M2: of a recorded stream the end is looked for, and what its chunks say against it."""
    expected, chunks = STREAMS[name]
    assert judge_stream(Admit())(chunks) is expected


def test_m2_a_stream_without_an_end_is_never_admitted() -> None:
    """M2: ``admit: {truncated: true}`` keeps answers that the provider cut off, not streams that broke."""
    reason = judge_stream(Admit(truncated=True))
    assert reason(STREAMS["chat, length"][1]) is None
    assert reason(STREAMS["messages, max_tokens"][1]) is None
    for name in ("chat, no end", "chat, one of two ends", "responses, no end", "messages, no end"):
        assert reason(STREAMS[name][1]) is Reason.TRUNCATED
