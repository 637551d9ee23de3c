"""``cachepolicy top``: what the servers and the fleet do, live."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from cachepolicy.cli.arguments import checked, policy_arguments
from cachepolicy.cli.asking import in_use
from cachepolicy.cli.top_gather import Watcher
from cachepolicy.cli.top_show import drawn, text
from cachepolicy.errors import CachePolicyError
from cachepolicy.policy.units import parse_duration

_LEAST: Final = 1.0


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(argv)
    with in_use(options) as runtime:
        if all(site.place.endpoint.in_memory for site in runtime.health.sites()):
            raise CachePolicyError(
                f"{runtime.loaded.source} has no server: memory:// is in one process alone"
            )
        watcher = Watcher(runtime)
        if options.json:
            print(json.dumps(watcher.frame().as_json(), indent=2, ensure_ascii=True))
        elif options.once or not sys.stdout.isatty():
            print(_encodable(text(watcher.frame())))
        else:
            from cachepolicy.cli.top_live import live  # it needs a Unix's terminals

            with suppress(KeyboardInterrupt):
                live(lambda: drawn(watcher.frame()), options.interval)
    return 0


def _encodable(written: str) -> str:
    encoding = sys.stdout.encoding or "ascii"
    return (
        written.replace("–", "-").encode(encoding, "replace").decode(encoding)
        if encoding.lower() == "ascii"
        else written
    )


def _interval(written: str) -> float:
    seconds = parse_duration(written)
    if seconds < _LEAST:
        raise ValueError("expected 1s or more: each look asks every server")
    return seconds


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="cachepolicy top",
        description="Watch the servers of the policy, and what all processes do with them: hit rates by "
        "tier, latency, savings, denials, breakers, memory. Of processes it tells where the policy says "
        "telemetry: {fleet_stats: true}. It ends with q or Ctrl-C.",
        epilog="Exit code: 0 shown, 1 there is no server, 2 the command line is wrong.",
    )
    parser.add_argument("--once", action="store_true", help="print one frame, and end")
    parser.add_argument("--json", action="store_true", help="print one frame as JSON, and end")
    parser.add_argument(
        "--interval", type=checked(_interval), default=2.0, metavar="TIME", help="between two looks (2s)"
    )
    policy_arguments(parser)
    return parser
