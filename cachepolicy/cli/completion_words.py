"""What can be typed after ``cachepolicy``, read from the commands' own parsers."""

from __future__ import annotations

import importlib
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cachepolicy.cli import COMMANDS


class Wants(StrEnum):
    """What a word is completed to."""

    NOTHING = "nothing"  # it is an option's own, and nobody can guess it
    FILE = "file"
    NAMESPACE = "namespaces"
    ENVIRONMENT = "environments"


@dataclass(frozen=True, slots=True)
class Taken:
    """An option, or a positional argument.

    Attributes:
        flags: of an option; none: it is positional.
        help: what is said of it.
        takes: whether a word follows an option.
        wants: what that word, or a positional one, is completed to; several: to any.
        choices: the words that there are, where they are known.
    """

    flags: tuple[str, ...]
    help: str
    takes: bool
    wants: tuple[Wants, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Typed:
    """A command.

    Attributes:
        name: of it.
        summary: what it does.
        taken: its options, and its positional arguments in order.
    """

    name: str
    summary: str
    taken: tuple[Taken, ...]


class _Caught(Exception):
    """A parser, before it reads anything."""

    def __init__(self, parser: ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


_FILES: Final = ("FILE", "DIR")
_EITHER: Final = frozenset({"before", "after"})  # two environments, or two files


def commands() -> list[Typed]:
    """Return all commands; one whose extra is not installed has no options here."""
    return [Typed(name, command.summary, _taken(_parser(name))) for name, command in COMMANDS.items()]


def _parser(name: str) -> ArgumentParser | None:
    try:
        with _caught():
            importlib.import_module(f"cachepolicy.cli.{name}").main([])
    except _Caught as caught:
        return caught.parser
    except ModuleNotFoundError:
        return None
    raise NotImplementedError(f"{name} reads its command line in a way of its own")


@contextmanager
def _caught() -> Iterator[None]:
    """Have each parser come as an exception instead of reading the command line."""

    def catch(parser: ArgumentParser, *_: object, **__: object) -> None:
        raise _Caught(parser)

    before = ArgumentParser.parse_args
    setattr(ArgumentParser, "parse_args", catch)  # noqa: B010 - of a class that is not ours
    try:
        yield
    finally:
        setattr(ArgumentParser, "parse_args", before)  # noqa: B010 - as above


def _taken(parser: ArgumentParser | None) -> tuple[Taken, ...]:
    if parser is None:
        return ()
    actions: Sequence[Action] = parser._actions  # noqa: SLF001 - argparse has no public list of them
    return tuple(map(_of, filter(_is_told, actions)))


def _is_told(action: Action) -> bool:
    return bool(action.choices) or action.help is not SUPPRESS


def _of(action: Action) -> Taken:
    choices: Any = action.choices
    return Taken(
        flags=tuple(action.option_strings),
        help=(action.help or "") if action.help is not SUPPRESS else "",
        takes=bool(action.option_strings) and action.nargs != 0,
        wants=() if choices else _wants(action),
        choices=tuple(map(str, choices or ())),
    )


def _wants(action: Action) -> tuple[Wants, ...]:
    shown = str(action.metavar or "")
    if action.dest in _EITHER:
        return (Wants.ENVIRONMENT, Wants.FILE)
    if action.dest == "environment":
        return (Wants.ENVIRONMENT,)
    if action.dest == "namespace" or "NAMESPACE" in shown.split("|"):
        return (Wants.NAMESPACE,)
    if shown in _FILES or action.dest == "policy" or action.type is Path:
        return (Wants.FILE,)
    return (Wants.NOTHING,)
