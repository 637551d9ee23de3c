"""The figures of the fault matrix as a page."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Final

from tests.faults.harness import Figures

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"

_HEAD: Final = """\
# When Redis fails, measured

> **In short:** every fault below was brought about with real processes, while decorated functions, `def` and
> `async def`, were called. No call returned another result, none a wrong one, and each waited for no longer
> than `redis.deadline`.

## What is promised

1. **The result is the function's.** With `on_fault: bypass`, a fault of Redis changes only how long a call
   takes.
2. **A call waits for `redis.deadline` at most** (100 ms), over everything that it asks of Redis. After five
   failures within a second the breaker opens; calls then go on at once, and one at a time looks whether Redis
   is back.
3. **No value of one key is returned for another.** Each stored value carries a hash of its key; a reply that
   belongs to another call is refused and reported.
4. **Bytes that are no intact value of ours are a miss.** The function is asked, and the good value takes
   their place.
5. **Redis is used again soon after it is back:** the breaker looks every 1.0 to 1.2 s. What only an operator
   can mend, a password or a certificate, is tried once in 30 to 36 s, so that no account is locked and no log
   is filled.
6. **A counter never counts twice.** What may have been carried out is not repeated, unless repeating changes
   nothing.
7. **Every fault is counted** (`cachepolicy.errors`, `observe()`), and told once in the log.

## The matrix

*reached*: how long calls took that reached for Redis during the fault, the function's own microseconds
included: median / longest; a busy machine adds to them. *refused*: the same for calls while the breaker was
open. *back*: from the end of the fault to the first call that used Redis again; \\*: after the breaker's
pause for what an operator must mend, which was skipped. *wrong*: values that were not the called function's.
"""
_TAIL: Final = """
## How to reproduce

`python -m tests.faults` plays every row under the shipped policy and writes this page. The same rows are
tests (`make test ARGS=tests/faults`): there the breaker looks sooner, and what is promised is asserted. The
servers and the bad network are those of `cachepolicy.testing`, for your own tests too: see
[Testing](guide/testing.md).
"""
_MEASURED: Final = """\
| fault | | result | reached | refused | counted as | back | wrong |
|---|---|---|--:|--:|---|--:|--:|"""
_NOTED: Final = """\
| fault | | result | calls | counted as | what happened | wrong |
|---|---|---|--:|---|---|--:|"""


def page(lines: str) -> str:
    """Write the page.

    Args:
        lines: the figures as JSON, one row in one colour a line.
    """
    groups: dict[str, list[Figures]] = {}
    for line in lines.splitlines():
        figures = Figures(**json.loads(line))
        groups.setdefault(figures.group, []).append(figures)
    tables = [f"\n### {name}\n\n{_table(rows)}\n" for name, rows in groups.items()]
    calls = sum(row.calls for rows in groups.values() for row in rows)
    wrong = sum(row.wrong for rows in groups.values() for row in rows)
    machine = f"CPython {platform.python_version()} on {platform.system()} {platform.machine()}"
    total = f"\n{calls:,} calls in all, {wrong} wrong values. {machine}, everything on one machine.\n"
    return _HEAD + total + "".join(tables) + _TAIL


def _table(rows: list[Figures]) -> str:
    if any(row.refused or row.recovery for row in rows):
        return "\n".join([_MEASURED, *map(_measured, _sorted(rows))])
    return "\n".join([_NOTED, *map(_noted, _sorted(rows))])


def _sorted(rows: list[Figures]) -> list[Figures]:
    """Keep the order of the rows, whichever the tests ran in; ``def`` comes first."""
    return sorted(rows, key=lambda row: (row.row.strip("`").lower(), row.colour != "def"))


def _measured(row: Figures) -> str:
    back = "" if row.recovery is None else _time(row.recovery) + ("*" if row.note else "")
    cells = [row.row, row.colour, _result(row), _pair(row.paid), _pair(row.refused), _codes(row), back]
    return _line([*cells, str(row.wrong)])


def _noted(row: Figures) -> str:
    cells = [row.row, row.colour, _result(row), f"{row.calls:,}", _codes(row), row.note]
    return _line([*cells, str(row.wrong)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _result(row: Figures) -> str:
    return "unchanged" if row.unchanged else "CHANGED"


def _codes(row: Figures) -> str:
    return ", ".join(f"`{name}`" for name in row.counted) or "–"


def _pair(times: list[float]) -> str:
    return " / ".join(map(_time, times)) or "–"


def _time(seconds: float) -> str:
    if seconds < 0.00095:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.0095 else f"{seconds * 1e3:.0f} ms"
