"""What a call of an LLM function asks its provider for, with all left out that does not shape the answer.

What comes out is in a form of its own: read again, it comes out the same. So what the fast path makes of
arguments as they are is a key that was stored only where it says the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cachepolicy.errors import DecorationError
from cachepolicy.keys.clients import is_absent, shaping
from cachepolicy.llm.parameters import (
    CONTINUOUS,
    HEADERS,
    NULLABLE,
    SECRET,
    SECRET_HEADERS,
    SERVER_STATE,
    UNMISTAKABLE,
    VOLATILE,
)
from cachepolicy.llm.provider import is_provider
from cachepolicy.llm.temperature import Temperature
from cachepolicy.runtime.reading import Request, Told
from cachepolicy.telemetry.names import Reason

_RULES: Final = "llm/1"  # a parameter that changes its class makes all keys new, never one of them another's
_EXACT: Final = 2**53  # from here on two whole numbers may be one float
_OF_HEADER: Final = f"{HEADERS}."


class RequestReader:
    """Reads the calls of one LLM function.

    Names mean what they mean to a provider in ``**kwargs``, and in a function of an SDK itself; among the
    parameters of somebody's own function only those that cannot mean anything else.

    Args:
        told: of the function, and by its decorator.

    Raises:
        DecorationError: an option is of no use with this function.
    """

    def __init__(self, told: Told) -> None:
        shape, names = told.shape, told.shape.names
        read = set(names).difference(told.ignore)  # the others are told to make no difference
        self._rest = None if shape.rest is None or names[shape.rest] not in read else shape.rest
        own = frozenset(names) if is_provider(told.function) else UNMISTAKABLE.intersection(names)
        varied = [name.removeprefix(_OF_HEADER) for name in told.vary if name.startswith(_OF_HEADER)]
        self._headers = frozenset(name.lower() for name in varied)
        _check(told, own)
        kept = {*told.vary, *VOLATILE.intersection(told.tags)}  # what entries are purged by tells them apart
        self._volatile = VOLATILE - kept
        self._stateful = SERVER_STATE - kept
        self.ignored = tuple(name for name in names if name in own & self._volatile)
        self.seed = (_RULES, *_named("vary", sorted(kept)), *_named("model", [told.model]))
        self.model = told.model or ""
        states = own & self._stateful & read
        self._parameters = _readers(told, self._folds, own, states)
        self._states = tuple(at for at, name in enumerate(names) if name in states)
        self._body = names.index("extra_body") if "extra_body" in read else None
        self._temperature = Temperature(told)
        self.is_silent = self._temperature.is_silent
        self._names = names

    def read(self, values: Sequence[object]) -> Request:
        """Say what a call asks for."""
        rest = self._rest
        read: list[object] | None = None
        for at, fold in self._parameters:
            folded = fold(values[at])
            if folded is not values[at]:
                read = read or list(values)
                read[at] = folded
        for at in self._states:
            if _is_stateful(self._names[at], values[at]):
                return Request(values, Reason.SERVER_STATE)
        if self._body is not None and self._continues(values[self._body]):
            return Request(values, Reason.SERVER_STATE)
        if rest is not None and (keywords := values[rest]):
            kept = self._kept(keywords)  # type: ignore[arg-type] # it is what ** collects
            if kept is None:
                return Request(values, Reason.SERVER_STATE)
            read = read or list(values)
            read[rest] = kept
        return Request(values if read is None else read, None, self._temperature.is_above_zero(values))

    def _kept(self, keywords: Mapping[str, object]) -> dict[str, object] | None:
        """Return the keywords that identify a request; None: the provider holds the rest of it."""
        kept: dict[str, object] = {}
        for name, value in keywords.items():
            if name in self._stateful:
                if _is_stateful(name, value):
                    return None
            elif name == HEADERS:
                headers = self._folds(value)
                if headers is not None:
                    kept[name] = headers
            elif name == "extra_body" and self._continues(value):
                return None
            elif not (name in self._volatile or is_absent(value) or (value is None and name in NULLABLE)):
                kept[name] = _number(value) if name in CONTINUOUS else value
        return kept

    def _folds(self, headers: object) -> object:
        """Return those headers that identify a request; None: no header does."""
        if headers is None or is_absent(headers):
            return None
        if not isinstance(headers, Mapping):
            return headers
        return shaping(headers, self._headers) or None

    def _continues(self, body: object) -> bool:
        """Tell whether a body names what only the provider holds."""
        return isinstance(body, Mapping) and any(
            _is_stateful(name, body[name]) for name in self._stateful if name in body
        )


def never_drawn(told: Told) -> RequestReader:
    """Return what reads the calls of a function whose answers are not drawn: vectors."""
    return RequestReader(replace(told, temperature=0.0))


def _is_stateful(name: str, value: object) -> bool:
    return not (value is None or is_absent(value) or (value is False and name == "background"))


def _readers(
    told: Told, headers: Callable[[object], object], own: frozenset[str], states: frozenset[str]
) -> tuple[tuple[int, Callable[[Any], object]], ...]:
    """Return how parameters are read that are not read as they are: where they are, and what reads them."""
    found: list[tuple[int, Callable[[Any], object]]] = []
    for at, name in enumerate(told.shape.names):
        default = told.shape.defaults.get(f"__cp_default_{name}")
        if name in CONTINUOUS and name not in told.ignore:
            found.append((at, functools.partial(_like, default, nullable=name in own)))
        elif name == HEADERS and name not in told.ignore:
            found.append((at, _or_default(headers, default)))
        elif name in own and name in states:
            found.append((at, _or_default(functools.partial(_state, name), default)))
        elif name in own and name in NULLABLE and (default is None or is_absent(default)):
            found.append((at, _or_default(_passed, default)))
    return tuple(found)


def _or_default(fold: Callable[[object], object], default: object) -> Callable[[object], object]:
    """Have what was not passed be what it is by default: the fast path looks for that."""
    absent = default if is_absent(default) else None

    def read(value: object) -> object:
        folded = fold(value)
        return absent if folded is None else folded

    return read


def _like(default: object, value: object, *, nullable: bool) -> object:
    """Return a number as its parameter's default is written: the fast path looks for that."""
    if nullable and (default is None or is_absent(default)) and (value is None or is_absent(value)):
        return default
    if type(default) is int and type(value) is float and value.is_integer():
        return int(value)
    return value if type(default) is int else _number(value)


