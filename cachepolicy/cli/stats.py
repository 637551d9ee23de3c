"""``cachepolicy stats``: what the caches of the whole fleet do, as tables and as a chart."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from cachepolicy.cli.arguments import checked, policy_arguments
from cachepolicy.cli.stats_read import read
from cachepolicy.cli.stats_report import Report, as_json
from cachepolicy.cli.stats_show import show
from cachepolicy.errors import CachePolicyError
from cachepolicy.policy.units import parse_duration

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_STEPS: Final = ((2 * _DAY, _HOUR), (14 * _DAY, 6 * _HOUR), (timedelta.max, _DAY))
_MOST_STEPS: Final = 1000
_A_STEP: Final = "expected hours that divide a day, such as 1h or 6h, or a day: 1d"
_WORDS: Final = re.compile(r"hour|day")


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    options = _parse(argv)
    step: timedelta = options.step or next(step for most, step in _STEPS if options.since <= most)
    if options.since / step > _MOST_STEPS:
        raise CachePolicyError(
            f"more than {_MOST_STEPS:,} steps: expected a larger --step, or a shorter --since"
        )
    report = read(options.policy, options.environment, options.namespace, options.since, step)
    if options.json:
        print(json.dumps(as_json(report), indent=2, ensure_ascii=True))
    elif not (options.svg or options.html):
        show(report)
    _write_files(report, options)
    return 0


def _write_files(report: Report, options: Namespace) -> None:
    """Write what is looked at elsewhere."""
    from cachepolicy.cli.stats_html import html
    from cachepolicy.cli.stats_svg import svg

    for path, drawn in ((options.svg, svg), (options.html, html)):
        if path is not None:
            _write(path, drawn(report))
            if not options.json:
                print(f"{path}: written")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as wrong:
        raise CachePolicyError(f"{path} cannot be written: {wrong.strerror}") from None


def _parse(argv: Sequence[str]) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(
        prog="cachepolicy stats",
        description="What the caches of all processes do together: hit rates, savings, limits, faults. "
        "Counted where the policy says telemetry: {fleet_stats: true}.",
    )
    policy_arguments(parser)
    parser.add_argument("--namespace", help="tell of this one only (default: of all)")
    parser.add_argument(
        "--since", type=checked(_since), default=_DAY, metavar="TIME", help="how far back (24h)"
    )
    parser.add_argument(
        "--step", type=checked(_step), metavar="TIME", help="of the chart (default: 1h, 6h or 1d, as fits)"
    )
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the chart to a file")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write chart and tables to a file")
    return parser.parse_args(argv)


def _since(text: str) -> timedelta:
    return timedelta(seconds=parse_duration(text))


def _step(text: str) -> timedelta:
    step = timedelta(seconds=parse_duration(f"1{text[0]}" if _WORDS.fullmatch(text) else text))
    if step != _DAY and (step % _HOUR or _DAY % step):
        raise ValueError(_A_STEP)
    return step
