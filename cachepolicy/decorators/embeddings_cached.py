"""``@embeddings_cached``: vectors of texts, text by text."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Literal, Unpack, cast, overload

from cachepolicy.decorators.accept import accept
from cachepolicy.decorators.embeddings_handle import (
    AsyncEmbeddingsFunction,
    EmbeddingsDecorator,
    EmbeddingsFunction,
)
from cachepolicy.decorators.entry_options import EntryOptions
from cachepolicy.decorators.handle import P, R
from cachepolicy.decorators.methods import Form, opened
from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import name_of, shape_of
from cachepolicy.llm.traits import embedding
from cachepolicy.runtime.decoration import Options

_TEXTS: Final = ("texts", "text", "input", "inputs", "documents", "sentences", "contents", "query")
"""What the parameter that takes the texts is called, usually."""


class EmbeddingsOptions(EntryOptions, total=False):
    """The options of ``embeddings_cached``; those that ``cached_many`` has mean the same."""

    over: str
    """The parameter that takes the texts; without it one called so, such as ``input``, or the first."""
    cache_if: Callable[[Any], object] | None
    """Takes one text's vector and tells whether it is kept, besides what is never kept."""
    precision: Literal["exact", "float16"]
    """``float16`` keeps half precision: half the bytes, and numbers that are off by up to 0.05 %."""


@overload
def embeddings_cached(  # type: ignore[overload-overlap] # as above
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncEmbeddingsFunction[P, R]: ...
@overload
def embeddings_cached(function: Callable[P, R], /) -> EmbeddingsFunction[P, R]: ...
@overload
def embeddings_cached(**options: Unpack[EmbeddingsOptions]) -> EmbeddingsDecorator: ...
def embeddings_cached(
    function: Callable[..., Any] | None = None, /, **options: Unpack[EmbeddingsOptions]
) -> Any:
    """Answer calls of a function that embeds texts from the cache, text by text; bare, or with options.

    The function takes a sequence of texts, or one, and returns their vectors: lists or arrays of floats, a
    numpy array with a row for each, or the response of a provider, as an SDK's model or as a dict. Its return
    annotation says which. It is called once, with the texts that are not cached.

    Args:
        function: what is decorated.
        options: see ``EmbeddingsOptions``.

    Raises:
        DecorationError: the function cannot be cached this way.
    """
    precision = options.pop("precision", "exact")
    if precision not in {"exact", "float16"}:
        raise DecorationError(f"embeddings_cached: precision={precision!r}: expected 'exact' or 'float16'")
    asked = replace(Options("llm", traits=embedding(precision)), **cast("Any", options))

    def apply(function: Callable[..., Any]) -> Any:
        return accept(function, replace(asked, over=asked.over or _over(function)))

    return apply if function is None else apply(function)


def _over(decorated: object) -> str:
    function, form = opened(decorated)
    names = shape_of(function).names
    if form in {Form.METHOD, Form.CLASS_METHOD, Form.UNDER_CLASS_METHOD}:
        names = names[1:]
    if not names:
        raise DecorationError(f"{name_of(function)}: it takes no texts")
    return next((name for name in _TEXTS if name in names), names[0])
