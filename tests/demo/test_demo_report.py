"""The demo's arithmetic and drawing, without any process."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cachepolicy.cli.demo_prices import LIST_PRICES, list_price
from cachepolicy.cli.demo_process import Job
from cachepolicy.cli.demo_progress import progress
from cachepolicy.cli.demo_questions import ANSWERS, QUESTIONS
from cachepolicy.cli.demo_report import Row, dollars, milliseconds, table, total
from cachepolicy.cli.demo_trace import Span, draw, find_trace
from cachepolicy.policy.written import without_secrets
from cachepolicy.testing.openai_server import MODELS

PAID = Row(
    process=1,
    turn=1,
    number=1,
    question="Why?",
    outcome="miss",
    tier="origin",
    seconds=1.5,
    model="gpt-4.1-mini-2025-04-14",
    prompt_tokens=1000,
    completion_tokens=500,
)


def _hit(tier: str, seconds: float, model: str = PAID.model) -> Row:
    return Row(2, 1, 1, "Why?", "hit", tier, seconds, model, 1000, 500)


def _print(drawn: object, width: int = 100, *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal)
    console.print(drawn)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_hit_saves_what_its_answer_cost() -> None:
    """Each hit saves the paid answer's tokens, list price and seconds; a paid answer saves nothing."""
    totals = total([PAID, _hit("l1", 0.0), _hit("l2", 0.5)])

    assert (totals.asked, totals.paid) == (3, 1)
    assert totals.tokens_saved == 3000
    assert totals.dollars_saved == pytest.approx(2 * (1000 * 0.40 + 500 * 1.60) / 1e6)
    assert totals.seconds_saved == pytest.approx(1.5 + 1.0)
    assert str(totals) == "3 questions asked, 1 paid for; saved 3,000 tokens, $0.00240 and 2.5 s."


def test_a_coalesced_call_is_not_paid() -> None:
    """A caller that waited for another's answer saved it."""
    follower = Row(1, 1, 1, "Why?", "coalesced", "origin", 1.5, PAID.model, 1000, 500)

    assert total([PAID, follower]).paid == 1
    assert total([PAID, follower]).tokens_saved == 1500


def test_an_unknown_model_has_no_price() -> None:
    """Without a list price the totals hold no money at all, rather than part of it."""
    totals = total([PAID, _hit("l1", 0.0, "house-model")])

    assert totals.dollars_saved is None
    assert str(totals) == "2 questions asked, 1 paid for; saved 1,500 tokens and 1.5 s."


@pytest.mark.parametrize("model", MODELS)
def test_dated_models_cost_what_their_alias_costs(model: str) -> None:
    """Every model of the local server has a list price, by alias and by dated name."""
    assert list_price(MODELS[model], 1_000_000, 0) == list_price(model, 1_000_000, 0) == LIST_PRICES[model][0]


def test_a_similar_name_is_not_the_same_model() -> None:
    """A price is never taken from a model whose name merely begins the same."""
    assert list_price("gpt-4.1-mini-turbo", 1, 1) is None


def test_the_table_keeps_its_numbers_on_a_narrow_terminal() -> None:
    """Only the question is cut when there is no room."""
    long = Row(1, 1, 1, "Why " + "very " * 30 + "?", "miss", "origin", 1.5, PAID.model, 1, 1)
    printed = _print(table([long, _hit("l2", 0.00041)]), width=70)

    for expected in ("…", "origin", "1,500", "0.410", "1,500  $0.00120", "process 2, pass 1"):
        assert expected in printed
    assert max(map(len, printed.splitlines())) <= 70


def test_numbers_are_written_with_the_digits_that_matter() -> None:
    """Long durations lose their fraction, short ones keep three digits, money keeps parts of a cent."""
    assert [milliseconds(each) for each in (1.0124, 0.0123, 0.00041, 0.0000042)] == [
        "1,012",
        "12.3",
        "0.410",
        "0.004",
    ]
    assert [dollars(each) for each in (12.5, 0.00013)] == ["$12.50", "$0.00013"]


def test_a_trace_is_drawn_as_a_tree() -> None:
    """Spans stand below their parents, and only those of the trace that was looked for."""
    spans = [
        Span("t2", "c", None, "other", "internal", 0, 0.1, {}),
        Span("t1", "b", "a", "cache.get llm", "internal", 2, 0.002, {"cachepolicy.tier": "l2"}),
        Span("t1", "a", None, "ask", "internal", 1, 0.003, {}),
    ]
    lines = _print(draw("Trace", find_trace(spans, tier="l2"))).splitlines()

    assert [line.rstrip() for line in lines] == [
        "Trace",
        "└── ask  internal  3.0 ms",
        "    └── cache.get llm  internal  2.0 ms",
        "        cachepolicy.tier = l2",
    ]
    assert find_trace(spans, tier="l1") == []


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_progress_is_shown_on_a_terminal_and_off_it(terminal: bool) -> None:
    """Both ways name the pass that was answered, and neither fails at the last question."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with progress(console, [Job(1, 2, 1, True, "m", {}), Job(2, 1, 1, False, "m", {})]) as answered:
        for process, turn in ((1, 1), (1, 2), (2, 1)):
            answered(process, turn)

    assert isinstance(console.file, io.StringIO)
    assert "process 2, pass 1" in console.file.getvalue()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("redis://localhost:6379", "redis://localhost:6379"),
        ("redis://:secret@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://ada:secret@host", "rediss://***@host"),
        ("redis://ada:se/cret@host", "redis://***@host"),
        ("redis://ada:se@cret@host", "redis://***@host"),
        ("redis://ada:se?cret@host", "redis://***"),
        ("redis://ada:se#cret@host", "redis://***"),
        ("redis://host/0?password=secret", "redis://host/0"),
        ("redis+sentinel://:secret@a:1,b:2/main", "redis+sentinel://***@a:1,b:2/main"),
        ("secret@host", "***"),
    ],
)
def test_no_secret_of_a_url_is_shown(url: str, shown: str) -> None:
    """User, password and options of a URL are left out, even when they are not escaped."""
    assert without_secrets(url) == shown
    assert "cret" not in without_secrets(url)


def test_every_question_has_an_answer() -> None:
    """The local server has something to say to each question, short enough for one line of the table."""
    assert len(QUESTIONS) == len(set(QUESTIONS)) == 6
    assert all(ANSWERS[question].count(".") >= 2 for question in QUESTIONS)
    assert max(map(len, QUESTIONS)) <= 36
