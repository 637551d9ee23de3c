"""What a decorated function is known by, in every process."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import identity_of, name_of


def ask(model: str, question: str = "", **options: object) -> str:
    """Be a function."""
    return model


@dataclass
class Client:
    """An object that says what it is."""

    url: str

    def ask(self, question: str) -> str:
        """Be a method."""
        return self.url

    @classmethod
    def make(cls, url: str) -> Client:
        """Be a class method."""
        return cls(url)

    def __call__(self, question: str) -> str:
        """Be called."""
        return self.url


class Other(Client):
    """A class that inherits its methods."""


class Opaque:
    """An object that does not say what it is."""

    def ask(self, question: str) -> str:
        """Be a method."""
        return question

    def __call__(self, question: str) -> str:
        """Be called."""
        return question


def test_a_function_is_its_module_and_its_qualified_name() -> None:
    """The identity is readable and the same in every process."""
    assert identity_of(ask) == f"{__name__}:ask"
    assert identity_of(Client.ask) == f"{__name__}:Client.ask"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (functools.partial(ask, "small"), functools.partial(ask, "large")),
        (functools.partial(ask, top_p=1), functools.partial(ask, top_p=2)),
        (functools.partial(functools.partial(ask, "a"), "b"), functools.partial(ask, "b")),
        (ask, functools.partial(ask)),
        (Client("a").ask, Client("b").ask),
        (Client("a"), Client("b")),
        (Client("a"), Other("a")),
        (Client.make, Other.make),
        ("a".join, "b".join),
    ],
    ids=["partial", "keywords", "nested", "empty", "method", "callable", "class", "class method", "builtin"],
)
def test_what_a_function_is_bound_to_tells_it_apart(
    left: Callable[..., object], right: Callable[..., object]
) -> None:
    """Clients of two servers, and one function with two models filled in, do not share answers."""
    assert identity_of(left) != identity_of(right)


def test_what_is_equal_is_known_by_the_same_name() -> None:
    """A second process that builds the same objects finds the first one's answers."""
    for build in (lambda: Client("a").ask, lambda: Client("a"), lambda: functools.partial(ask, "a", x=1)):
        assert identity_of(build()) == identity_of(build())


@pytest.mark.parametrize("function", [Opaque().ask, Opaque(), functools.partial(ask, "a", x=object())])
def test_what_it_is_bound_to_must_say_what_it_is(function: Callable[..., object]) -> None:
    """An object known only by its address would share answers with any other: it is refused, and told why."""
    with pytest.raises(DecorationError, match="bound argument"):
        identity_of(function)
    assert identity_of(function, has_own_key=True)


def test_closures_are_told_apart_by_the_plain_values_in_them() -> None:
    """Also by those of a function that they wrap; one that holds itself, or nothing yet, is no trouble."""

    def make(model: str, client: object) -> Callable[[], object]:
        def answer() -> object:
            return answer, model, client, later

        def wrapper() -> object:
            return answer()

        identity_of(wrapper)  # ``later`` is not there yet
        later = 1
        return wrapper

    small, large, again = make("small", object()), make("large", object()), make("small", object())
    assert identity_of(small) == identity_of(again) != identity_of(large)


def shout(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return str(function(*args, **kwargs)).upper()

    return wrapper


def whisper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap it otherwise."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return str(function(*args, **kwargs)).lower()

    return wrapper


def test_a_wrapped_function_is_another() -> None:
    """``functools.wraps`` gives all of them one name: each wrapper, and their order, tells them apart."""
    wrapped = [ask, shout(ask), whisper(ask), shout(whisper(ask)), whisper(shout(ask)), shout(shout(ask))]
    assert len({identity_of(each) for each in wrapped}) == len(wrapped)
    assert identity_of(shout(ask)) == identity_of(shout(ask))
    assert {identity_of(each, has_own_key=True) for each in wrapped} == {f"{__name__}:ask"}


def test_what_a_wrapped_function_is_bound_to_tells_it_apart() -> None:
    """A wrapper around the methods of two clients, or around two partials, is two functions."""
    for left, right in (
        (Client("a").ask, Client("b").ask),
        (Client("a"), Client("b")),
        (functools.partial(ask, "small"), functools.partial(ask, "large")),
    ):
        assert identity_of(shout(left)) != identity_of(shout(right))
        assert identity_of(whisper(shout(left))) != identity_of(whisper(shout(right)))
    with pytest.raises(DecorationError, match="object of a method"):
        identity_of(shout(Opaque().ask))


def test_a_class_in_a_function_is_not_known_by_its_name() -> None:
    """Its class methods, bound, are refused: another class may have the name."""

    class Local:
        @classmethod
        def make(cls) -> None: ...

    with pytest.raises(DecorationError, match="not found under its name"):
        identity_of(Local.make)


def test_a_lambda_has_no_name() -> None:
    """All lambdas of a module would be one function."""
    with pytest.raises(DecorationError, match="write a def"):
        identity_of(lambda: 0)


@pytest.mark.parametrize("main", ["__main__", "__mp_main__"])
def test_a_script_is_known_by_its_file(main: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two scripts are two; a script and the processes it spawns are one; ``python -m`` says the module."""

    def function() -> None: ...

    function.__module__ = main
    script: Any = types.ModuleType(main)
    monkeypatch.setitem(sys.modules, main, script)
    name = function.__qualname__
    for file, spec, expected in (
        ("/jobs/first.py", None, f"__main__:first.py:{name}"),
        ("/jobs/second.py", None, f"__main__:second.py:{name}"),
        ("/jobs/x.py", types.SimpleNamespace(name="jobs.x"), f"__main__:jobs.x:{name}"),
        (None, None, f"__main__::{name}"),
    ):
        script.__file__, script.__spec__ = file, spec
        assert identity_of(function) == expected


def test_messages_name_the_function_itself() -> None:
    """Whatever it is wrapped in or bound to, a message says ``module.qualname``."""
    assert name_of(functools.partial(functools.partial(ask, "a"), "b")) == f"{__name__}.ask"
    assert name_of(Client("a").ask) == f"{__name__}.Client.ask"
    assert name_of(Opaque()) == f"{__name__}.Opaque"
