"""``cachepolicy stats``: processes of a fleet count what they do, and one command tells of all."""

from __future__ import annotations

import json
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import AnalyticsCache, close
from cachepolicy.__main__ import main
from cachepolicy.cli import stats_show
from cachepolicy.errors import UnknownMetric
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.fleet_member import INPUT, OUTPUT, Member, members, tell
from tests.support.fleet_policy import fleet_policy
from tests.support.fleet_report import REPORT
from tests.support.waiting import until


def _stats(capsys: pytest.CaptureFixture[str], policy: str, *more: str) -> Any:
    capsys.readouterr()
    assert main(["stats", "--policy", policy, "--since", "3h", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def _calls(told: Any) -> int:
    return sum(usage["calls"] for usage in told["usage"])


def test_the_whole_fleet_is_told(
    colour: Colour, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A2: calls, tokens, money and decisions of all processes are added up, to the unit."""
    policy = fleet_policy(tmp_path, redis_url)
    me = Member(policy, is_async=colour.is_async)
    me.call(6)
    me.say(5)
    close()
    with members(policy, "def", "async") as others:
        for process, times in zip(others, ("20", "40"), strict=True):
            tell(process, times)
    told = _stats(capsys, policy)
    (usage,) = told["usage"]
    assert (usage["namespace"], usage["calls"], usage["hit_rate"]) == ("llm", 66, 0.5)
    assert usage["answers"]["origin"] == 33
    (saving,) = told["savings"]
    assert (saving["model"], saving["input_tokens"]) == ("gpt-4o", 33 * INPUT)
    assert (saving["output_tokens"], saving["currency"]) == (33 * OUTPUT, "USD")
    assert float(saving["cost"]) == 33 * (INPUT * 2.5 + OUTPUT * 10) / 1e6
    (limit,) = told["limits"]
    assert (limit["rule"], limit["allowed"], limit["denied"], limit["exceeded"]) == ("chat", 2, 3, 3)
    assert sum(each["answers"]["l1"] for each in told["timeline"]) == usage["answers"]["l1"]


def test_nothing_is_told_twice(redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A1: over closed and replaced policies each call is told once; a child of fork tells only its own."""
    policy = fleet_policy(tmp_path, redis_url)
    for _ in range(3):
        Member(policy, is_async=False).call(10)
    close()
    close()
    with members(policy, "def") as (parent,):
        for what in ("8", "fork", "2", "fork"):
            tell(parent, what)
    assert _calls(_stats(capsys, policy)) == 30 + 8 + 4 + 2 + 4


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_who_is_killed_has_told_most(
    by: signal.Signals, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process that is ended by SIGTERM has told all; ``kill -9`` loses what came after the last flush."""
    policy = fleet_policy(tmp_path, redis_url, interval="20ms")
    with members(policy, "def") as (process,):
        tell(process, "10")
        if by is signal.SIGKILL:
            until(lambda: _calls(_stats(capsys, policy)) == 10, "the next flush")
        process.send_signal(by)
        process.wait(30)
    assert _calls(_stats(capsys, policy)) == 10


def test_one_namespace_alone(redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--namespace`` tells of one; one that the policy does not declare is an error."""
    policy = fleet_policy(tmp_path, redis_url)
    me = Member(policy, is_async=False)
    me.call(2)
    me.say(1)
    close()
    told = _stats(capsys, policy, "--namespace", "ratelimit")
    assert (told["usage"], len(told["limits"])) == ([], 1)
    assert _calls(_stats(capsys, policy, "--namespace", "llm")) == 2
    assert main(["stats", "--policy", policy, "--namespace", "lm"]) == 1
    assert "did you mean 'llm'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "steps", "step"),
    [
        ((), 4, 3600),
        (("--step", "day"), 1, 86_400),
        (("--since", "6d"), 25, 21_600),
        (("--since", "29d"), 30, 86_400),
    ],
)
def test_steps_are_whole(
    options: tuple[str, ...],
    steps: int,
    step: int,
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The time is cut into whole hours, parts of days or days, as fits; each is told of, empty or not."""
    policy = fleet_policy(tmp_path, redis_url)
    Member(policy, is_async=False).call(4)
    close()
    told = _stats(capsys, policy, *options)
    assert told["step"] == step
    assert len(told["timeline"]) in {steps, steps + 1}  # where midnight lies in the time
    assert told["timeline"][0]["start"] == told["since"]
    assert _calls(told) == sum(sum(each["answers"].values()) for each in told["timeline"]) == 4


def test_it_is_printed_and_written(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal it is plain text; ``--svg`` and ``--html`` write files, and say so."""
    policy = fleet_policy(tmp_path, redis_url)
    Member(policy, is_async=False).call(4)
    close()
    assert main(["stats", "--policy", policy]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("shop, ")
    assert "4 calls, 50.0% answered without the function" in printed
    assert "\x1b" not in printed
    files = tmp_path / "chart.svg", tmp_path / "report.html"
    assert main(["stats", "--policy", policy, "--svg", str(files[0]), "--html", str(files[1])]) == 0
    assert capsys.readouterr().out == f"{files[0]}: written\n{files[1]}: written\n"
    assert files[0].read_text("utf-8").startswith("<svg")
    assert "50.0%" in files[1].read_text("utf-8")
    assert main(["stats", "--policy", policy, "--svg", str(tmp_path / "no" / "such")]) == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("memory://", [], "says memory://, in one process alone: there is no fleet to tell of"),
        ("redis://127.0.0.1:1", [], "refused"),
        (
            "memory://",
            ["--environment", "two"],
            "expected one namespace of kind analytics to read from; there are",
        ),
        ("memory://", ["--since", "2000d", "--step", "1h"], "more than 1,000 steps"),
    ],
)
def test_what_cannot_be_told_is_a_sentence(
    url: str, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store of one process, a Redis that is out, several namespaces, and too much are told plainly."""
    assert main(["stats", "--policy", fleet_policy(tmp_path, url), *options]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert "Traceback" not in printed.err


def test_why_there_is_nothing_is_told(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing was counted the command says so, and whether the policy asks for it at all."""
    policy = fleet_policy(tmp_path, redis_url, on=False)
    assert main(["stats", "--policy", policy]) == 1
    assert "telemetry: {fleet_stats: true}" in capsys.readouterr().err
    assert main(["stats", "--policy", fleet_policy(tmp_path, redis_url)]) == 0
    assert "Nothing was counted." in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [["--step", "90m"], ["--step", "7h"], ["--step", "2d"], ["--since", "0"], ["--since", "x"]]
)
def test_times_that_make_no_sense_are_usage_errors(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A step that is not of whole hours, or a time that is none, is refused with what was expected."""
    with pytest.raises(SystemExit):
        main(["stats", *argv])
    assert "expected" in capsys.readouterr().err


def test_the_library_counts_its_own(redis_url: str, tmp_path: Path) -> None:
    """Metrics of the library's own can be read by anybody, declared or not; nobody else counts them."""
    policy = fleet_policy(tmp_path, redis_url)
    Member(policy, is_async=False).call(2)
    runtime = current.current()
    runtime.fleet.tell(is_last=True)
    labels = {"namespace": "llm", "outcome": "hit", "tier": "l1"}
    with pytest.raises(UnknownMetric, match="the library's own"):
        AnalyticsCache().increment_metric.sync("cachepolicy.requests", 1, labels)
    assert runtime.analytics.desk("analytics", "a test").rows == {}  # by which meters are gone round
    assert runtime.metrics.metric("analytics", "cachepolicy.requests", "query").terms.labels == (
        "namespace",
        "outcome",
        "tier",
    )
    current.close()
    now = datetime.now(UTC)
    spared = AnalyticsCache().tokens.sync(now - timedelta(hours=1), now, name="cachepolicy.saved.tokens")
    assert spared == {"gpt-4o": INPUT + OUTPUT}


def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a terminal the same words are drawn with rich; in one that is dumb, or without rich, as text."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    stats_show.show(REPORT)
    drawn = capsys.readouterr().out
    assert "\x1b[" in drawn
    assert "Hit rate, by namespace and tier" in drawn
    assert "gpt-4o" in drawn
    monkeypatch.setenv("TERM", "dumb")
    stats_show.show(REPORT)
    assert "\x1b[" not in capsys.readouterr().out
