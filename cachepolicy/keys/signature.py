"""The parameters of a decorated function, as source text for a wrapper compiled with the same signature.

A wrapper with the real parameter names makes positional and keyword spellings of a call one and the same
before any of our code runs, and costs no binding per call.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from cachepolicy.errors import DecorationError, UnkeyableArgument
from cachepolicy.keys.canonical import ATOMS, encode
from cachepolicy.keys.clients import is_of_sdk, without_colour
from cachepolicy.keys.source import declaration, keywords, passed, positional

_ATOMIC_WORDS = frozenset({"str", "int", "float", "bool", "bytes", "None", "Optional", "Union", "typing"})
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a compiled wrapper needs to know of a signature; every ``str`` is Python source."""

    names: tuple[str, ...]
    keyed: tuple[int, ...]  # where the names that make the key are among them: all but the ignored
    parameters: str  # "a, b=__cp_default_b, *args, c, **rest"
    values: str  # "a, b, args, c, rest": one expression per name
    key_values: str  # "a, b, args, c, rest": of those that make the key
    key_classes: str  # "__cp_type(a), __cp_type(b)": an object may lie about its __class__
    positional: str  # "(a, b, *args)"
    keywords: str  # "{'c': c, **rest}"
    passed: str  # "a, b, *args, c=c, **rest"
    defaults: Mapping[str, object]  # what the source refers to: "__cp_default_b" → the default; "__cp_type"
    atomic: bool  # each argument in the key may be an atom, so a tuple is worth trying as a key
    takes_class: bool  # the key begins with the class that a class method was called on
    rest: int | None  # where **kwargs is among the names


def shape_of(
    function: Callable[..., object], ignore: Collection[str] = (), *, takes_class: bool = False
) -> Shape:
    """Read the signature of ``function``.

    Args:
        function: what is decorated.
        ignore: parameters that make no part of the key.
        takes_class: whether the first parameter is the class of a class method.

    Raises:
        DecorationError: it has none that can be read, or it uses a reserved parameter name.
    """
    parameters = _parameters(function)
    for parameter in parameters:
        if parameter.name.startswith("__cp_"):
            where = f"{name_of(function)}(): parameter {parameter.name!r}"
            raise DecorationError(f"{where}: names beginning with __cp_ are reserved")
    names = tuple(parameter.name for parameter in parameters)
    takes_class = takes_class and names[:1] != () and names[0] not in ignore
    keyed = tuple(index for index, name in enumerate(names) if name not in ignore)
    key_parameters = [parameters[index] for index in keyed]
    variadic = any(p.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} for p in key_parameters)
    return Shape(
        names=names,
        keyed=keyed,
        parameters=declaration(parameters),
        values=", ".join(names),
        key_values=", ".join(p.name for p in key_parameters),
        key_classes=", ".join(f"__cp_type({p.name})" for p in key_parameters),
        positional=positional(parameters),
        keywords=keywords(parameters),
        passed=passed(parameters),
        defaults={"__cp_type": type}
        | {f"__cp_default_{p.name}": p.default for p in parameters if p.default is not Parameter.empty},
        atomic=not variadic and all(_may_be_atom(p.annotation) for p in key_parameters[takes_class:]),
        takes_class=takes_class,
        rest=next((at for at, p in enumerate(parameters) if p.kind is Parameter.VAR_KEYWORD), None),
    )


def key_values(shape: Shape, values: Sequence[object], function: str) -> list[object]:
    """Return what identifies a call, of all its arguments' values.

    Raises:
        UnkeyableArgument: the class of a class method cannot be told by its name.
    """
    keyed = [values[index] for index in shape.keyed]
    if shape.takes_class:
        try:
            keyed[0] = class_identity(keyed[0])
        except UnkeyableArgument as error:
            raise UnkeyableArgument(f"{function}(): {error}") from None
    return keyed


def first_parameter(function: Callable[..., object]) -> str | None:
    """Name the parameter that an instance or a class would fill; None if there is none, or ``*args``."""
    for parameter in _parameters(function)[:1]:
        if parameter.kind in {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}:
            return parameter.name
    return None


def place_of(function: Callable[..., object], name: str) -> int | None:
    """Return a parameter's place among the positional arguments; None where there is none."""
    for index, parameter in enumerate(_parameters(function)):
        if parameter.name == name and parameter.kind not in {Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD}:
            return index
    return None


def module_of(function: Callable[..., object]) -> str:
    """Return the module that a function is of, whatever it is bound to."""
    return _unbound(function)[0].__module__ or ""


def collects(function: Callable[..., object], name: str) -> bool:
    """Tell whether a parameter is ``*name`` or ``**name``."""
    kinds = {parameter.name: parameter.kind for parameter in _parameters(function)}
    return kinds.get(name) in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}


