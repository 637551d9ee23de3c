"""The functions behind every cache; they count how often they are reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Decorator = Callable[[Any], Any]

_TURN = (
    "The invoice of March lists three positions, the credit note of April only two; the customer asks which "
    "of them was corrected and by whom. Answer in two sentences and name the document numbers. "
)
MODEL = "gpt-4.1-mini"
MESSAGES = [
    {"role": "system", "content": "You are the accounting assistant of a mid-sized company. " + _TURN},
    *(
        {"role": role, "content": f"{turn}. {_TURN * 2}"}
        for turn in range(2)
        for role in ("user", "assistant")
    ),
    {"role": "user", "content": _TURN},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Look up a {name} by its number and give all its positions.",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "string"}, "year": {"type": "integer", "minimum": 2000}},
                "required": ["number"],
            },
        },
    }
    for name in ("invoice", "credit_note")
]
REQUEST = {"messages": MESSAGES, "model": MODEL, "temperature": 0.0, "tools": TOOLS}
CHAT = "f(messages, model, temperature=0.0, tools=tools)"
CHAT_NAMES = {"messages": MESSAGES, "model": MODEL, "tools": TOOLS}

ANSWER = "Position 2 was corrected by credit note 2024-117, issued on 4 April. " * 4
RESULT = {
    "id": "chatcmpl-1",
    "choices": [{"index": turn, "message": {"role": "assistant", "content": ANSWER}} for turn in range(6)],
    "usage": {"prompt_tokens": 812, "completion_tokens": 64, "total_tokens": 876},
}


@dataclass(slots=True)
class Calls:
    """How often an origin was reached."""

    count: int = 0

    def __call__(self) -> int:
        """Give the count."""
        return self.count


def plain(decorator: Decorator) -> tuple[Any, Calls]:
    """Decorate ``def f(a, b)``."""
    calls = Calls()

    def hit(a: str, b: int) -> str:
        calls.count += 1
        return f"{a} {b}"

    return decorator(hit), calls


def plain_async(decorator: Decorator) -> tuple[Any, Calls]:
    """Decorate ``async def hit_async(a, b)``."""
    calls = Calls()

    async def hit_async(a: str, b: int) -> str:
        calls.count += 1
        return f"{a} {b}"

    return decorator(hit_async), calls


def chat(decorator: Decorator) -> tuple[Any, Calls]:
    """Decorate a chat request that is answered with a string."""
    calls = Calls()

    def answer(
        messages: list[dict[str, Any]], model: str, *, temperature: float, tools: list[dict[str, Any]]
    ) -> str:
        calls.count += 1
        return ANSWER

    return decorator(answer), calls


def chat_async(decorator: Decorator) -> tuple[Any, Calls]:
    """Decorate an asynchronous chat request that is answered with a string."""
    calls = Calls()

    async def answer_async(
        messages: list[dict[str, Any]], model: str, *, temperature: float, tools: list[dict[str, Any]]
    ) -> str:
        calls.count += 1
        return ANSWER

    return decorator(answer_async), calls


def chat_mutable(decorator: Decorator) -> tuple[Any, Calls]:
    """Decorate an asynchronous chat request that is answered with a dict, which each caller may change."""
    calls = Calls()

    async def answer_mutable(
        messages: list[dict[str, Any]], model: str, *, temperature: float, tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        calls.count += 1
        return RESULT

    return decorator(answer_mutable), calls
