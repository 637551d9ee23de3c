"""What functions return that embed texts, by their annotation: taken apart text by text, and put together.

The rows of lists and matrices are here; responses of a provider are in ``embedding_responses``.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cachepolicy.codec.serialize import ABSENT
from cachepolicy.codec.vectors import Precision, serializer_of
from cachepolicy.errors import DecorationError, ResultsMismatch
from cachepolicy.flow.collation import Collation, Judge
from cachepolicy.llm.embedding_responses import ModelResponses, WireResponses, is_response_model
from cachepolicy.llm.sound_vectors import is_sound

_SEQUENCES: Final = {list, tuple, Sequence, collections.abc.Iterable}
_UNSAID: Final = (ABSENT, Any, object)
_NUMBERS: Final = {float, int}


class Rows:
    """One vector for each text, in a list."""

    needs_items = False
    takes_one = False

    def __init__(self, kind: Any, precision: Precision) -> None:
        self._kind = kind
        self.serializer = serializer_of(_word(kind), precision, made_by=kind)

    def split(self, name: str, result: object, count: int) -> list[object]:
        """Return the vectors of a list or a tuple. Raises ResultsMismatch."""
        if not isinstance(result, (list, tuple)):
            raise _strange(name, result, "a list of vectors, one for each text")
        rows: list[object] = list(result)
        for row in rows:
            if type(row) is not self._kind:
                raise _strange(name, row, f"vectors that are each a {self._kind.__name__}")
        check(name, rows, count)
        return rows

    def agree(self, parts: Sequence[Any]) -> bool:
        """Tell whether all have as many dimensions."""
        return len(set(map(len, parts))) == 1

    def collate(self, parts: Sequence[object], results: Sequence[object]) -> object:  # noqa: ARG002 - of responses only
        """Return the vectors in a list."""
        return list(parts)

    def judge(self, cache_if: Judge | None) -> Judge:
        """Keep sound vectors, as far as ``cache_if`` does too."""
        if cache_if is None:
            return is_sound
        return lambda part: is_sound(part) and cache_if(part)

    def show(self, part: object) -> object:
        """Return the vector."""
        return part


class Matrix(Rows):
    """One row of a numpy array for each text."""

    needs_items = True

    def split(self, name: str, result: Any, count: int) -> list[object]:
        """Return the rows. Raises ResultsMismatch."""
        if type(result) is not self._kind or result.ndim != 2:
            raise _strange(name, result, "an array of two dimensions, with a row for each text")
        rows = list(result)
        check(name, rows, count)
        return rows

    def collate(self, parts: Sequence[Any], results: Sequence[object]) -> object:  # noqa: ARG002 - as above
        """Return a new array with these rows, as precise as the most precise of them."""
        widest = max({part.dtype for part in parts}, key=lambda dtype: dtype.itemsize)
        matrix = self._kind((len(parts), len(parts[0])), widest)
        for at, part in enumerate(parts):
            matrix[at] = part
        return matrix


class OneVector(Rows):
    """A vector for one text."""

    takes_one = True

    def split(self, name: str, result: Any, count: int) -> list[object]:  # noqa: ARG002 - it takes one
        """Return the vector. Raises ResultsMismatch."""
        if type(result) is not self._kind or getattr(result, "ndim", 1) != 1:
            raise _strange(name, result, f"a vector that is a {self._kind.__name__}")
        return [result]

    def collate(self, parts: Sequence[object], results: Sequence[object]) -> object:  # noqa: ARG002 - as above
        """Return the vector."""
        (vector,) = parts
        return vector


def check(name: str, vectors: Sequence[Any], count: int) -> None:
    """Let nothing pass but one vector for each text, of equal dimensions.

    Raises:
        ResultsMismatch: it is otherwise.
    """
    if len(vectors) != count:
        raise ResultsMismatch(f"{name} returned {len(vectors)} vectors for {count} texts")
    sizes = sorted(set(map(len, vectors)))
    if len(sizes) > 1:
        said = ", ".join(map(str, sizes))
        raise ResultsMismatch(f"{name} returned vectors of different dimensions in one result: {said}")


def collation_of(annotation: object, one: bool, name: str, precision: Precision) -> Collation:  # noqa: FBT001 - as the traits say
    """Say how the results of a function that embeds texts are put together.

    Args:
        annotation: of what it returns.
        one: it takes one text, and no sequence of them.
        name: of the function.
        precision: of what is kept.

    Raises:
        DecorationError: no such results are known.
    """
    origin = typing.get_origin(annotation) or annotation
    if isinstance(origin, type):
        if is_response_model(origin):
            return ModelResponses(origin, precision)
        if issubclass(origin, Mapping) or typing.is_typeddict(origin):
            return WireResponses(precision)
        if _is_ndarray(origin):
            return OneVector(origin, precision) if one else Matrix(origin, precision)
        if origin is array:
            return OneVector(array, precision)
    if annotation in _UNSAID:
        return OneVector(list, precision) if one else Rows(list, precision)
    if origin in _SEQUENCES:
        return _of_sequence(annotation, one, name, precision)
    raise _unknown(name, annotation)


def _of_sequence(annotation: object, one: bool, name: str, precision: Precision) -> Collation:  # noqa: FBT001 - as above
    item = next(iter(typing.get_args(annotation)), Any)
    if item in _NUMBERS or isinstance(item, types.UnionType) or (one and item is Any):
        return OneVector(list, precision)
    kind: Any = typing.get_origin(item) or item
    if isinstance(kind, type) and (kind is array or _is_ndarray(kind)):
        return Rows(kind, precision)
    if kind in _SEQUENCES or item in _UNSAID:
        return Rows(list, precision)
    raise _unknown(name, annotation)


def _unknown(name: str, annotation: object) -> DecorationError:
    return DecorationError(
        f"{name}: results annotated {annotation!r} are not known as embeddings; return list[list[float]], "
        "a list of arrays, a numpy array with a row for each text, or the provider's response"
    )


def _is_ndarray(kind: type[Any]) -> bool:
    return kind.__module__.partition(".")[0] == "numpy" and kind.__name__ == "ndarray"


def _word(kind: Any) -> Any:
    return "list" if kind is list else "array" if kind is array else "ndarray"


def _strange(name: str, found: object, expected: str) -> ResultsMismatch:
    return ResultsMismatch(
        f"{name} returned a {type(found).__qualname__}; by its annotation, expected {expected}"
    )
