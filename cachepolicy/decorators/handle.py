"""What a decorated function has besides being callable, as types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from cachepolicy.decorators.verbs import NamedCall
    from cachepolicy.flow.answer import Missing
    from cachepolicy.policy.rules.cache import CacheRule
    from cachepolicy.telemetry.counters import Stats
    from cachepolicy.telemetry.savings import Account, Savings

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Q = ParamSpec("Q")  # the parameters after the instance
S_contra = TypeVar("S_contra", contravariant=True)
S = TypeVar("S")  # the instance
C = TypeVar("C", bound=type)  # the class of a class method
ReadOnLoop = TypeVar("ReadOnLoop", bound=AsyncIterator[Any] | AbstractAsyncContextManager[Any])


class EffectivePolicy(Protocol):
    """The policy that a decorated function is under now; read anew each time."""

    @property
    def namespace(self) -> str:
        """The policy's namespace."""
        ...

    @property
    def ttl(self) -> float:
        """How long an answer is fresh, in seconds."""
        ...

    @property
    def rule(self) -> CacheRule:
        """The namespace's whole rule."""
        ...


class Unbound(Protocol[S_contra, Q, R_co]):
    """A function of a class: it takes the instance, or the class, first.

    Both type checkers take the first parameter off by this form; each knows but one of the other two, a
    ``Callable`` and a handle of ``Concatenate``.
    """

    def __call__(self, first: S_contra, /, *args: Q.args, **kwargs: Q.kwargs) -> R_co:
        """Take it."""
        ...


class CachedFunction(Protocol[P, R_co]):
    """A cached ``def``: the function itself, and what can be done about its entries.

    Each verb takes the arguments of the call that it is about.
    """

    @overload
    def __get__(self: Unbound[C, Q, R_co], instance: object, owner: C, /) -> CachedFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> CachedFunction[P, R_co]: ...
    @overload
    def __get__(
        self: Unbound[S, Q, R_co], instance: S, owner: type | None = None, /
    ) -> CachedFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> CachedFunction[P, R_co]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Answer from L1, Redis or the function."""
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the call's entry from both tiers; tell whether there was one. Raises StoreError."""
        ...

    def expire(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Put the call's entry out of date: it serves only as ``stale`` says. Raises StoreError."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function now and replace what is cached."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> R_co | Missing:
        """Return what is cached, or ``MISS``; never calls the function."""
        ...

    def call(self, *args: P.args, **kwargs: P.kwargs) -> NamedCall:
        """Name a call, for ``get_many``; nothing is looked up."""
        ...

    def get_many(self, calls: Iterable[NamedCall]) -> Sequence[R_co | Missing]:
        """Return what is cached for each named call, or ``MISS``: one round trip, no call of the function."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the call's key in Redis. Raises UnkeyableArgument."""
        ...

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, reading and storing nothing."""
        ...

    @property
    def policy(self) -> EffectivePolicy:
        """The policy that the function is under."""
        ...

    def stats(self) -> Stats:
        """Return the function's counts in this process since its policy was loaded."""
        ...

    def savings(self) -> dict[Account, Savings]:
        """Return what its answers spared here, by model and tenant; ``stats().saved`` is the sum."""
        ...


class AsyncVerbs(Protocol[P, R_co]):
    """What can be done about the entries of a function that answers on a loop; awaited if it asks Redis."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, bool]:
        """Remove the call's entry from both tiers; tell whether there was one. Raises StoreError."""
        ...

    def expire(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, bool]:
        """Put the call's entry out of date: it serves only as ``stale`` says. Raises StoreError."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function now and replace what is cached."""
        ...

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co | Missing]:
        """Return what is cached, or ``MISS``; never calls the function."""
        ...

    def call(self, *args: P.args, **kwargs: P.kwargs) -> NamedCall:
        """Name a call, for ``get_many``; nothing is looked up."""
        ...

    def get_many(self, calls: Iterable[NamedCall]) -> Coroutine[Any, Any, Sequence[R_co | Missing]]:
        """Return what is cached for each named call, or ``MISS``: one round trip, no call of the function."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the call's key in Redis. Raises UnkeyableArgument."""
        ...

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function, reading and storing nothing."""
        ...

    @property
    def policy(self) -> EffectivePolicy:
        """The policy that the function is under."""
        ...

    def stats(self) -> Stats:
        """Return the function's counts in this process since its policy was loaded."""
        ...

    def savings(self) -> dict[Account, Savings]:
        """Return what its answers spared here, by model and tenant; ``stats().saved`` is the sum."""
        ...


class AsyncCachedFunction(AsyncVerbs[P, R_co], Protocol[P, R_co]):
    """A cached ``async def``: as ``CachedFunction``, with whatever may touch Redis awaited."""

    @overload
    def __get__(
        self: Unbound[C, Q, Coroutine[Any, Any, R_co]], instance: object, owner: C, /
    ) -> AsyncCachedFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> AsyncCachedFunction[P, R_co]: ...
    @overload
    def __get__(
        self: Unbound[S, Q, Coroutine[Any, Any, R_co]],
        instance: S,
        owner: type | None = None,
        /,
    ) -> AsyncCachedFunction[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> AsyncCachedFunction[P, R_co]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Answer from L1, Redis or the function."""
        ...


class AsyncCachedStream(AsyncVerbs[P, R_co], Protocol[P, R_co]):
    """A cached function that gives what is read on a loop: as ``AsyncCachedFunction``, but called plainly."""

    @overload
    def __get__(self: Unbound[C, Q, R_co], instance: object, owner: C, /) -> AsyncCachedStream[Q, R_co]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> AsyncCachedStream[P, R_co]: ...
    @overload
    def __get__(
        self: Unbound[S, Q, R_co], instance: S, owner: type | None = None, /
    ) -> AsyncCachedStream[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> AsyncCachedStream[P, R_co]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Give what, when it is read, comes from L1, Redis or the function."""
        ...


class Decorator(Protocol):
    """What ``cached(…)`` returns: keeps the parameters, the result and the colour of what it decorates."""

    @overload
    def __call__(  # type: ignore[overload-overlap] # a coroutine function is a function too: first match wins
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncCachedFunction[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap] # the same of what is read on a loop
        self, function: Callable[P, ReadOnLoop], /
    ) -> AsyncCachedStream[P, ReadOnLoop]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...
