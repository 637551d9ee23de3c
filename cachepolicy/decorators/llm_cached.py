"""``@llm_cached``: answers of a language model."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack, overload

from cachepolicy.decorators.accept import accept
from cachepolicy.decorators.entry_options import EntryOptions
from cachepolicy.decorators.handle import (
    AsyncCachedFunction,
    AsyncCachedStream,
    CachedFunction,
    Decorator,
    P,
    R,
    ReadOnLoop,
)
from cachepolicy.llm.reporting import Reporter
from cachepolicy.llm.traits import LLM
from cachepolicy.runtime.decoration import Options, Ttl


class LlmOptions(EntryOptions, total=False):
    """The options of ``llm_cached``; those that ``cached`` has mean the same."""

    cache_if: Callable[[Any], object] | None
    """Takes a result and tells whether it is kept, besides what the policy's ``admit`` says."""
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]]
    """Exceptions that are answers, and how long each is kept."""
    provider: str
    """Who serves the models, such as ``openai``: ``models.get_info(provider, model)`` is kept up to date."""
    vary: Sequence[str]
    """Parameters of a provider that identify a call although they would not, such as ``user``; of headers,
    ``extra_headers.X-Name``."""
    temperature: float
    """Of all calls that do not show one; without it, such calls count as asking for chance."""
    model: str
    """The model that the function asks, where no parameter says so: part of its keys, and a tag."""
    tenant: str
    """The parameter that says on whose behalf a call is made, for ``scope: tenant`` and ``scope: user``."""
    user: str
    """The parameter that says for which user a call is made, for ``scope: user``."""


@overload
def llm_cached(  # type: ignore[overload-overlap] # a coroutine function is a function too: first match wins
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncCachedFunction[P, R]: ...
@overload
def llm_cached(  # type: ignore[overload-overlap] # the same of what is read on a loop
    function: Callable[P, ReadOnLoop], /
) -> AsyncCachedStream[P, ReadOnLoop]: ...
@overload
def llm_cached(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def llm_cached(**options: Unpack[LlmOptions]) -> Decorator: ...
def llm_cached(function: Callable[..., Any] | None = None, /, **options: Unpack[LlmOptions]) -> Any:
    """Answer calls of an LLM function from the cache; bare, or called with options.

    Args:
        function: what is decorated.
        options: see ``LlmOptions``.

    Raises:
        DecorationError: the function cannot be cached this way.
    """
    said: dict[str, Any] = dict(options)
    provider = said.pop("provider", None)
    traits = LLM if provider is None else replace(LLM, after_origin=Reporter(provider))
    asked = replace(Options("llm", traits=traits), **said)

    def apply(function: Callable[..., Any]) -> Any:
        return accept(function, asked)

    return apply if function is None else apply(function)
