"""What a function under ``@embeddings_cached`` has besides being callable, as types."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, overload

from cachepolicy.decorators.handle import C, EffectivePolicy, P, Q, R, R_co, S, Unbound

if TYPE_CHECKING:
    from cachepolicy.telemetry.counters import Stats


class EmbeddingsFunction(Protocol[P, R_co]):
    """A ``def`` that embeds texts, cached text by text.

    Each verb takes the arguments of a call, and is about all its texts.
    """

    @overload
    def __get__(self: Unbound[C, Q, R_co], instance: object, owner: C, /) -> EmbeddingsFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> EmbeddingsFunction[P, R_co]: ...
    @overload
    def __get__(
        self: Unbound[S, Q, R_co], instance: S, owner: type | None = None, /
    ) -> EmbeddingsFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> EmbeddingsFunction[P, R_co]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Answer each text from L1, Redis or the function. Raises ResultsMismatch."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Remove the texts' entries from both tiers; return how many there were. Raises StoreError."""
        ...

    def expire(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Put the texts' entries out of date: they serve only as ``stale`` says. Raises StoreError."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function for all texts now and replace what is cached."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> list[Any]:
        """Return each text's vector, or ``MISS``; never calls the function."""
        ...

    def keys(self, *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """Return each text's key in Redis. Raises UnkeyableArgument."""
        ...

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function with the texts as they are, reading and storing nothing."""
        ...

    @property
    def policy(self) -> EffectivePolicy:
        """The policy that the function is under."""
        ...

    def stats(self) -> Stats:
        """Return the function's counts of texts in this process since its policy was loaded."""
        ...


class AsyncEmbeddingsFunction(Protocol[P, R_co]):
    """An ``async def``: as ``EmbeddingsFunction``, with whatever may touch Redis awaited."""

    @overload
    def __get__(
        self: Unbound[C, Q, Coroutine[Any, Any, R_co]], instance: object, owner: C, /
    ) -> AsyncEmbeddingsFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> AsyncEmbeddingsFunction[P, R_co]: ...
    @overload
    def __get__(
        self: Unbound[S, Q, Coroutine[Any, Any, R_co]],
        instance: S,
        owner: type | None = None,
        /,
    ) -> AsyncEmbeddingsFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> AsyncEmbeddingsFunction[P, R_co]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Answer each text from L1, Redis or the function. Raises ResultsMismatch."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, int]:
        """Remove the texts' entries from both tiers; return how many there were. Raises StoreError."""
        ...

    def expire(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, int]:
        """Put the texts' entries out of date: they serve only as ``stale`` says. Raises StoreError."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function for all texts now and replace what is cached."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, list[Any]]:
        """Return each text's vector, or ``MISS``; never calls the function."""
        ...

    def keys(self, *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """Return each text's key in Redis. Raises UnkeyableArgument."""
        ...

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function with the texts as they are, reading and storing nothing."""
        ...

    @property
    def policy(self) -> EffectivePolicy:
        """The policy that the function is under."""
        ...

    def stats(self) -> Stats:
        """Return the function's counts of texts in this process since its policy was loaded."""
        ...


class EmbeddingsDecorator(Protocol):
    """What ``embeddings_cached(…)`` returns: keeps the parameters, the colour, and what is returned."""

    @overload
    def __call__(  # type: ignore[overload-overlap] # a coroutine function is a function too: first match wins
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncEmbeddingsFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> EmbeddingsFunction[P, R]: ...
