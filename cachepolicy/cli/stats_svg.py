"""The chart of ``cachepolicy stats`` as SVG: one file that needs no other, in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Final

from cachepolicy.cli.stats_chart import BANDS
from cachepolicy.cli.stats_report import Answers, Moment, Report
from cachepolicy.cli.stats_tables import summary
from cachepolicy.cli.stats_words import count, moment, name, period, share

_WIDTH, _HEIGHT = 960, 430
_LEFT, _RIGHT = 70, 20
_TOP, _FLOOR = 70, 290  # of the calls
_RATE_TOP, _RATE_FLOOR = 325, 390  # of the hit rate
_ROOM: Final = _WIDTH - _LEFT - _RIGHT
_MOST_TICKS: Final = 7

STYLE: Final = """
.cp { font: 13px system-ui, sans-serif; --ink: #1f2328; --dim: #59636e; --line: #d1d9e0; --paper: #ffffff;
  --l1: #0b5c48; --l2: #1b9e77; --shared: #5e60ce; --origin: #d95f02; }
@media (prefers-color-scheme: dark) {
  .cp { --ink: #f0f6fc; --dim: #9198a1; --line: #3d444d; --paper: #0d1117;
    --l1: #8ee6c8; --l2: #2fb48c; --shared: #a5a6f6; --origin: #f08c3a; }
}
.cp .paper { fill: var(--paper); } .cp text { fill: var(--dim); } .cp .strong { fill: var(--ink); }
.cp .grid { stroke: var(--line); } .cp .l1 { fill: var(--l1); } .cp .l2 { fill: var(--l2); }
.cp .shared { fill: var(--shared); } .cp .origin { fill: var(--origin); }
.cp .rate { fill: none; stroke: var(--ink); stroke-width: 2; } .cp .dot { fill: var(--ink); }
"""
"""Colours that differ in lightness too, so that they are told apart by those who see fewer of them."""


def svg(report: Report) -> str:
    """Draw the calls over time, and the hit rate below, as one SVG document."""
    title = f"Calls of {name(report.app)}, {period(report.since, report.until)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cp" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"',
        ' aria-labelledby="cp-title cp-desc">',
        f'<title id="cp-title">{escape(title)}</title>',
        f'<desc id="cp-desc">{escape(_description(report))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text class="strong" x="{_LEFT}" y="24" font-size="16">{escape(title)}</text>',
        *_legend(),
        *_calls(report),
        *_rate(report),
        *_times(report),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _description(report: Report) -> str:
    """Say in words what the picture shows."""
    if report.is_empty or not report.answers.calls:
        return "No calls were counted."
    busiest = max(report.timeline, key=lambda each: each.answers.calls)
    return (
        f"{summary(report)} Most calls in one step, {count(busiest.answers.calls)}, "
        f"from {moment(busiest.start, report.step)} UTC on."
    )


def _legend() -> Iterator[str]:
    for at, (band, label) in enumerate(BANDS):
        x = _LEFT + at * 110
        yield f'<rect class="{band}" x="{x}" y="38" width="12" height="12"/>'
        yield f'<text x="{x + 18}" y="49">{label}</text>'


def _calls(report: Report) -> Iterator[str]:
    """Draw each step as a bar of its answers by tier, the quickest at the bottom."""
    largest, ticks = _scale(max((each.answers.calls for each in report.timeline), default=0))
    for tick in ticks:
        y = _FLOOR - tick / largest * (_FLOOR - _TOP)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{count(tick)}</text>'
    slot = _slot(report)
    for at, each in enumerate(report.timeline):
        if not each.answers.calls:
            continue
        x, y = _LEFT + at * slot, float(_FLOOR)
        yield f"<g><title>{escape(_told(report, each))}</title>"
        for band, _ in BANDS:
            part = getattr(each.answers, band)
            if part:
                height = max(1.0, part / largest * (_FLOOR - _TOP))  # one call is seen beside thousands
                y -= height
                yield (
                    f'<rect class="{band}" x="{x + slot * 0.1:.2f}" y="{y:.2f}" '
                    f'width="{slot * 0.8:.2f}" height="{height:.2f}"/>'
                )
        yield "</g>"


def _rate(report: Report) -> Iterator[str]:
    """Draw the hit rate as a line, which is broken where nobody called."""
    yield f'<text class="strong" x="{_LEFT}" y="{_RATE_TOP - 10}">Hit rate</text>'
    for part in (0, 1):
        level = _RATE_FLOOR - part * (_RATE_FLOOR - _RATE_TOP)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{level}" y2="{level}"/>'
        yield f'<text x="{_LEFT - 8}" y="{level + 4}" text-anchor="end">{part:.0%}</text>'
    slot, path, is_down = _slot(report), "", False
    for at, each in enumerate(report.timeline):
        rate = each.answers.hit_rate
        if rate is None:
            is_down = False
            continue
        x = _LEFT + (at + 0.5) * slot
        y = _RATE_FLOOR - rate * (_RATE_FLOOR - _RATE_TOP)
        path += f"{'L' if is_down else 'M'}{x:.1f} {y:.1f}"
        is_down = True
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2"/>'
    if path:
        yield f'<path class="rate" d="{path}"/>'


def _times(report: Report) -> Iterator[str]:
    """Write when steps begin, as many as there is room for."""
    slot, every = _slot(report), max(1, math.ceil(len(report.timeline) / _MOST_TICKS))
    for at in range(0, len(report.timeline), every):
        label = moment(report.timeline[at].start, report.step)
        x = _LEFT + (at + 0.5) * slot
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{label}</text>'


def _told(report: Report, each: Moment) -> str:
    answers: Answers = each.answers
    bands = ", ".join(f"{label} {count(getattr(answers, band))}" for band, label in BANDS)
    begins, rate = moment(each.start, report.step), share(answers.hit_rate)
    return f"{begins} UTC: {count(answers.calls)} calls, hit rate {rate} ({bands})"


def _slot(report: Report) -> float:
    return _ROOM / max(1, len(report.timeline))


def _scale(largest: int) -> tuple[int, list[int]]:
    """Return where the axis ends, and its round numbers."""
    if largest < 1:
        return 1, [0, 1]
    raw = largest / 4
    power = 10 ** math.floor(math.log10(raw)) if raw >= 1 else 1
    step = next(int(power * times) for times in (1, 2, 5, 10) if power * times >= raw)
    top = math.ceil(largest / step) * step
    return top, list(range(0, top + 1, step))