def _number(value: object) -> object:
    if type(value) is float or (type(value) is int and abs(value) < _EXACT):
        return value + 0.0  # makes 0.0 of -0.0 too
    return value


def _state(name: str, value: object) -> object:
    return value if _is_stateful(name, value) else None


def _passed(value: object) -> object:
    return None if is_absent(value) else value


def _named(name: str, values: Sequence[str | None]) -> tuple[str, ...]:
    told = [value for value in values if value is not None]
    return (name, *told) if told else ()


def _check(told: Told, own: frozenset[str]) -> None:
    """Refuse options that would do nothing, or what must not be done.

    Raises:
        DecorationError: there is such a one.
    """
    name, names = told.name, told.shape.names
    if told.model is not None and "model" in names:
        raise DecorationError(f"{name}: model={told.model!r}: its parameter 'model' says that; leave it out")
    if isinstance(told.vary, str):
        raise DecorationError(f"{name}: vary={told.vary!r}: expected several names: vary=({told.vary!r},)")
    for wanted in (*told.vary, *SECRET.intersection(told.tags)):
        if wanted in SECRET or wanted.removeprefix(_OF_HEADER).lower() in SECRET_HEADERS:
            raise DecorationError(f"{name}: {wanted!r}: a secret is part of no key; say tenant= or user=")
        if wanted in told.ignore:
            raise DecorationError(f"{name}: {wanted!r} is in vary= and in ignore=; leave it out of one")
        parameter = HEADERS if wanted.startswith(_OF_HEADER) else wanted
        if parameter not in names and told.shape.rest is None:
            raise DecorationError(f"{name}: vary={wanted!r}: no such parameter")
        left_out = parameter == HEADERS or parameter in VOLATILE | SERVER_STATE
        if not left_out or (parameter in names and parameter != HEADERS and parameter not in own):
            raise DecorationError(f"{name}: vary={wanted!r}: it is part of every key already")
        if wanted == HEADERS:
            raise DecorationError(f"{name}: vary={wanted!r}: name a header: vary=('{HEADERS}.X-Name',)")
