"""``cachepolicy init``: a commented policies.yaml for a new project, its schema, and its variables."""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cachepolicy.cli.arguments import checked
from cachepolicy.cli.init_text import NAMESPACES, policy_text, variables_text
from cachepolicy.cli.plain import nearby
from cachepolicy.errors import CachePolicyError
from cachepolicy.policy.effective import FILE_NAME
from cachepolicy.policy.rules import check_app
from cachepolicy.policy.schema import FILE_NAME as SCHEMA
from cachepolicy.policy.schema import text as schema_text

VARIABLES: Final = ".env.example"
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9_.-]+")


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0, or 1 when a file is there already: then nothing is written."""
    options = _parse(argv)
    folder: Path = options.folder
    chosen = [name for name in NAMESPACES if getattr(options, name)] or list(NAMESPACES)
    policy = policy_text(options.app or _name_of(folder), chosen)
    files = {FILE_NAME: policy, SCHEMA: schema_text(), VARIABLES: variables_text(policy)}
    _write(folder, files)
    print(f"A policy of {', '.join(chosen)}. Next: cachepolicy check {nearby(str(folder / FILE_NAME))}")
    return 0


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write all of the files, or none: what is there is somebody's."""
    there = [nearby(str(folder / name)) for name in files if os.path.lexists(folder / name)]
    if there:
        raise CachePolicyError(f"{', '.join(there)}: there already, and not replaced; nothing was written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
            print(f"{nearby(str(folder / name))}: written")
    except OSError as wrong:
        raise CachePolicyError(f"{folder} cannot be written to: {wrong.strerror}") from None


def _name_of(folder: Path) -> str:
    """Make the application's name of its folder's."""
    name = _NOT_A_NAME.sub("-", folder.absolute().name.lower()).strip("-_.")[:64]
    return name if name[:1].isalpha() else "app"


def _parse(argv: Sequence[str]) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(
        prog="cachepolicy init",
        description=f"Write a commented {FILE_NAME} for a new project, with {SCHEMA} for editors and the "
        f"variables that it reads in {VARIABLES}. What is there is never replaced.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="where (here)")
    parser.add_argument(
        "--app",
        type=checked(check_app),
        metavar="NAME",
        help="the first segment of every key (the folder's name)",
    )
    for name, summary in NAMESPACES.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"{summary} (default: all of these)")
    return parser.parse_args(argv)
