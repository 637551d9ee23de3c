"""Why two calls have different keys: the first argument that tells them apart, and where in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from cachepolicy.cli.explain_calls import keys_of
from cachepolicy.cli.explain_parts import Difference
from cachepolicy.cli.targets import Arguments
from cachepolicy.decorators.binding import Binding
from cachepolicy.decorators.many import ManyBinding
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.keys.canonical import encode

_SHOWN: Final = 12  # digits of a hash
_NOTHING: Final = object()


def difference(binding: Binding, one: Arguments, other: Arguments, *, reveal: bool) -> Difference:
    """Compare two calls of a cached function.

    Args:
        binding: of the function.
        one: the first call's arguments.
        other: the second's.
        reveal: show values, and not only their hashes.

    Raises:
        UnkeyableArgument: no key can be made of one of them.
    """
    keys = keys_of(binding, one), keys_of(binding, other)
    if not all(keys):
        return Difference(same=False, why="no entry belongs to one of the calls")
    same = keys[0] == keys[1]
    found = _first(binding, one, other)
    if found is None:
        return Difference(same, "all that is part of the key is equal" if same else _BY_ITSELF)
    where, before, after = found
    why = (
        "what differs is no part of the key"
        if same
        else f"the first difference is in {where}{_of_types(before, after)}"
    )
    return Difference(same, why, where, _told(before, reveal=reveal), _told(after, reveal=reveal))


_BY_ITSELF: Final = "their arguments are equal: the decorator's own key= tells them apart"


def _first(binding: Binding, one: Arguments, other: Arguments) -> tuple[str, object, object] | None:
    """Return the first place where two calls differ; what makes their keys goes before what does not."""
    names, keyed = binding.decoration.shape.names, binding.decoration.shape.keyed
    before, after = (_values(binding, call) for call in (one, other))
    order = [*keyed, *(at for at in range(len(names)) if at not in keyed)]
    for at in order:
        found = _within(names[at], before[at], after[at])
        if found is not None:
            return found
    return None


def _values(binding: Binding, call: Arguments) -> Sequence[object]:
    """Return the values of a call as they make its key: what means the same is the same."""
    values, _, _ = binding.arguments(*call.args, **call.kwargs)
    if isinstance(binding, ManyBinding):
        return values
    return binding.decoration.reader.read(values).values


def _within(path: str, before: object, after: object) -> tuple[str, object, object] | None:
    if _same(before, after):
        return None
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}, key=str):
            one, other = before.get(key, _NOTHING), after.get(key, _NOTHING)
            found = _within(f"{path}.{key}" if isinstance(key, str) else f"{path}[{key!r}]", one, other)
            if found is not None:
                return found
    elif type(before) is type(after) and isinstance(before, list | tuple):
        theirs: Sequence[object] = after  # type: ignore[assignment] # of the same type
        for at in range(max(len(before), len(theirs))):
            one = before[at] if at < len(before) else _NOTHING
            other = theirs[at] if at < len(theirs) else _NOTHING
            found = _within(f"{path}[{at}]", one, other)
            if found is not None:
                return found
    return path, before, after


def _same(before: object, after: object) -> bool:
    if before is _NOTHING or after is _NOTHING:
        return False
    try:
        return encode(before) == encode(after)
    except UnkeyableArgument:
        return type(before) is type(after) and before == after


def _of_types(before: object, after: object) -> str:
    """Say it where two values look alike and are of different types, as 1 and True, or "1" and 1."""
    kinds = [type(value).__name__ for value in (before, after) if value is not _NOTHING]
    return f": one is {kinds[0]}, the other {kinds[1]}" if len(set(kinds)) > 1 else ""


def _told(value: object, *, reveal: bool) -> str:
    if value is _NOTHING:
        return "(nothing)"
    if reveal:
        return repr(value)
    try:
        encoded = encode(value)
    except UnkeyableArgument:
        return f"({type(value).__name__})"
    return f"{hashlib.sha256(encoded).hexdigest()[:_SHOWN]} ({type(value).__name__})"
