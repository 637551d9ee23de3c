"""Chat completions about Python: prose that people wrote, in the shape in which an API gives it.

The text is the language reference that comes with Python (``help("topics")``), cut into paragraphs, each used
once; ids, times, models and counts of tokens are drawn. Nothing of it is repeated to make it compress.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Iterator
from pydoc_data.topics import topics
from typing import Any, Final

from cachepolicy.testing import openai_wire
from cachepolicy.testing.openai_wire import ChatRequest
from cachepolicy.testing.replies import Reply
from cachepolicy.testing.wire import Stamp

LONG: Final = 1500  # characters of text in an answer of about 2 KB

_SHORTEST_PARAGRAPH: Final = 100
_LEAST_LETTERS: Final = 0.8  # of a paragraph: tables and code are none


def paragraphs(texts: Iterable[str]) -> list[str]:
    """Cut texts into the paragraphs of prose in them, each once, in an order of chance."""
    found = {part.strip(): None for text in texts for part in text.split("\n\n")}
    prose = [part for part in found if _is_prose(part)]
    random.Random(1).shuffle(prose)
    return prose


def answers(prose: Iterable[str], length: int = LONG) -> Iterator[str]:
    """Put paragraphs together to answers of at least so many characters."""
    answer: list[str] = []
    for paragraph in prose:
        answer.append(paragraph)
        if sum(map(len, answer)) >= length:
            yield "\n\n".join(answer)
            answer = []


def reference(length: int = LONG) -> list[str]:
    """Return answers made of Python's language reference."""
    return list(answers(paragraphs(topics.values()), length))


def completion(text: str) -> dict[str, Any]:
    """Wrap an answer as OpenAI's chat completions do; ids, times, models and counts are drawn."""
    dice = random.Random(text)
    model = dice.choice(["gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14"])
    asked = ChatRequest(model, ("word " * dice.randint(20, 900),), "", choices=1, max_tokens=None)
    identity = f"chatcmpl-{''.join(dice.choices(string.ascii_letters + string.digits, k=29))}"
    created = dice.randint(1_700_000_000, 1_790_000_000)
    return openai_wire.completion(asked, Reply(text=text), Stamp(identity, model, created))


def _is_prose(part: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in part)
    return len(part) >= _SHORTEST_PARAGRAPH and letters >= _LEAST_LETTERS * len(part)
