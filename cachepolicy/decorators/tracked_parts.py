"""Results that come in parts, which are counted at their end."""

from __future__ import annotations

from collections.abc import Iterator
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final, Self

from cachepolicy.decorators.limited_form import Form
from cachepolicy.decorators.tracked_form import Counting, Taken
from cachepolicy.keys.clients import is_of_sdk

_GENERATORS: Final[dict[type, Form]] = {
    GeneratorType: Form.GENERATOR,
    AsyncGeneratorType: Form.ASYNC_GENERATOR,
}
_WHOLE: Final = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict, set})


def generator_form(result: object) -> Form | None:
    """Return which kind of generator a result is; None: it is none."""
    return _GENERATORS.get(type(result))


def comes_in_parts(result: object) -> bool:
    """Tell whether a result is a stream: a generator, or one of an SDK or of this library.

    Other iterators, such as a file or a cursor, are what they are: nothing is put in their place.
    """
    kind = type(result)
    if kind in _WHOLE:
        return False
    if kind in _GENERATORS:
        return True
    module = kind.__module__
    return (is_of_sdk(module) or module.partition(".")[0] == "cachepolicy") and (
        hasattr(kind, "__anext__") or hasattr(kind, "__next__")
    )


class Parts:
    """A generator whose parts nobody reads anything of; iterated, it is the generator itself.

    Attributes:
        part: the last that it gave, where that is remembered.
    """

    __slots__ = ("_generator", "part")

    def __init__(self, generator: Any, nothing: object) -> None:
        self._generator = generator
        self.part = nothing

    def __iter__(self) -> Iterator[Any]:
        generator: Iterator[Any] = self._generator
        return generator


class LastPart(Parts):
    """A generator that remembers its last part, as delegated to by another generator."""

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self.part = part = next(self._generator)
        return part

    def send(self, value: Any, /) -> Any:
        """Go on with a value."""
        self.part = part = self._generator.send(value)
        return part

    def throw(self, error: BaseException, /, *_: object) -> Any:
        """Go on with an error."""
        self.part = part = self._generator.throw(error)
        return part

    def close(self) -> None:
        """Close the generator."""
        self._generator.close()


class Watch:
    """Counts a call when its stream has ended; once.

    Args:
        of: who counts.
        begun: what ``begin`` gave, when the call began, and its arguments.
        nothing: the last part of what gave none.
    """

    def __init__(self, of: Counting, begun: tuple[Any, float, Taken], nothing: object) -> None:
        self._of = of
        self._begun = begun
        self._last = nothing
        self._is_over = False

    def add(self, chunk: object) -> None:
        """Remember a part."""
        self._last = chunk

    def end(self, error: BaseException | None) -> None:
        """Count it."""
        if self._is_over:
            return
        self._is_over = True
        if isinstance(error, StopIteration):
            self._of.exhausted(*self._begun, self._last)
        else:
            self._of.failed(*self._begun, error, self._last)

    async def aend(self, error: BaseException | None) -> None:
        """Count it."""
        if self._is_over:
            return
        self._is_over = True
        is_whole, waits = isinstance(error, StopAsyncIteration), self._begun[0].waits
        if is_whole and waits:
            await self._of.aexhausted(*self._begun, self._last)
        elif is_whole:
            self._of.exhausted(*self._begun, self._last)
        elif waits:
            await self._of.afailed(*self._begun, error, self._last)
        else:
            self._of.failed(*self._begun, error, self._last)

    def abandon(self) -> None:
        """Count one that was thrown away, unless that waits for Redis: garbage collection must not."""
        if not self._begun[0].waits:
            self.end(None)
