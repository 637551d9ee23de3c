"""``cachepolicy check``: all that is wrong with a policy, or probably not meant, with its place."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

from cachepolicy import policy
from cachepolicy.cli.arguments import policy_arguments
from cachepolicy.cli.check_findings import Findings
from cachepolicy.cli.check_show import FORMATS
from cachepolicy.errors import PolicyError
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.lints import Lint, empty_environment, lint
from cachepolicy.policy.overlay import VARIABLE
from cachepolicy.runtime.dictionaries import read_dictionaries


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0, or 1 when something is wrong (``--strict``: or seems so)."""
    options = _parse(argv)
    source = Path(options.policy) if options.policy else policy.default_source()
    found = Findings(str(source))
    if options.environment is not None:
        _check_one(source, options.environment, found)
    else:
        _check_all(source, found)
    if options.live and not found.errors:
        from cachepolicy.cli.live import live_lints  # asking takes much that reading does not

        found.servers(live_lints(policy.load(source, environment=options.environment)))
    print(FORMATS[options.format](found), end="")
    return int(found.errors > 0 or (options.strict and found.warnings > 0))


def look_over(loaded: LoadedPolicy) -> Iterable[Lint]:
    """Return all findings in a policy that could be loaded."""
    return lint(loaded)


def _check_one(source: Path, environment: str | None, found: Findings) -> LoadedPolicy | None:
    """Load a policy and look it over; with no environment named, in none."""
    variables = {name: value for name, value in os.environ.items() if name != VARIABLE}
    try:
        loaded = policy.load(source, environment=environment, variables=variables)
        read_dictionaries(loaded)
    except PolicyError as wrong:
        found.problems(wrong.problems)
        return None
    found.lints(look_over(loaded), environment)
    return loaded


def _check_all(source: Path, found: Findings) -> None:
    """Check what holds in no environment, and then each of them.

    The first reads the text of all of them. What remains to go wrong in another depends on variables, and
    those of production are seldom set where its policy is checked: so it is told, and is no error.
    """
    base = _check_one(source, None, found)
    if base is None:
        return
    for name, loaded in policy.load_each(source):
        if isinstance(loaded, PolicyError):
            found.not_seen(name, base.environments[name], loaded.problems)
        else:
            found.lints((*look_over(loaded), *empty_environment(loaded)), name)


def _parse(argv: Sequence[str]) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(
        prog="cachepolicy check",
        description="Tell all that is wrong with a policy, or probably not meant, with its place. "
        "Exit code: 0 fine, 1 something is wrong, 2 the command line is.",
    )
    which = "check this one only (default: all of them, and none)"
    policy_arguments(parser, file=True, environment=which)
    parser.add_argument("--format", choices=tuple(FORMATS), default="text", help="of what is told (text)")
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask the servers too: those of --environment, or that a program started here would use",
    )
    parser.add_argument("--strict", action="store_true", help="warnings are errors")
    return parser.parse_args(argv)
