"""Whether a call asks for chance: its temperature, where it shows one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cachepolicy.errors import DecorationError
from cachepolicy.keys.clients import is_absent
from cachepolicy.llm.provider import embeds
from cachepolicy.runtime.reading import Told

_NAME: Final = "temperature"


class Temperature:
    """Where the calls of one function show their temperature.

    One that is not passed is the provider's own, and that is above zero.

    Args:
        told: of the function, and by its decorator.

    Raises:
        DecorationError: what the decorator says is no temperature.
    """

    def __init__(self, told: Told) -> None:
        names, said = told.shape.names, told.temperature
        if said is not None and (type(said) not in {int, float} or not said >= 0):
            raise DecorationError(f"{told.name}: temperature={said!r}: expected a number from 0 on")
        looked_at = [
            None if name in told.ignore else name for name in names
        ]  # what makes no key tells nothing
        self._at = looked_at.index(_NAME) if _NAME in looked_at else None
        self._body = looked_at.index("extra_body") if "extra_body" in looked_at else None
        rest = told.shape.rest
        self._rest = None if rest is None or looked_at[rest] is None else rest
        self._otherwise = not embeds(told.function) if said is None else said > 0
        self.is_silent = said is None and self._at is None and self._rest is None and self._otherwise

    def is_above_zero(self, values: Sequence[object]) -> bool:
        """Tell whether a call asks for chance."""
        shown = None if self._at is None else values[self._at]
        body = None if self._body is None else values[self._body]
        if self._rest is not None:
            keywords: Mapping[str, object] = values[self._rest]  # type: ignore[assignment] # what ** collects
            if _NAME in keywords:
                shown = keywords[_NAME]
            body = keywords.get("extra_body", body)
        if isinstance(body, Mapping) and _NAME in body:
            shown = body[_NAME]  # what is in the body goes last into a request
        if shown is None or is_absent(shown):
            return self._otherwise
        return not (type(shown) in {int, float} and shown == 0)
