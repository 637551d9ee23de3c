"""What ``@rate_limited`` was asked for, and how it is read from the arguments of a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cachepolicy.errors import DecorationError, UnkeyableArgument
from cachepolicy.keys.path import Path, getter, parse_path
from cachepolicy.keys.scope import current_tenant, current_user
from cachepolicy.keys.signature import Shape
from cachepolicy.runtime.subjects import subject_of

if TYPE_CHECKING:
    from cachepolicy.errors import RateLimitExceeded

Values = Sequence[object]
Read = Callable[[Values], object]
By = str | Sequence[str] | Callable[..., object]
Number = int | str | Callable[..., object]

_SCOPE: Final = {"scope.tenant": current_tenant, "scope.user": current_user}


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """What a decorator was asked for; see ``rate_limited``."""

    rules: tuple[str, ...]
    by: By | Mapping[str, By] | None = None
    plan: str | Callable[..., object] | None = None
    cost: Number = 1
    tokens: Number | None = None
    wait: bool | str | float = False
    on_exceeded: Callable[[RateLimitExceeded], Any] | None = None
    namespace: str = "ratelimit"


@dataclass(frozen=True, slots=True)
class Signature:
    """Reads the arguments of one function's calls.

    Attributes:
        name: of the function, for messages.
        shape: its signature.
        passing: makes of argument values what is passed to a callable that takes the same.
    """

    name: str
    shape: Shape
    passing: Callable[[Values], tuple[tuple[object, ...], Mapping[str, object]]]

    def reader(self, wanted: str | Callable[..., object], option: str) -> Read:
        """Return what reads an expression of the arguments, or calls what takes the same arguments.

        Raises:
            DecorationError: it cannot be read of this function's calls.
        """
        if callable(wanted):
            call, passing = wanted, self.passing

            def called(values: Values) -> object:
                args, kwargs = passing(values)
                return call(*args, **kwargs)

            return called
        path = self.path(wanted, option)
        if wanted in _SCOPE and path.root not in self.shape.names:
            said = _SCOPE[wanted]
            return lambda _: said()
        read = getter(path, self.shape.names, self.shape.rest)
        if read is None:
            from cachepolicy.policy.words import did_you_mean  # loaded with the first policy, or an error

            names = self.shape.names
            known = did_you_mean(path.root, names) or f"; there are: {', '.join(names) or 'none'}"
            raise DecorationError(f"{self.name}: {option}={wanted!r}: no such parameter{known}")
        return read

    def path(self, text: object, option: str) -> Path:
        """Read an expression.

        Raises:
            DecorationError: it is none.
        """
        try:
            return parse_path(text if isinstance(text, str) else "")
        except ValueError as error:
            raise DecorationError(f"{self.name}: {option}={text!r}: {error}") from None

    def subject(self, by: By, option: str) -> Read:
        """Return what reads who is counted; several expressions are one subject.

        Raises:
            DecorationError: it cannot be read of this function's calls.
        """
        if callable(by) or isinstance(by, str):
            read, said = self.reader(by, option), by if isinstance(by, str) else "it"
            return lambda values: self._known(read(values), option, said)
        reads = [self.reader(each, option) for each in by]
        if not reads:
            raise DecorationError(f"{self.name}: {option}: expected who is counted")
        if len(reads) == 1:
            return self.subject(by[0], option)
        said = ", ".join(by)
        return lambda values: self._known(tuple([read(values) for read in reads]), option, said)

    def _known(self, subject: object, option: str, said: str) -> object:
        try:
            return subject_of(subject)
        except UnkeyableArgument as error:
            raise UnkeyableArgument(f"{self.name}: {option}: {said}: {error}") from None

    def named(self, values: Values) -> dict[str, object]:
        """Return the arguments by their names, those that ``**`` collects too."""
        names, rest = self.shape.names, self.shape.rest
        arguments = dict(zip(names, values, strict=True))
        collected = None if rest is None else values[rest]
        return arguments | collected if isinstance(collected, dict) else arguments


def counted(found: object, name: str, option: str) -> int:
    """Return a whole number from 0 on that a call gave.

    Raises:
        UnkeyableArgument: it is none.
    """
    if type(found) is int and found >= 0:
        return found
    raise UnkeyableArgument(
        f"{name}: {option}: expected a whole number from 0 on, not a {type(found).__name__}"
    )
