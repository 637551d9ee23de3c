"""Shows that the demo is at work: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from cachepolicy.cli.demo_process import Job

# Told of a pass (process, pass) when one of its questions was answered.
Answered = Callable[[int, int], None]


@contextmanager
def progress(console: Console, jobs: Sequence[Job]) -> Generator[Answered]:
    """Show one line for each pass of each job, in the way that the console can."""
    with (_bars if console.is_interactive else _lines)(console, jobs) as answered:
        yield answered


def _passes(jobs: Sequence[Job]) -> dict[tuple[int, int], int]:
    return {(job.process, turn): job.questions for job in jobs for turn in range(1, job.passes + 1)}


@contextmanager
def _bars(console: Console, jobs: Sequence[Job]) -> Generator[Answered]:
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        bars = {
            (process, turn): shown.add_task(f"process {process}, pass {turn}", total=questions, start=False)
            for (process, turn), questions in _passes(jobs).items()
        }
        waiting = iter(bars.values())
        shown.start_task(next(waiting))

        def answered(process: int, turn: int) -> None:
            bar = bars[process, turn]
            shown.advance(bar)
            if shown.tasks[bar].finished:
                following = next(waiting, None)
                if following is not None:
                    shown.start_task(following)

        yield answered


@contextmanager
def _lines(console: Console, jobs: Sequence[Job]) -> Generator[Answered]:
    expected, count = _passes(jobs), Counter[tuple[int, int]]()
    console.print("asking…")

    def answered(process: int, turn: int) -> None:
        count[process, turn] += 1
        if count[process, turn] == expected[process, turn]:
            console.print(f"process {process}, pass {turn}: {count[process, turn]} answered")

    yield answered
