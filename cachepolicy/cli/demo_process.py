"""One process of the demo, seen from both ends: what it is told, and what it reports line by line."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from cachepolicy.cli.demo_policy import Policy
from cachepolicy.cli.demo_report import Row
from cachepolicy.cli.demo_trace import Span
from cachepolicy.errors import CachePolicyError


class DemoFailed(CachePolicyError):
    """The demo cannot go on; the message says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one process is told to do: ask so many questions, so many times over."""

    process: int
    passes: int
    questions: int
    at_once: bool
    model: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a process gives up."""

    sentence: str


Report = Row | Span | Failure
_REPORTS: Mapping[str, type[Report]] = {kind.__name__: kind for kind in (Row, Span, Failure)}


def report(item: Report) -> None:
    """Tell the parent; called in the process that does a job."""
    print(json.dumps({type(item).__name__: asdict(item)}), flush=True)


def give_up(sentence: str) -> int:
    """Tell the parent why it ends here; return the exit code."""
    report(Failure(sentence))
    return 1


def do_elsewhere(job: Job, environment: Mapping[str, str]) -> Iterator[Row | Span]:
    """Do a job in a new process, and pass on what it reports as it comes.

    Raises:
        DemoFailed: the process gave up, or broke.
    """
    command = [sys.executable, "-m", "cachepolicy", "demo", "--worker", json.dumps(asdict(job))]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(  # noqa: S603 - this very program
            command, stdout=subprocess.PIPE, stderr=complaints, env=environment, encoding="utf-8"
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                item = _read(line)
                if isinstance(item, Failure):
                    raise DemoFailed(item.sentence)
                yield item
        except BaseException:
            process.terminate()
            raise
        if process.wait() != 0:
            complaints.seek(0)
            raise DemoFailed(f"process {job.process} of the demo broke off:\n{complaints.read().strip()}")


def _read(line: str) -> Report:
    ((kind, fields),) = json.loads(line).items()
    return _REPORTS[kind](**fields)
