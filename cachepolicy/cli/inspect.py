"""``cachepolicy inspect``: what lies under a key, or belongs to a call, a user, a file."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from cachepolicy.cli.arguments import policy_arguments
from cachepolicy.cli.asking import call_arguments, entries_of, in_use, who_asks
from cachepolicy.cli.inspect_key import look
from cachepolicy.cli.inspect_others import records
from cachepolicy.cli.plain import printable
from cachepolicy.cli.targets import arguments_of, find, is_function
from cachepolicy.tiers.inspecting import NOTHING


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 1 where there is nothing."""
    parser = _parser()
    options = parser.parse_args(argv)
    if is_function(options.target) and options.call is None:
        parser.error("of a function, say which call: --call 'f(…)'")
    found: list[dict[str, Any]]
    if is_function(options.target):
        call, target = arguments_of(options.call), find(options.target)
        with in_use(options) as runtime, who_asks(options):
            keys = entries_of(target, call)[1]
            found = [look(runtime, key, reveal=options.reveal) for key in keys]
    else:
        with in_use(options) as runtime:
            found = (
                [look(runtime, options.target, reveal=options.reveal)]
                if ":" in options.target
                else records(runtime, options.target, options)
            )
    print(json.dumps(found, indent=2, ensure_ascii=True) if options.json else _text(found))
    return int(all(each.get("type") == NOTHING for each in found))


def _text(found: list[dict[str, Any]]) -> str:
    if not found:
        return "nothing"
    return "\n\n".join("\n".join(_lines(each)) for each in found)


def _lines(told: dict[str, Any]) -> list[str]:
    width = max(map(len, told))
    return [printable(f"{name.replace('_', ' '):<{width}}  {_said(item)}") for name, item in told.items()]


def _said(item: object) -> str:
    if item is None:
        return "-"
    if isinstance(item, bool):
        return "yes" if item else "no"
    return ", ".join(map(str, item)) if isinstance(item, list) else str(item)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="cachepolicy inspect",
        description="Tell what lies in Redis under a key, or for a call of a function: its type, how long it "
        "lives, when it was made, its size, form and tags; the value only with --reveal. Of sessions, files "
        "and limits, what is known of them: never a token, and never a content.",
        epilog="Exit code: 0 told, 1 there is nothing, or it cannot be asked, 2 the command line is wrong.",
    )
    parser.add_argument("target", metavar="KEY|module:function|NAMESPACE", help="what to look at")
    call_arguments(parser)
    parser.add_argument("--id", metavar="ID", help="of a session (with --user), or of a file")
    parser.add_argument("--rule", metavar="RULE", help="of limits, with --subject: what is left of it")
    parser.add_argument("--subject", metavar="WHO", help="who is counted")
    parser.add_argument("--plan", metavar="PLAN", help="of the subject, where the rule has plans")
    parser.add_argument("--reveal", action="store_true", help="show the value, names and devices too")
    policy_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    return parser
