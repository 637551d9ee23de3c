"""What a decorated function of a class is: a descriptor, so that its verbs too know the instance.

The wrapper of any other function stays a plain function, for speed. Python binds such a one without asking
it, so ``instance.method.invalidate`` would never learn of the instance.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from enum import Enum, auto
from types import FunctionType
from typing import Any, Final

from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import first_parameter, name_of

_OF_A_CALL: Final = frozenset({"invalidate", "expire", "refresh", "peek", "key", "keys", "bypass", "call"})
"""The verbs that take the arguments of a call, an instance before them."""


class Form(Enum):
    """What a decorator was put above."""

    FUNCTION = auto()
    METHOD = auto()
    UNSURE = auto()  # in the body of a class; what it is called on has neither name of the two
    STATIC_METHOD = auto()
    CLASS_METHOD = auto()
    UNDER_CLASS_METHOD = auto()


def opened(decorated: object) -> tuple[Any, Form]:
    """Return the function, and what the decorator was put above."""
    function: Any = decorated
    kind = type(decorated)
    if issubclass(kind, staticmethod):
        return function.__func__, Form.STATIC_METHOD
    if issubclass(kind, classmethod):
        return function.__func__, Form.CLASS_METHOD
    if kind is ClassMethodHandle:
        return function, Form.CLASS_METHOD
    if kind is not FunctionType and not issubclass(kind, MethodHandle):
        return function, Form.FUNCTION
    first = first_parameter(function)
    if first == "self":
        return function, Form.METHOD
    body = function.__qualname__.rpartition(".")[0]
    if not body or body.endswith("<locals>"):
        return function, Form.FUNCTION
    return function, Form.UNDER_CLASS_METHOD if first == "cls" else Form.UNSURE


def refuse_implicit_self(function: Any, form: Form, ignore: Collection[str]) -> None:
    """Let no instance slip into a key unnamed.

    Raises:
        DecorationError: the function is a method, and nothing says what its instances have to do with it.
    """
    if form is Form.METHOD and "self" not in ignore:
        raise DecorationError(_advice(function, "self"))


def dressed(function: Callable[..., Any], form: Form, *, says_what_self_is: bool) -> Any:
    """Return what stands in a class for the wrapper of a function; of no class, the wrapper itself."""
    if form is Form.FUNCTION:
        return function
    if form is Form.STATIC_METHOD:
        return staticmethod(function)
    if form is Form.CLASS_METHOD:
        return ClassMethodHandle(function)
    return UnsureHandle(function) if form is Form.UNSURE and not says_what_self_is else MethodHandle(function)


class MethodHandle:
    """A decorated function in a class: bound to an instance, it is a ``BoundHandle``.

    Tools that ask what is in a class (pydantic, Sphinx, ``inspect``) are told that it is a function.
    """

    __slots__ = ("__dict__", "_function")  # the latter is read faster from a slot

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        functools.update_wrapper(self, function)
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__globals__", "__closure__"):
            vars(self)[name] = getattr(function, name)  # a __getattr__ would double what binding costs

    @property  # type: ignore[misc] # nobody sets it
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] # nobody sets it
        return FunctionType

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else BoundHandle(self._function, instance)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function, as a decorator above this one does."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<cached {self._function!r}>"


class UnsureHandle(MethodHandle):
    """A decorated function in a class that is no method, as far as it was said: a static one, perhaps."""

    __slots__ = ()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is not None:
            raise DecorationError(_advice(self._function, first_parameter(self._function) or "self"))
        return self


class ClassMethodHandle(MethodHandle):
    """A decorated class method: bound to the class, whichever way it is reached."""

    __slots__ = ()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return BoundHandle(self._function, type(instance) if owner is None else owner)


class BoundHandle(functools.partial[Any]):
    """A decorated function and the instance or class that it was reached through.

    A partial, because calling one costs no Python frame, and ``inspect`` sees through it.
    """

    __slots__ = ()

    @property
    def __self__(self) -> object:
        """The instance or the class."""
        return self.args[0]

    @property
    def __func__(self) -> Callable[..., Any]:
        """The function, taking the instance first."""
        return self.func

    @property
    def __signature__(self) -> inspect.Signature:
        """What is left to pass; having ``__get__``, it would not be asked as a partial."""
        return inspect.signature(functools.partial(self.func, *self.args))

    def __get__(self, instance: object, owner: type | None = None) -> BoundHandle:
        return self  # in another class it stays bound to the first

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in {"__name__", "__qualname__"}:
            raise AttributeError(name)  # the function's __code__ and __wrapped__ still take the instance
        value = getattr(self.func, name)
        return functools.partial(value, *self.args) if name in _OF_A_CALL else value

    def __eq__(self, other: object) -> bool:
        if type(other) is not BoundHandle:
            return NotImplemented
        return self.func is other.func and self.args[0] is other.args[0]

    def __hash__(self) -> int:
        return hash((self.func, id(self.args[0])))


BoundHandle.__doc__ = property(lambda bound: bound.func.__doc__)  # type: ignore[assignment] # as a method's


def _advice(function: Any, first: str) -> str:
    return (
        f"{name_of(function)}: {first!r} is part of no key unless you say how: ignore=({first!r},) where all "
        f"instances share answers, or key='…:{{{first}.id}}:…' with what tells them apart"
    )
