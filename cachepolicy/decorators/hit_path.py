"""The L1 hit, compiled with the decorated function's own signature.

Per call: make the key, one ``dict.get``, one comparison with the clock, one ``hits += 1``. No lock, no
binding of arguments, no span, no allocation but the key. Anything else goes the long way, ``miss``.

Two forms. Where every argument may be an atom, the key is a tuple of the values and their exact types; it is
only ever stored for values whose identity that is, so finding it proves equality. Otherwise the key is the
canonical encoding of the arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple

from cachepolicy.errors import CorruptValue
from cachepolicy.flow.control import NO_CONTROL, current_control
from cachepolicy.keys.canonical import OPTIONS, extension, pack
from cachepolicy.keys.signature import Shape

Lookup = Callable[[Hashable], Any]
Bound = tuple[tuple[object, ...], tuple[object, ...], dict[str, object]]
"""The arguments in the order of their names; then as positional and keyword arguments to pass on."""

Miss = Callable[[tuple[object, ...], tuple[object, ...], dict[str, object]], Any]

_FACTORY: Final = """
def __cp_factory(__cp_lookup, __cp_now, __cp_miss):
    {define} __cp_wrapper({parameters}):
        try:
            __cp_entry = __cp_lookup({key})
            if __cp_entry.until > __cp_now():
                __cp_entry.hits += 1
                if __cp_entry.load is None:
                    return __cp_entry.value
            else:
                __cp_entry = None
        except (AttributeError, TypeError):  # None has no deadline; a list has no hash
            __cp_entry = None
        if __cp_entry is not None:
            try:
                return __cp_entry.load(__cp_entry.value)
            except __cp_corrupt:  # a validator that changed its mind; on the long way it is counted
                pass
        return {wait}__cp_miss(({values}), {positional}, {keywords})

    def __cp_point(lookup, now):
        nonlocal __cp_lookup, __cp_now
        __cp_lookup = lookup
        __cp_now = now

    def __cp_bind({parameters}):
        return ({values}), {positional}, {keywords}

    return __cp_wrapper, __cp_point, __cp_bind
"""


class Wrapper(NamedTuple):
    """A compiled wrapper, what points it at a table and a clock, and what binds arguments as it does."""

    function: Callable[..., Any]
    point: Callable[[Lookup, Callable[[], float]], None]
    bind: Callable[..., Bound]


class _Expired:
    """An entry that has always been too old."""

    until = -1.0


def nothing(_: Hashable) -> type[_Expired]:
    """Look nothing up: every call goes the long way, and finds it without an exception."""
    return _Expired


def unless_controlled(lookup: Lookup) -> Lookup:
    """Return a lookup that finds nothing for callers who want their calls answered in a way of their own."""

    def look(key: Hashable) -> Any:
        return lookup(key) if current_control() is NO_CONTROL else _Expired

    return look


def no_time() -> float:
    """Stand in for a clock while nothing is looked up."""
    return 0.0


def compile_wrapper(shape: Shape, miss: Miss, *, is_async: bool) -> Wrapper:
    """Compile the wrapper of one decorated function; it is shut until it is pointed at a table.

    Args:
        shape: the function's signature as source.
        miss: takes the arguments in the order of their names, and how to pass them on.
        is_async: whether the wrapper is ``async def``.
    """
    key = (
        f"({_items(shape.key_values)} {shape.key_classes})"
        if shape.atomic
        else f"__cp_pack([{shape.key_values}], __cp_extension, __cp_options)"
    )
    source = _FACTORY.format(
        define="async def" if is_async else "def",
        wait="await " if is_async else "",
        parameters=shape.parameters,
        key=key,
        values=_items(shape.values),
        positional=shape.positional,
        keywords=shape.keywords,
    )
    names: dict[str, Any] = {
        **shape.defaults,
        "__cp_pack": pack,
        "__cp_extension": extension,
        "__cp_options": OPTIONS,
        "__cp_corrupt": CorruptValue,
    }
    exec(compile(source, "<cachepolicy wrapper>", "exec"), names)  # noqa: S102 - identifiers of a real signature only
    return Wrapper(*names["__cp_factory"](nothing, no_time, miss))


def _items(expressions: str) -> str:
    return f"{expressions}," if expressions else ""
