"""What a function under ``@cached_many`` has besides being callable, as types."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload

from cachepolicy.decorators.handle import C, EffectivePolicy, P, Q, R, S, Unbound

if TYPE_CHECKING:
    from cachepolicy.flow.answer import Missing
    from cachepolicy.telemetry.counters import Stats
    from cachepolicy.telemetry.savings import Account, Savings


class CachedManyFunction(Protocol[P, R]):
    """A ``def`` whose results are cached item by item; ``R`` is the result for one item.

    Each verb takes the arguments of a call, and is about all its items.
    """

    @overload
    def __get__(self: Unbound[C, Q, list[R]], instance: object, owner: C, /) -> CachedManyFunction[Q, R]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> CachedManyFunction[P, R]: ...
    @overload
    def __get__(
        self: Unbound[S, Q, list[R]], instance: S, owner: type | None = None, /
    ) -> CachedManyFunction[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> CachedManyFunction[P, R]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """Answer each item from L1, Redis or the function. Raises ResultsMismatch."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Remove the items' entries from both tiers; return how many there were. Raises StoreError."""
        ...

    def expire(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Put the items' entries out of date: they serve only as ``stale`` says. Raises StoreError."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """Call the function for all items now and replace what is cached."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> list[R | Missing]:
        """Return what is cached for each item, or ``MISS``; never calls the function."""
        ...

    def keys(self, *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """Return each item's key in Redis. Raises UnkeyableArgument."""
        ...

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> list[R]:
        """Call the function with the items as they are, reading and storing nothing."""
        ...

    @property
    def policy(self) -> EffectivePolicy:
        """The policy that the function is under."""
        ...

    def stats(self) -> Stats:
        """Return the function's counts of items in this process since its policy was loaded."""
        ...

    def savings(self) -> dict[Account, Savings]:
        """Return what its answers spared here, by model and tenant; ``stats().saved`` is the sum."""
        ...


class AsyncCachedManyFunction(Protocol[P, R]):
    """An ``async def``: as ``CachedManyFunction``, with whatever may touch Redis awaited."""

    @overload
    def __get__(
        self: Unbound[C, Q, Coroutine[Any, Any, list[R]]], instance: object, owner: C, /
    ) -> AsyncCachedManyFunction[Q, R]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> AsyncCachedManyFunction[P, R]: ...
    @overload
    def __get__(
        self: Unbound[S, Q, Coroutine[Any, Any, list[R]]],
        instance: S,
        owner: type | None = None,
        /,
    ) -> AsyncCachedManyFunction[Q, R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> AsyncCachedManyFunction[P, R]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, list[R]]:
        """Answer each item from L1, Redis or the function. Raises ResultsMismatch."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, int]:
        """Remove the items' entries from both tiers; return how many there were. Raises StoreError."""
        ...

    def expire(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, int]:
        """Put the items' entries out of date: they serve only as ``stale`` says. Raises StoreError."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, list[R]]:
        """Call the function for all items now and replace what is cached."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, list[R | Missing]]:
        """Return what is cached for each item, or ``MISS``; never calls the function."""
        ...

    def keys(self, *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """Return each item's key in Redis. Raises UnkeyableArgument."""
        ...

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, list[R]]:
        """Call the function with the items as they are, reading and storing nothing."""
        ...

    @property
    def policy(self) -> EffectivePolicy:
        """The policy that the function is under."""
        ...

    def stats(self) -> Stats:
        """Return the function's counts of items in this process since its policy was loaded."""
        ...

    def savings(self) -> dict[Account, Savings]:
        """Return what its answers spared here, by model and tenant; ``stats().saved`` is the sum."""
        ...


class ManyDecorator(Protocol):
    """What ``cached_many(…)`` returns: keeps the parameters and the colour; results come as a list."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Mapping[Any, R]]], /
    ) -> AsyncCachedManyFunction[P, R]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Sequence[R]]], /
    ) -> AsyncCachedManyFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Mapping[Any, R]], /) -> CachedManyFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Sequence[R]], /) -> CachedManyFunction[P, R]: ...