def _parameters(function: Any) -> tuple[Parameter, ...]:
    """Read a signature as a caller has to keep to it.

    ``functools.wraps`` says of a wrapper that it takes what the wrapped function does. That is believed of
    one that takes anything; one with parameters of its own is taken at its own word.
    """
    if type(function) is MethodType:  # unwrapped as it is, it would take its object again
        taken = _parameters(function.__func__)
        return taken if taken[:1] and taken[0].kind is Parameter.VAR_POSITIONAL else taken[1:]
    try:
        spoken = inspect.unwrap(function, stop=_has_own_parameters)
        signature = inspect.signature(spoken, follow_wrapped=not _has_own_parameters(spoken))
    except (TypeError, ValueError) as error:
        message = f"{name_of(function)}: its signature cannot be read; decorate a plain Python function"
        raise DecorationError(message) from error
    return tuple(signature.parameters.values())


def _has_own_parameters(function: Callable[..., object]) -> bool:
    if type(function) is not FunctionType:
        return False
    if "__signature__" in vars(function):
        return True
    own = inspect.signature(function, follow_wrapped=False).parameters.values()
    return any(p.kind not in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} for p in own)


def name_of(function: Callable[..., object]) -> str:
    """Return ``module.qualname`` of a function, for messages."""
    inner, _ = _unbound(function)
    return f"{inner.__module__}.{inner.__qualname__}"


def identity_of(function: Callable[..., object], *, has_own_key: bool = False) -> str:
    """Return ``module:qualname``: what tells this function's entries from another's in every process.

    A script's module is ``__main__``, whichever script it is; its file name is the better identity. Functions
    made by one piece of code are told apart by what was put into them: the arguments of a partial, the object
    of a method, the plain values that a closure captured when it was decorated. A wrapper that took over the
    name of what it wraps is told by its own code. With ``has_own_key`` they are not: the decorator's ``key=``
    says what identifies a call.

    Raises:
        DecorationError: a lambda has no name, or no key can be made of what the function is bound to.
    """
    inner, bound = _unbound(function)
    if has_own_key:
        return f"{_module(inner)}:{inner.__qualname__}"
    if inner.__qualname__.endswith("<lambda>"):
        raise DecorationError(f"{name_of(function)}: a lambda has no name to be known by; write a def")
    qualname = without_colour(inner.__qualname__) if is_of_sdk(inner.__module__ or "") else inner.__qualname__
    identity = f"{_module(inner)}:{qualname}"
    captured, (wrappers, wrapped) = _captured(inner), _wrappers(inner)
    if wrappers:
        bound += _unbound(wrapped)[1]
    if not bound and not captured and not wrappers:
        return identity
    try:
        surroundings = [[class_identity(each) if inspect.isclass(each) else each for each in bound], captured]
        surroundings += [wrappers] if wrappers else []
        return f"{identity}:{hashlib.sha256(encode(surroundings)).hexdigest()}"
    except UnkeyableArgument as error:
        what = "each bound argument, and the object of a method, is part of what a function answers"
        raise DecorationError(f"{name_of(function)}: {what}: {error}") from None


def _unbound(function: Any) -> tuple[Any, list[object]]:
    """Return what carries the function's name, and all that it is bound to."""
    bound: list[object] = []
    while isinstance(function, functools.partial):
        bound.append([list(function.args), function.keywords])
        function = function.func
    if not hasattr(function, "__qualname__"):  # an object that can be called
        return type(function), [*bound, function]
    owner = getattr(function, "__self__", None)
    if owner is None or inspect.ismodule(owner):
        return function, bound
    return function, [*bound, owner]


def _captured(function: object, seen: tuple[object, ...] = ()) -> dict[str, object]:
    """Return the plain values that a closure holds, and those of the functions that it holds.

    All else (a client, a list) is its surroundings, as globals are.
    """
    captured: dict[str, object] = {}
    if not isinstance(function, FunctionType) or function in seen:  # a closure may hold itself
        return captured
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not filled yet
            content = cell.cell_contents
            inner = content if type(content) in ATOMS | {float} else _captured(content, (*seen, function))
            if inner != {}:
                captured[name] = inner
    return captured


def _wrappers(function: Any) -> tuple[list[str], Any]:
    """Name the code of each wrapper around a function: ``functools.wraps`` gave all its name. Return both."""
    names: list[str] = []
    while type(function) is FunctionType and "__wrapped__" in vars(function):
        names.append(f"{function.__globals__.get('__name__')}:{function.__code__.co_qualname}")
        function = vars(function)["__wrapped__"]
    return names, function


def class_identity(owner: object) -> str:
    """Return ``module:qualname`` of the class that a class method was called on.

    Raises:
        UnkeyableArgument: it is no class, or another one, or none, is found under its name.
    """
    if not isinstance(owner, type):
        raise UnkeyableArgument("a class method's first argument is a class")
    found: object = sys.modules.get(owner.__module__)
    for name in owner.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not owner:
        raise UnkeyableArgument(
            f"{owner.__module__}.{owner.__qualname__} is not found under its name, so another class may have "
            "the same; define it at the top of a module, or say ignore=('cls',) or key="
        )
    return f"{_module(owner)}:{owner.__qualname__}"


def _module(inner: Any) -> str:
    module: str = inner.__module__ or ""
    if module not in {"__main__", "__mp_main__"}:  # the latter: the same script in a spawned process
        return module
    spec, file = (getattr(sys.modules[module], name, None) for name in ("__spec__", "__file__"))
    return f"__main__:{spec.name if spec is not None else Path(file).name if file else ''}"


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
