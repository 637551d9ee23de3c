"""``python -m cachepolicy COMMAND``: finds the command and lets it run."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import cast

from cachepolicy.cli import COMMANDS, fail
from cachepolicy.errors import CachePolicyError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; ``argv`` is what follows the program's name. Returns the exit code."""
    parser = ArgumentParser(
        prog="cachepolicy", description="Cache policies for LLM calls, from the command line."
    )
    parser.add_argument("--version", action="version", version=f"cachepolicy {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary, add_help=False)  # its own parser answers --help
    _write_anywhere()
    chosen, rest = parser.parse_known_args(argv)
    return _run(chosen.command, rest)


def _run(name: str, argv: Sequence[str]) -> int:
    extra = COMMANDS[name].extra
    try:
        command = importlib.import_module(f"cachepolicy.cli.{name}")
    except ModuleNotFoundError as missing:
        if extra is None or (missing.name or "").startswith("cachepolicy"):
            raise
        return fail(f"cachepolicy {name} needs {missing.name}: pip install 'cachepolicy[{extra}]'")
    try:
        code = cast("Callable[[Sequence[str]], int]", command.main)(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        return _unheard()
    except CachePolicyError as error:
        return fail(f"cachepolicy {name}: {error}")
    except KeyboardInterrupt:
        return 130  # what a shell reports for a command that Ctrl-C ended
    return code


def _write_anywhere() -> None:
    """Write what a terminal has no character for as an escape, instead of ending with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _unheard() -> int:
    """Whoever read the answer has left (``| head``): say no more, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # what a shell reports for a command that SIGPIPE ended


def _version() -> str:
    try:
        return importlib.metadata.version("cachepolicy")
    except importlib.metadata.PackageNotFoundError:
        return "(a checkout that is not installed)"


if __name__ == "__main__":
    sys.exit(main())
