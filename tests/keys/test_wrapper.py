from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from cachepolicy.decorators.hit_path import compile_wrapper
from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import identity_of, name_of, shape_of


def plain(a: int, b: int = 2) -> object:
    """Have a default."""
    return (a, b)


def positional_only(a: int, b: int = 2, /) -> object:
    """Take arguments by place only."""
    return (a, b)


def mixed(a: int, /, b: int, *, c: int, d: int = 4) -> object:
    """Have every kind of plain parameter."""
    return (a, b, c, d)


def variadic(a: int, *rest: int, c: int = 3, **more: int) -> object:
    """Take whatever comes."""
    return (a, rest, c, more)


def shadowing(
    key: int = 1, now: int = 2, lookup: int = 3, miss: int = 4, entry: int = 5, self: int = 6
) -> object:
    """Be named like what the wrapper uses inside."""
    return (key, now, lookup, miss, entry, self)


def nothing() -> object:
    """Take nothing."""
    return ()


def unhashable_default(a: list[int] = [1]) -> object:  # noqa: B006 - the default is the point
    """Default to a list."""
    return a


CALLS: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = [
    (plain, (1,), {}),
    (plain, (), {"b": 3, "a": 1}),
    (plain, (), {}),
    (plain, (1, 2, 3), {}),
    (plain, (1,), {"c": 1}),
    (plain, (1,), {"a": 1}),
    (positional_only, (1, 3), {}),
    (positional_only, (1,), {"b": 3}),
    (mixed, (1, 2), {"c": 3}),
    (mixed, (1,), {"b": 2, "c": 3, "d": 5}),
    (mixed, (1, 2, 3), {}),
    (variadic, (1,), {}),
    (variadic, (1, 2, 3), {"c": 4, "e": 5}),
    (variadic, (1,), {"__class__": 2}),
    (shadowing, (), {}),
    (shadowing, (), {"miss": 40, "self": 60}),
    (nothing, (), {}),
    (nothing, (1,), {}),
    (unhashable_default, (), {}),
]


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_a_compiled_wrapper_takes_what_the_function_takes(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], is_async: bool
) -> None:
    """Arguments arrive as the function would get them; wrong ones are a TypeError."""

    def miss(
        values: tuple[object, ...], positional: tuple[object, ...], keywords: dict[str, object]
    ) -> object:
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        assert values == tuple(bound.arguments.values())
        return function(*positional, **keywords)

    async def miss_async(*arguments: Any) -> object:
        return miss(*arguments)

    wrapper = compile_wrapper(shape_of(function), miss_async if is_async else miss, is_async=is_async)
    try:
        expected = function(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            wrapper.function(*args, **kwargs)
        return
    if is_async:
        waiting = wrapper.function(*args, **kwargs)
        with pytest.raises(StopIteration) as ended:
            waiting.send(None)
        assert ended.value.value == expected
    else:
        assert wrapper.function(*args, **kwargs) == expected


def test_a_wrapper_with_parameters_of_its_own_is_taken_at_its_word() -> None:
    """``functools.wraps`` claims the wrapped signature: that is believed of ``(*args, **kwargs)`` only."""

    @functools.wraps(plain)
    def anything(*args: Any, **kwargs: Any) -> object:
        return plain(*args, **kwargs)

    @functools.wraps(anything)
    def adds(tenant: str, *args: Any, **kwargs: Any) -> object:
        return tenant, anything(*args, **kwargs)

    @functools.wraps(adds)
    def around(*args: Any, **kwargs: Any) -> object:
        return adds(*args, **kwargs)

    @functools.wraps(plain)
    def told(tenant: str, *args: Any) -> object:
        return tenant, args

    signature = inspect.Signature([inspect.Parameter("word", inspect.Parameter.POSITIONAL_ONLY)])
    told.__signature__ = signature  # type: ignore[attr-defined] # what a careful decorator sets

    assert shape_of(anything).names == ("a", "b")
    assert shape_of(adds).names == shape_of(around).names == ("tenant", "args", "kwargs")
    assert shape_of(told).names == ("word",)


def test_reserved_names_are_refused() -> None:
    """A parameter that could shadow the wrapper's own names is told."""

    def reserved(__cp_lookup: int) -> None: ...  # noqa: PYI063 - the name is the point

    with pytest.raises(DecorationError, match="reserved"):
        shape_of(reserved)


def test_an_object_without_signature_is_refused() -> None:
    """What cannot be inspected cannot be cached, and is told so."""
    with pytest.raises(DecorationError, match="signature"):
        shape_of(type)


def test_functions_are_known_by_module_and_name() -> None:
    """Two functions of one name in two modules, or in two functions, are two."""

    def inner() -> None: ...

    elsewhere = functools.wraps(plain)(lambda: None)
    elsewhere.__module__ = "elsewhere"
    identities = {identity_of(plain), identity_of(elsewhere), identity_of(inner), identity_of(nothing)}
    assert len(identities) == 4
    assert name_of(plain) == f"{__name__}.plain"
