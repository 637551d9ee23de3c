"""OpenAI's embeddings wire format: a request in, vectors out. Pure: a text has always the same vector."""

from __future__ import annotations

import base64
import hashlib
import math
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cachepolicy.testing.replies import WireError, count_tokens
from cachepolicy.testing.request_checks import check_number, is_array, missing, model_of, wrong_type

# The models, each with the numbers of its vectors.
MODELS: Mapping[str, int] = MappingProxyType(
    {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
)
_MOST_INPUTS = 2048


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request; an input of token numbers stands as their decimals."""

    model: str
    inputs: tuple[str, ...]
    tokens: int
    size: int
    in_base64: bool


def parse(data: Mapping[str, Any]) -> EmbeddingRequest:
    """Read a request as strictly as the provider does.

    Raises:
        WireError: where the provider would refuse it, with the provider's status, param and code.
    """
    model = model_of(data)
    if model not in MODELS:
        text = f"The model `{model}` does not exist or you do not have access to it."
        raise WireError(404, text, code="model_not_found")
    inputs = _inputs(data.get("input"))
    check_number(data, "dimensions", 1, MODELS[model], whole=True)
    encoding = data.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        text = f"Invalid value: {encoding!r}. Supported values are: 'float', 'base64'."
        raise WireError(400, text, param="encoding_format", code="invalid_value")
    return EmbeddingRequest(
        model=model,
        inputs=tuple(each if isinstance(each, str) else " ".join(map(str, each)) for each in inputs),
        tokens=sum(count_tokens(each) if isinstance(each, str) else len(each) for each in inputs),
        size=data.get("dimensions") or MODELS[model],
        in_base64=encoding == "base64",
    )


def embeddings(request: EmbeddingRequest) -> dict[str, Any]:
    """Build the list of embeddings that answers ``request``, in its order."""
    vectors = (vector(request.model, text, request.size) for text in request.inputs)
    form = _in_base64 if request.in_base64 else list[float]
    data = [
        {"object": "embedding", "index": index, "embedding": form(each)} for index, each in enumerate(vectors)
    ]
    usage = {"prompt_tokens": request.tokens, "total_tokens": request.tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


def vector(model: str, text: str, size: int) -> array[float]:
    """Invent the vector of a text: float32, of length 1; a smaller one is a larger one's head, scaled."""
    numbers = array("i", hashlib.shake_128(f"{model}\n{text}".encode(errors="replace")).digest(4 * size))
    if sys.byteorder == "big":
        numbers.byteswap()
    length = math.hypot(*numbers)
    return array("f", (number / length for number in numbers))


def _in_base64(numbers: array[float]) -> str:
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _inputs(given: object) -> list[str] | list[list[int]]:
    """Read what to embed: a text, texts, the numbers of a text's tokens, or several such lists."""
    if given is None:
        raise missing("input")
    inputs: list[Any] = given if is_array(given) else [given]
    if is_array(given) and given and all(isinstance(each, int) for each in given):
        inputs = [given]
    if not inputs or "" in inputs or len(inputs) > _MOST_INPUTS:
        text = f"Invalid 'input': expected 1 to {_MOST_INPUTS} texts, none of them empty."
        raise WireError(400, text, param="input")
    for each in inputs:
        if not isinstance(each, str) and not (
            is_array(each) and all(isinstance(token, int) for token in each)
        ):
            raise wrong_type("input", "a string or an array", each)
    return inputs
