"""How many tokens a call will take, before it is made: by its text, and by what it lets the model write.

It is a reservation, settled when the answer says what it took: a little too much waits in vain for a moment,
too little lets a moment's calls through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from cachepolicy.telemetry.usage import Usage

_BYTES_A_TOKEN: Final = 4
_MESSAGE: Final = 4  # tokens that frame one
_UNSAID: Final = 1_000  # tokens that a model writes, where nobody says at most how many
_INPUTS: Final = ("messages", "prompt", "input", "system", "instructions", "contents", "tools")
_MOST: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_NO_TEXT: Final = frozenset({"image_url", "data", "url", "file_data", "input_audio", "id", "type", "role"})
_DEEPEST: Final = 12


class Estimate(NamedTuple):
    """What a call will take.

    Attributes:
        usage: its tokens.
        is_bounded: whether the call says at most how many are written: then no more is ever needed.
    """

    usage: Usage
    is_bounded: bool


def estimate(arguments: Mapping[str, object]) -> Estimate:
    """Estimate by the arguments of a call; one that is of no model's form takes one token.

    Args:
        arguments: by the names that SDKs give them.
    """
    model = arguments.get("model")
    named = model if isinstance(model, str) else ""
    asked = [arguments[name] for name in _INPUTS if arguments.get(name) is not None]
    bounds = [most for name in _MOST if type(most := arguments.get(name)) is int and most > 0]
    if not asked and not bounds and not any(name in arguments for name in _MOST):
        return Estimate(Usage(named, 1, 0), is_bounded=False)
    choices = arguments.get("n")
    each = max(bounds, default=_UNSAID)
    written = each * (choices if type(choices) is int and choices > 0 else 1)
    return Estimate(Usage(named, sum(map(tokens_in, asked)), written), is_bounded=bool(bounds))


def tokens_in(content: object, depth: int = 0) -> int:
    """Estimate the tokens of text, of messages, or of whatever else holds text."""
    if isinstance(content, str):
        return -(-len(content.encode(errors="replace")) // _BYTES_A_TOKEN)
    if depth > _DEEPEST or content is None or isinstance(content, bytes | int | float):
        return 0
    if isinstance(content, Mapping):
        framed = _MESSAGE if "role" in content else 0
        return framed + sum(
            tokens_in(each, depth + 1) for name, each in content.items() if name not in _NO_TEXT
        )
    if isinstance(content, list | tuple):
        return sum(tokens_in(each, depth + 1) for each in content)
    return _MESSAGE + tokens_in(getattr(content, "content", None), depth + 1)
