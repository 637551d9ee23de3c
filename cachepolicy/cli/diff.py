"""``cachepolicy diff``: what differs between two environments or two files, and what each change does."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cachepolicy import policy
from cachepolicy.cli.arguments import policy_arguments
from cachepolicy.cli.plain import nearby, printable
from cachepolicy.errors import PolicyError
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.diff import Change, diff
from cachepolicy.policy.judges import Effect
from cachepolicy.policy.overlay import VARIABLE

EQUAL, DIFFERENT, TROUBLE, FORBIDDEN = 0, 1, 2, 3
"""The exit codes, as of diff(1); the last only with ``--exit-forbidden``."""

NONE: Final = "-"
"""Stands for no environment."""
_OF_FILES: Final = (".yaml", ".yml")


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = _parser()
    options = parser.parse_args(argv)
    are_files = [_is_file(each) for each in (options.before, options.after)]
    if are_files[0] != are_files[1]:
        parser.error("expected two environments, or two files")
    if all(are_files) and options.policy:
        parser.error("expected two environments of a file, or two files")
    if not all(are_files) and options.environment:
        parser.error("--environment is for two files: two environments are named already")
    try:
        before, after = _load(options, files=all(are_files))
    except PolicyError as wrong:
        parser.exit(TROUBLE, f"{_lines(str(wrong))}\n")
    changes = diff(before, after)
    print(_json(options, changes) if options.format == "json" else _text(changes), end="")
    if options.exit_forbidden and any(each.effect is Effect.FORBIDDEN for each in changes):
        return FORBIDDEN
    return DIFFERENT if changes else EQUAL


def _is_file(word: str) -> bool:
    """Tell a file from the name of an environment, which has neither a dot nor a slash."""
    return os.sep in word or word.endswith(_OF_FILES) or (word != NONE and Path(word).is_file())


def _load(options: Namespace, *, files: bool) -> tuple[LoadedPolicy, LoadedPolicy]:
    if files:
        return _in(options.before, options.environment), _in(options.after, options.environment)
    source = options.policy or policy.default_source()
    before, after = (None if name == NONE else name for name in (options.before, options.after))
    return _in(source, before, none=before is None), _in(source, after, none=after is None)


def _in(source: str | Path, environment: str | None, *, none: bool = False) -> LoadedPolicy:
    variables = {name: value for name, value in os.environ.items() if not none or name != VARIABLE}
    return policy.load(source, environment=environment, variables=variables)


def _text(changes: tuple[Change, ...]) -> str:
    """Write two lines for each change: what it is, and what follows from it."""
    return "".join(f"{_lines(line)}\n" for each in changes for line in _of(each))


def _of(change: Change) -> list[str]:
    at = change.place
    place = f"{nearby(at.file)}:{at.line}:{at.column}" if at.line else "built in"
    why = f": {change.why}" if change.why else ""
    return [f"{change.path}: {change.before} → {change.after}", f"  {change.effect}{why} ({place})"]


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.splitlines()))


def _json(options: Namespace, changes: tuple[Change, ...]) -> str:
    told = {
        "before": options.before,
        "after": options.after,
        "changes": [
            {
                "path": each.path,
                "before": each.before,
                "after": each.after,
                "effect": each.effect,
                "why": each.why,
                "file": nearby(each.place.file),
                "line": each.place.line,
                "column": each.place.column,
            }
            for each in changes
        ],
    }
    return json.dumps(told, indent=2, ensure_ascii=True) + "\n"


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="cachepolicy diff",
        description="What differs between two environments of a policy, or between two files, by meaning: "
        "defaults, units and layers do not count. Each change is live, cold (something begins anew) or "
        "forbidden (a running process refuses it).",
        epilog="Exit code: 0 equal, 1 different, 2 one of them cannot be read, or the command line is wrong; "
        "with --exit-forbidden, 3 where a change is forbidden.",
    )
    parser.add_argument("before", metavar="A", help="an environment (-: none), or a file")
    parser.add_argument("after", metavar="B", help="another")
    policy_arguments(parser, file=True, environment="of two files: which of their environments")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="of what is told (text)")
    parser.add_argument(
        "--exit-forbidden", action="store_true", help="end with 3 where a change is forbidden"
    )
    return parser
