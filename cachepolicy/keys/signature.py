"""The parameters of a decorated function, as source text for a wrapper compiled with the same signature.

A wrapper with the real parameter names makes positional and keyword spellings of a call one and the same
before any of our code runs, and costs no binding per call.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter

from cachepolicy.errors import DecorationError

_ATOMIC_WORDS = frozenset({"str", "int", "float", "bool", "bytes", "None", "Optional", "Union", "typing"})
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a compiled wrapper needs to know of a signature; every ``str`` is Python source."""

    names: tuple[str, ...]
    parameters: str  # "a, b=__cp_default_b, *args, c, **rest"
    values: str  # "a, b, args, c, rest": one expression per name
    classes: str  # "a.__class__, b.__class__"
    positional: str  # "(a, b, *args)"
    keywords: str  # "{'c': c, **rest}"
    defaults: dict[str, object]  # "__cp_default_b" → the default, bound into the wrapper's globals
    atomic: bool  # every argument may be an atom, so a tuple is worth trying as a key


def shape_of(function: Callable[..., object]) -> Shape:
    """Read the signature of ``function``.

    Raises:
        DecorationError: it has none that can be read, or it uses a reserved parameter name.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        message = f"{name_of(function)}: its signature cannot be read; decorate a plain Python function"
        raise DecorationError(message) from error
    parameters = tuple(signature.parameters.values())
    for parameter in parameters:
        if parameter.name.startswith("__cp_"):
            message = f"{name_of(function)}(): parameter {parameter.name!r}: names beginning with __cp_ are reserved"
            raise DecorationError(message)
    names = tuple(parameter.name for parameter in parameters)
    variadic = any(p.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} for p in parameters)
    return Shape(
        names=names,
        parameters=_declaration(parameters),
        values=", ".join(names),
        classes=", ".join(f"{name}.__class__" for name in names),
        positional=_positional(parameters),
        keywords=_keywords(parameters),
        defaults={
            f"__cp_default_{p.name}": p.default for p in parameters if p.default is not Parameter.empty
        },
        atomic=not variadic and all(_may_be_atom(p.annotation) for p in parameters),
    )


def name_of(function: Callable[..., object]) -> str:
    """Return ``module.qualname`` of a function, for messages."""
    inner = _innermost(function)
    return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"


def identity_of(function: Callable[..., object]) -> str:
    """Return ``module:qualname``: what tells this function's entries from another's in every process.

    A script's module is ``__main__``, whichever script it is; its file name is the better identity.
    """
    inner = _innermost(function)
    module = getattr(inner, "__module__", "")
    if module == "__main__":
        main = inspect.getmodule(inner)
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        stem = spec.name if spec is not None else re.split(r"[\\/]", file)[-1] if file else ""
        module = f"__main__:{stem}"
    return f"{module}:{getattr(inner, '__qualname__', '')}"


def _innermost(function: Callable[..., object]) -> Callable[..., object]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _declaration(parameters: tuple[Parameter, ...]) -> str:
    parts: list[str] = []
    for index, parameter in enumerate(parameters):
        kind = parameter.kind
        previous = parameters[index - 1].kind if index else None
        if previous is Parameter.POSITIONAL_ONLY and kind is not Parameter.POSITIONAL_ONLY:
            parts.append("/")
        if kind is Parameter.KEYWORD_ONLY and previous not in {
            Parameter.KEYWORD_ONLY,
            Parameter.VAR_POSITIONAL,
        }:
            parts.append("*")
        stars = "*" if kind is Parameter.VAR_POSITIONAL else "**" if kind is Parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is Parameter.empty else f"=__cp_default_{parameter.name}"
        parts.append(f"{stars}{parameter.name}{default}")
    if parameters and parameters[-1].kind is Parameter.POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(parts)


def _positional(parameters: tuple[Parameter, ...]) -> str:
    stars = {
        Parameter.POSITIONAL_ONLY: "",
        Parameter.POSITIONAL_OR_KEYWORD: "",
        Parameter.VAR_POSITIONAL: "*",
    }
    items = "".join(f"{stars[p.kind]}{p.name}, " for p in parameters if p.kind in stars)
    return f"({items})"


def _keywords(parameters: tuple[Parameter, ...]) -> str:
    items = [f"{p.name!r}: {p.name}" for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
    items += [f"**{p.name}" for p in parameters if p.kind is Parameter.VAR_KEYWORD]
    return f"{{{', '.join(items)}}}"


def _may_be_atom(annotation: object) -> bool:
    """Guess from an annotation; a wrong guess costs a little time and nothing else."""
    if annotation is Parameter.empty:
        return True
    if isinstance(annotation, type):
        return annotation.__name__ in _ATOMIC_WORDS or annotation is type(None)
    text = annotation if isinstance(annotation, str) else repr(annotation)
    if "Literal[" in text:
        return True
    return all(word in _ATOMIC_WORDS for word in _WORD.findall(text))
