"""The chart of ``cachepolicy stats`` in a terminal: calls over time as columns, a shade for each tier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cachepolicy.cli.stats_report import Answers, Moment, Report
from cachepolicy.cli.stats_words import count, moment, share

BANDS: Final = (("l1", "L1"), ("l2", "L2"), ("shared", "shared"), ("origin", "origin"))
"""From the bottom up: the attribute of ``Answers``, and what it is called."""

SHADES: Final = "█▓▒░"
_PLAIN_SHADES: Final = "#+=."
_LEVELS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN_LEVELS: Final = " .:-=+*%#"
_HEIGHT: Final = 8
_WIDEST: Final = 4  # characters of a column


def chart(report: Report, width: int = 80, *, plain: bool = False) -> str:
    """Draw the calls over time, and the hit rate below.

    Args:
        report: what was counted.
        width: of the whole, in characters.
        plain: whether only ASCII may be used.
    """
    largest = max((each.answers.calls for each in report.timeline), default=0)
    if not largest:
        return ""
    shades, levels = (_PLAIN_SHADES, _PLAIN_LEVELS) if plain else (SHADES, _LEVELS)
    margin = max(len(count(largest)), len("hits"))
    moments = _fewer(report.timeline, max(1, width - margin - 3))
    largest = max(each.answers.calls for each in moments)
    wide = max(1, min(_WIDEST, (width - margin - 3) // len(moments)))
    columns = [_column(each.answers, largest, shades) for each in moments]
    rate = "".join(_level(each.answers.hit_rate, levels) * wide for each in moments)
    bar, corner, dash = ("|", "+", "-") if plain else ("│", "└", "─")
    lines = [_legend(shades)]
    for row in reversed(range(_HEIGHT)):
        label = count(largest) if row == _HEIGHT - 1 else "0" if row == 0 else ""
        drawn = "".join(column[row] * wide for column in columns)
        lines.append(f"{label:>{margin}} {bar}{drawn}".rstrip())
    lines.append(f"{'':>{margin}} {corner}{dash * wide * len(moments)}")
    lines.append(f"{'hits':>{margin}} {bar}{rate}".rstrip() + f" {share(report.answers.hit_rate)}")
    lines.append(f"{'':>{margin}}  {_span(report, moments, wide * len(moments))}")
    return "\n".join(lines).replace("–", "-") if plain else "\n".join(lines)


def _legend(shades: str) -> str:
    named = (f"{shade} {name}" for shade, (_, name) in zip(shades, BANDS, strict=True))
    return "Calls over time   " + "   ".join(named)


def _column(answers: Answers, largest: int, shades: str) -> str:
    """Return a column from the bottom up: who answered at all is seen, be it once."""
    height = max(1, round(answers.calls / largest * _HEIGHT)) if answers.calls else 0
    column, below = "", 0
    for shade, (band, _) in zip(shades, BANDS, strict=True):
        below += getattr(answers, band)
        top = round(below / answers.calls * height) if answers.calls else 0
        column += shade * (top - len(column))
    return column.ljust(_HEIGHT)


def _level(part: float | None, levels: str) -> str:
    """Return a hit rate as one character; nothing where nobody called."""
    return levels[0] if part is None else levels[1 + round(part * (len(levels) - 2))]


def _span(report: Report, moments: Sequence[Moment], width: int) -> str:
    """Write when the first step and the last begin, as far apart as they are."""
    first, last = moment(moments[0].start, report.step), moment(moments[-1].start, report.step)
    if len(moments) == 1:
        return first
    return f"{first}{last:>{max(width - len(first), len(last) + 1)}} UTC"


def _fewer(moments: Sequence[Moment], most: int) -> list[Moment]:
    """Put neighbours together until so many columns fit."""
    by = -(-len(moments) // most)
    groups = (moments[at : at + by] for at in range(0, len(moments), by))
    return [Moment(group[0].start, sum((each.answers for each in group), Answers())) for group in groups]
