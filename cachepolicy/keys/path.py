"""Where in a call's arguments something stands: ``user_id``, ``request.user.id``, ``headers["x-api-key"]``.

A parameter, then any number of attributes and items. It is read, never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachepolicy.errors import UnkeyableArgument

_NAME: Final = re.compile(r"[^\W\d]\w*")
_STEP: Final = re.compile(
    r"""\.(?P<attribute>[^\W\d_]\w*)|\[(?:"(?P<quoted>[^"\\]*)"|'(?P<single>[^'\\]*)'|(?P<index>-?\d{1,9}))\]"""
)
_EXPECTED: Final = (
    'expected a parameter, its attributes or items, such as request.user.id or headers["x-api-key"]'
)
_LONGEST: Final = 200

Step = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Path:
    """One expression.

    Attributes:
        text: as it was written.
        root: the parameter that it begins with.
        steps: what is taken of it in turn: ``(True, name)`` an attribute, ``(False, key)`` an item.
    """

    text: str
    root: str
    steps: tuple[tuple[bool, str | int], ...]

    def take(self, value: Any) -> Any:
        """Return what the steps lead to, from the value of the parameter.

        Raises:
            UnkeyableArgument: they lead nowhere.
        """
        try:
            for is_attribute, name in self.steps:
                value = getattr(value, name) if is_attribute else value[name]  # type: ignore[arg-type] # attributes have names
        except Exception as error:  # noqa: BLE001 - a property may raise anything
            raise UnkeyableArgument(f"{self.text}: it cannot be read: {type(error).__name__}") from None
        return value


def parse_path(text: str) -> Path:
    """Read an expression.

    Raises:
        ValueError: it is none; says what was expected, and from which character on.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"{_EXPECTED}; this is longer than {_LONGEST} characters")
    found = _NAME.match(text)
    if found is None:
        raise ValueError(_EXPECTED)
    steps: list[tuple[bool, str | int]] = []
    at = found.end()
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise ValueError(f"{_EXPECTED}; it cannot be read from character {at + 1} on")
        attribute, index = step["attribute"], step["index"]
        if attribute is not None:
            steps.append((True, attribute))
        elif index is not None:
            steps.append((False, int(index)))
        else:
            steps.append((False, step["quoted"] if step["quoted"] is not None else step["single"]))
        at = step.end()
    return Path(text, found[0], tuple(steps))


def getter(
    path: Path, names: Sequence[str], rest: int | None = None
) -> Callable[[Sequence[object]], object] | None:
    """Return what reads a path from argument values; None where the function has no such parameter.

    Args:
        path: to read.
        names: of the function's parameters, in the order of the values.
        rest: where among them ``**`` collects what has no name of its own; None: nowhere.
    """
    if path.root in names:
        at, take = names.index(path.root), path.take
        if not path.steps:
            return lambda values: values[at]
        return lambda values: take(values[at])
    if rest is None:
        return None
    return lambda values: _of_rest(path, values[rest])


def _of_rest(path: Path, rest: object) -> object:
    """Return what a path leads to among collected keywords; nothing where it was not passed."""
    if not isinstance(rest, Mapping) or path.root not in rest:
        return None
    return path.take(rest[path.root])
