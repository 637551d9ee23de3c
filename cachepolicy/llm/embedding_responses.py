"""Responses of an embeddings endpoint, as models of an SDK and as dicts of the wire.

A response is kept text by text: its vector, and what stood beside it. What is put together anew says under
``usage`` what was billed for this very call: nothing, where nothing was asked of the provider.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cachepolicy.codec.vectors import Embedded, Precision, serializer_of
from cachepolicy.errors import ResultsMismatch
from cachepolicy.flow.collation import Judge
from cachepolicy.llm.sound_vectors import is_sound

_APART: Final = {"data", "usage"}
_OF_THE_TEXT: Final = {"embedding", "index"}


def is_response_model(kind: type) -> bool:
    """Tell whether a class is a model (pydantic's, an SDK's) of a response with embeddings in it."""
    return "data" in getattr(kind, "model_fields", ())


class WireResponses:
    """Responses as dicts: ``{"data": [{"embedding": …, "index": …}, …], "model": …, "usage": …}``."""

    needs_items = True
    takes_one = False

    def __init__(self, precision: Precision, about: str = "dict") -> None:
        self.serializer = serializer_of("embedded", precision, about=about)

    def split(self, name: str, result: object, count: int) -> list[object]:
        """Return each text's vector and what stood beside it, by ``index``. Raises ResultsMismatch."""
        found = self._read(result)
        if found is None:
            kind = type(result).__qualname__
            raise ResultsMismatch(f"{name} returned a {kind} that is no response with embeddings in it")
        response, items, usage = found
        nothing = _zero(usage)
        parts: list[Any] = [None] * len(items)
        for place, (vector, index, beside) in enumerate(items):
            at = place if index is None else index
            if type(at) is not int or not 0 <= at < len(parts) or parts[at] is not None:
                raise ResultsMismatch(
                    f"{name} returned embeddings whose indexes are not 0 to {len(parts) - 1}"
                )
            parts[at] = Embedded(vector, {"response": response, "item": beside, "usage": nothing})
        if len(parts) != count:
            raise ResultsMismatch(f"{name} returned {len(parts)} vectors for {count} texts")
        if not self.agree(parts):
            raise ResultsMismatch(f"{name} returned vectors of different dimensions in one result")
        return parts

    def agree(self, parts: Sequence[Any]) -> bool:
        """Tell whether all have as many dimensions."""
        return len({len(part.vector) for part in parts}) == 1

    def collate(self, parts: Sequence[Any], results: Sequence[object]) -> object:
        """Make a response of vectors; ``usage`` is that of the results, together."""
        used = [read[2] for read in map(self._read, results) if read is not None]
        beside = parts[0].beside
        usage = _sum(used) if used else beside["usage"]
        return self._make(copy.deepcopy(beside["response"]), parts, copy.deepcopy(usage))

    def judge(self, cache_if: Judge | None) -> Judge:
        """Keep sound vectors, as far as ``cache_if`` does too, which is shown the vector alone."""

        def judge(part: Any) -> object:
            return is_sound(part.vector) and (cache_if is None or cache_if(part.vector))

        return judge

    def show(self, part: Any) -> object:
        """Return the vector alone."""
        return part.vector

    def _read(self, result: Any) -> _Read | None:
        if not isinstance(result, dict) or not isinstance(result.get("data"), list):
            return None
        items = []
        for item in result["data"]:
            if not isinstance(item, dict) or "embedding" not in item:
                return None
            beside = {name: value for name, value in item.items() if name not in _OF_THE_TEXT}
            items.append((item["embedding"], item.get("index"), beside))
        response = {name: value for name, value in result.items() if name not in _APART}
        return response, items, result.get("usage")

    def _make(self, response: dict[str, Any], parts: Sequence[Any], usage: object) -> object:
        response["data"] = [
            {**copy.deepcopy(part.beside["item"]), "index": at, "embedding": part.vector}
            for at, part in enumerate(parts)
        ]
        if usage is not None:
            response["usage"] = usage
        return response


_Read = tuple[dict[str, Any], list[tuple[object, Any, dict[str, object]]], object]
"""What stands in a response; for each text its vector, its index, what stands beside it; the usage."""


class ModelResponses(WireResponses):
    """Responses as models, built as leniently as the SDK builds them: without validation."""

    def __init__(self, kind: Any, precision: Precision) -> None:
        super().__init__(precision, f"{kind.__module__}:{kind.__qualname__}")
        self._kind = kind
        self._item_kind = _class_in(kind, "data")
        self._usage_kind = None if _is_lenient(kind) else _class_in(kind, "usage")

    def _read(self, result: Any) -> _Read | None:
        if not isinstance(result, self._kind) or not isinstance(result.data, list):
            return None
        items = []
        for item in result.data:
            if type(item) is not self._item_kind:
                return None
            items.append((item.embedding, item.index, _dumped(item, _OF_THE_TEXT)))
        usage = getattr(result, "usage", None)
        plain = _dumped(usage, set()) if hasattr(usage, "model_dump") else usage
        return _dumped(result, _APART), items, plain

    def _make(self, response: dict[str, Any], parts: Sequence[Any], usage: Any) -> object:
        items = []
        for at, part in enumerate(parts):
            item = _built(self._item_kind, part.beside["item"])
            item.index = at
            item.embedding = part.vector  # the SDK's own way would look at every float
            items.append(item)
        if usage is not None:
            response["usage"] = usage if self._usage_kind is None else _built(self._usage_kind, usage)
        made = _built(self._kind, response)
        made.data = items
        return made


def _built(kind: Any, values: Mapping[str, object]) -> Any:
    return (kind.construct if _is_lenient(kind) else kind.model_construct)(**values)


def _is_lenient(kind: Any) -> bool:
    """Tell whether a model has a way of its own to be built without validation, as those of SDKs have."""
    own = getattr(kind, "construct", None)
    return own is not None and not own.__module__.startswith("pydantic.")


def _class_in(kind: Any, field: str) -> Any:
    """Return the class of model that a field holds, by itself, in a list, or perhaps."""
    if field not in kind.model_fields:
        return None
    annotation = kind.model_fields[field].annotation
    for each in (annotation, *typing.get_args(annotation)):
        if hasattr(each, "model_fields"):
            return each
    return None


def _dumped(model: Any, without: set[str]) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(exclude=without, exclude_unset=True, warnings=False)
    return dumped


def _zero(usage: object) -> object:
    """Return what says that nothing was billed, in the provider's words."""
    if isinstance(usage, Mapping):
        return {name: _zero(value) for name, value in usage.items()}
    return 0 if isinstance(usage, (int, float)) and not isinstance(usage, bool) else usage


def _sum(usages: Sequence[object]) -> object:
    """Add up what several calls of the provider were billed."""
    first = usages[0]
    if all(isinstance(usage, Mapping) for usage in usages):
        of_each: Any = usages
        names = dict.fromkeys(name for usage in of_each for name in usage)
        return {name: _sum([usage[name] for usage in of_each if name in usage]) for name in names}
    if all(isinstance(usage, (int, float)) and not isinstance(usage, bool) for usage in usages):
        numbers: Any = usages
        return sum(numbers)
    return first
