"""What a command is about, as it is written on the command line: ``module:function``, and a call of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from contextlib import suppress
from typing import Any, Final, NamedTuple

from cachepolicy.decorators.layers import layers_of
from cachepolicy.decorators.methods import BoundHandle
from cachepolicy.errors import CachePolicyError
from cachepolicy.policy.words import did_you_mean

_A_CALL: Final = 'expected a call such as answer("hi", model="gpt-4o")'


class Arguments(NamedTuple):
    """What is passed in a call."""

    args: tuple[object, ...]
    kwargs: dict[str, object]


class Target(NamedTuple):
    """A decorated function.

    Attributes:
        name: as it was written.
        function: as it is found there.
        layers: what stands behind its decorators, from the outermost in.
        first: what is passed before the arguments of a call: the class of a class method, or nobody.
    """

    name: str
    function: Any
    layers: tuple[object, ...]
    first: tuple[object, ...] = ()


def is_function(text: str) -> bool:
    """Tell whether this is written as a function is; a namespace's name has no colon."""
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for dotted in (module, name) for part in dotted.split("."))


def find(text: str) -> Target:
    """Import what is written as ``module:function`` or ``module:Class.method``.

    Raises:
        CachePolicyError: it cannot be imported, is not there, or has no decorator of this library.
    """
    module_name, _, path = text.partition(":")
    found = _imported(module_name)
    owner: object = None
    for name in path.split("."):
        try:
            owner, found = found, getattr(found, name)
        except AttributeError:
            near = did_you_mean(name, [each for each in dir(found) if not each.startswith("_")])
            raise CachePolicyError(f"{text}: there is no {name!r}{near}") from None
    layers = layers_of(found)
    if not layers:
        raise CachePolicyError(
            f"{text}: expected a function under @cached, @llm_cached, @rate_limited, @track_metric, …"
        )
    if isinstance(found, BoundHandle):  # of a class method
        return Target(text, found, layers, (found.args[0],))
    is_method = isinstance(owner, type) and not isinstance(vars(owner).get(path.split(".")[-1]), staticmethod)
    return Target(text, found, layers, (None,) if is_method else ())


def arguments_of(text: str) -> Arguments:
    """Read the arguments of a call; they are literals, and nothing of it is evaluated.

    Raises:
        CachePolicyError: it is no call, or an argument is no literal. The message shows none of them.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise CachePolicyError(f"--call: not Python: {_A_CALL}") from None
    if not isinstance(call, ast.Call):
        raise CachePolicyError(f"--call: {_A_CALL}")
    args = tuple(_literal(each, f"argument {at}") for at, each in enumerate(call.args, 1))
    kwargs: dict[str, object] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise CachePolicyError("--call: ** cannot be used: write the arguments out")
        kwargs[keyword.arg] = _literal(keyword.value, f"argument {keyword.arg!r}")
    return Arguments(args, kwargs)


def passed(target: Target, call: Arguments) -> Arguments:
    """Return what a call passes to the function, its class or nobody before it.

    Raises:
        CachePolicyError: the function takes no such call.
    """
    given = Arguments((*target.first, *call.args), call.kwargs)
    function = target.function.func if isinstance(target.function, BoundHandle) else target.function
    try:
        inspect.signature(function).bind(*given.args, **given.kwargs)
    except TypeError as unfit:
        raise CachePolicyError(f"{target.name}: --call: {unfit}") from None
    return given


def _literal(node: ast.expr, where: str) -> object:
    with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        value: object = ast.literal_eval(node)
        return value
    raise CachePolicyError(
        f"--call: {where} (column {node.col_offset + 1}): expected a literal: text, a number, True, None, "
        "or a list, tuple, dict or set of such"
    )


def _imported(name: str) -> object:
    if "" not in sys.path:  # the script `cachepolicy` does not look here by itself, as `python -m` does
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and (name == missing.name or name.startswith(f"{missing.name}.")):
            raise CachePolicyError(
                f"there is no module {missing.name!r} here; run this where it can be imported"
            ) from None
        raise CachePolicyError(f"{name} cannot be imported: it needs {missing.name}") from None
    except CachePolicyError:
        raise
    except Exception as error:  # noqa: BLE001 - a module's own code may raise anything, and it is the user's
        raise CachePolicyError(f"{name} cannot be imported: {type(error).__name__}: {error}") from None
