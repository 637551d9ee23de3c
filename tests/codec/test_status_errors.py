"""Errors of SDKs come back as they were, with a response that can be read, and without what was sent."""

from __future__ import annotations

import json
import sys
from typing import Any

import anthropic
import httpx
import httpx2
import ormsgpack
import pytest

from cachepolicy.codec import status_errors
from cachepolicy.codec.raised import Errors
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue
from tests.support.vendors import API_KEY, OPENAI

openai = OPENAI.sdk
ALL = Errors({Exception: 30.0})
BODY = {
    "message": "too long",
    "type": "invalid_request_error",
    "param": None,
    "code": "context_length_exceeded",
}


def _response(client: Any, content: bytes, status: int = 400) -> Any:
    address = f"http://somebody:{API_KEY}@localhost:1234/v1/chat?key={API_KEY}#{API_KEY}"
    headers = {"authorization": f"Bearer {API_KEY}", "cookie": API_KEY}
    request = client.Request("POST", address, headers=headers, content=API_KEY)
    told = {"content-type": "application/json", "x-request-id": "req_1", "request-id": "req_1"}
    return client.Response(
        status,
        headers={**told, "set-cookie": API_KEY, "openai-organization": API_KEY},
        content=content,
        request=request,
    )


def _error(kind: Any, body: object, client: Any = httpx2, content: bytes | None = None) -> Any:
    content = json.dumps({"error": body}).encode() if content is None else content
    return kind("Error code: 400 - too long", response=_response(client, content), body=body)


class Odder(openai.BadRequestError):  # type: ignore[misc,name-defined] # the module is a value here
    """An error that is made of something else, as other libraries' are."""

    def __init__(self, model: str, body: object = None) -> None:
        self.model = model
        super().__init__(f"{model} refuses", response=_response(httpx2, b"{}"), body=body)


@pytest.mark.parametrize(
    "error",
    [
        _error(openai.BadRequestError, BODY),
        _error(openai.BadRequestError, BODY, httpx),
        _error(openai.UnprocessableEntityError, "plain", content="größer".encode()),
        _error(openai.APIStatusError, None, content=b""),
        _error(anthropic.BadRequestError, {"type": "error", "error": {"type": "x", "message": "y"}}),
        _error(anthropic.BadRequestError, {"error": {"details": {"error_code": "x"}}}),
        Odder("gpt"),
    ],
    ids=["openai", "an older client", "text", "empty", "anthropic", "details", "another constructor"],
)
def test_an_error_comes_back_as_it_was(error: Any) -> None:
    """Class, message, fields and body are equal, and the response says what it said."""
    payload = ALL.dump(error).payload
    again: Any = ALL.load(payload).error
    assert status_errors.alike(error, again)
    assert again is not error
    assert again.status_code == error.status_code == 400
    assert again.request_id == "req_1"
    assert again.response.text == error.response.text
    assert type(again.response) is type(error.response)
    assert str(again.request.url) == "http://localhost:1234/v1/chat"
    assert API_KEY.encode() not in payload


def test_what_cannot_be_stored_is_refused() -> None:
    """A body that is no plain data, and a response that was never read, are refused, not approximated."""
    unread = httpx2.Response(400, stream=httpx2.SyncByteStream(), request=httpx2.Request("GET", "http://x"))
    for error in (
        _error(openai.BadRequestError, {"message": object()}, content=b""),
        openai.BadRequestError("no", response=unread, body=None),
    ):
        with pytest.raises(UnserializableValue):
            ALL.dump(error)


def test_what_a_library_notes_of_the_prompt_is_left_out() -> None:
    """An error of litellm's, which holds the prompt and every header, comes back without them."""
    error: Any = Odder("gpt")
    error.litellm_debug_info = f"Messages: {API_KEY}"
    error.litellm_response_headers = error.response.headers
    payload = ALL.dump(error).payload
    again: Any = ALL.load(payload).error
    assert API_KEY.encode() not in payload
    assert again.litellm_debug_info is None
    assert (again.model, str(again)) == ("gpt", "gpt refuses")


def test_fields_that_nobody_knows_are_not_stored() -> None:
    """An error that holds more than is known of it is refused: it may be anything, a prompt too."""
    error: Any = Odder("gpt")
    error.asked = "a prompt"
    with pytest.raises(UnserializableValue):
        ALL.dump(error)


def test_a_difference_is_seen() -> None:
    """An error that holds more than its description says is refused."""
    error = _error(openai.BadRequestError, BODY)
    error.seen_by = object()
    with pytest.raises(UnserializableValue):
        ALL.dump(error)


def test_only_what_is_kept_is_made() -> None:
    """A stored error of a class that the judge does not keep, or no longer, makes nothing."""
    payload = ALL.dump(_error(openai.BadRequestError, BODY)).payload
    judged = Errors({}, lambda error, _: 1.0 if isinstance(error, openai.BadRequestError) else None)
    assert type(judged.load(payload).error) is openai.BadRequestError
    for errors in (Errors({}), Errors({}, lambda _error, listed: listed)):
        with pytest.raises(CorruptValue) as refused:
            errors.load(payload)
        assert refused.value.reason is Corruption.SCHEMA


@pytest.mark.parametrize(
    "name",
    [
        "openai.OpenAI",
        "openai.APITimeoutError",
        "openai.no.such",
        "openai",
        "builtins.ValueError",
        "subprocess.CalledProcessError",
        f"{__name__}.Odder",
        "anthropic._exceptions.BadRequestError",
        "",
    ],
)
def test_no_other_class_is_found(name: str) -> None:
    """Classes are looked for in the packages of SDKs alone, under their own names, and are status errors."""
    assert status_errors.find(name) is None


def test_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK, or the HTTP client whose response it is, is not loaded, no error is made."""
    payload = ALL.dump(_error(openai.BadRequestError, BODY, httpx)).payload
    judged = Errors({}, lambda _error, _listed: 1.0)
    monkeypatch.delitem(sys.modules, "httpx")
    with pytest.raises(CorruptValue):
        judged.load(payload)
    monkeypatch.delitem(sys.modules, "openai")
    with pytest.raises(CorruptValue):
        judged.load(payload)
    assert not {"httpx", "openai"} & sys.modules.keys()


def test_no_other_client_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored name of another module than an HTTP client's is not looked up."""
    name, arguments, told = ormsgpack.unpackb(ALL.dump(_error(openai.BadRequestError, BODY)).payload)
    monkeypatch.setitem(sys.modules, "forged", httpx2)
    told[5] = "forged"
    with pytest.raises(CorruptValue):
        ALL.load(ormsgpack.packb([name, arguments, told]))
