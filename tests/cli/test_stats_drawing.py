"""``cachepolicy stats``: from a report to words, a chart, SVG and HTML."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from cachepolicy.cli import stats_words as words
from cachepolicy.cli.stats_chart import chart
from cachepolicy.cli.stats_html import html
from cachepolicy.cli.stats_report import (
    Answers,
    Failure,
    Limited,
    Moment,
    Report,
    Saving,
    SessionCount,
    Usage,
    as_json,
)
from cachepolicy.cli.stats_svg import svg
from cachepolicy.cli.stats_tables import summary, tables
from tests.support.fleet_report import DRAWN, EMPTY, EVIL, GOLDEN, HOURS, REPORT, text

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("file", DRAWN)
def test_a_report_is_drawn_as_it_was(file: str) -> None:
    """The same report gives the same text, SVG and HTML, byte for byte, as when they were last looked at."""
    assert DRAWN[file](REPORT) == (GOLDEN / file).read_text(encoding="utf-8")


def _evil() -> Report:
    return replace(
        REPORT,
        app=EVIL,
        usage=(Usage(EVIL, Answers(1, 1, 1, 1)),),
        savings=(Saving(EVIL, EVIL, EVIL, 1, 1, Decimal(1), EVIL, 1.0),),
        limits=(Limited(EVIL, EVIL, 1, 1),),
        failures=(Failure(EVIL, EVIL, 1),),
        sessions=(SessionCount(EVIL, 1, 1, 1),),
    )


@pytest.mark.parametrize("draw", [svg, html, text])
def test_names_are_words_and_nothing_else(draw: Callable[[Report], str]) -> None:
    """A model's name is a provider's word: it adds no markup, and cannot steer a terminal."""
    drawn = draw(_evil())
    assert "\x1b" not in drawn
    if draw is not text:
        assert "<script" not in drawn
        assert "&lt;script&gt;" in drawn


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("report", [REPORT, EMPTY, _evil()], ids=["full", "empty", "evil"])
def test_the_page_needs_nothing_but_itself(report: Report) -> None:
    """The HTML file is well formed, has no script, and asks no network for anything."""
    drawn = html(report)
    page = _Page()
    page.feed(drawn)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in {"src", "href"} or name.startswith("on")]
    assert "url(" not in drawn
    assert "@import" not in drawn
    assert re.findall(r"https?://[^\"]+", drawn) in ([], ["http://www.w3.org/2000/svg"])
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_the_page_is_read_aloud_too() -> None:
    """It has a language and a title; each table a caption and heads; the chart is there as a table."""
    page = _Page()
    page.feed(html(REPORT))
    assert ("lang", "en") in page.attributes
    assert page.tags.count("table") == page.tags.count("caption") == page.tags.count("thead") == 6
    assert page.attributes.count(("scope", "row")) == 2 + 3 + 2 + 1 + 1 + len(HOURS)
    assert "details" in page.tags


@pytest.mark.parametrize("report", [REPORT, EMPTY, _evil()], ids=["full", "empty", "evil"])
def test_the_chart_says_in_words_what_it_shows(report: Report) -> None:
    """The SVG is XML with a title and a description, named as its label, in light and in dark."""
    drawn = svg(report)
    root = ET.fromstring(drawn)  # noqa: S314 - our own words
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text
    assert description.text
    assert "prefers-color-scheme: dark" in drawn


def test_bars_are_as_high_as_their_calls() -> None:
    """Each step's bar is as high as its calls, a pixel for each tier at least; without any there is none."""
    root = ET.fromstring(svg(REPORT))  # noqa: S314 - our own words
    heights = [
        sum(float(bar.get("height", "0")) for bar in group.findall(f"{SVG}rect"))
        for group in root.findall(f"{SVG}g")
    ]
    calls = [answers.calls for answers in HOURS if answers.calls]
    assert heights == pytest.approx([each / max(calls) * max(heights) for each in calls], abs=2)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_colours_stand_out(dark: bool) -> None:
    """In light and in dark words have a contrast of at least 4.5 to the paper, and bars of 3 (WCAG AA)."""
    light_part, dark_part = svg(REPORT).split("@media", 1)
    colours = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", dark_part if dark else light_part))
    paper = _luminance(colours["paper"])

    def contrast(name: str) -> float:
        brighter, darker = sorted((_luminance(colours[name]), paper), reverse=True)
        return (brighter + 0.05) / (darker + 0.05)

    assert min(map(contrast, ("ink", "dim"))) >= 4.5
    assert min(map(contrast, ("l1", "l2", "shared", "origin"))) >= 3


@pytest.mark.parametrize("width", [20, 40, 72, 200])
@pytest.mark.parametrize("plain", [False, True])
def test_the_terminal_chart_fits(width: int, plain: bool) -> None:
    """Columns fit the terminal: hours are put together where there is no room for a hundred."""
    moments = tuple(
        Moment(REPORT.since + at * timedelta(hours=1), Answers(l1=at, origin=1)) for at in range(100)
    )
    drawn = chart(replace(REPORT, timeline=moments), width, plain=plain)
    columns = [line for line in drawn.splitlines() if line[:20].rstrip().find("│|"[plain]) > 0]
    assert columns
    assert max(len(line) for line in columns) <= width + len(" 99.9%")
    assert drawn.isascii() is plain


def test_one_call_is_seen_beside_thousands() -> None:
    """A step with calls has a mark in the chart, however few they are beside the others."""
    moments = (
        Moment(REPORT.since, Answers(l1=100_000)),
        Moment(REPORT.since + timedelta(hours=1), Answers(origin=1)),
    )
    assert "░" in chart(replace(REPORT, timeline=moments), 72).splitlines()[8]


def test_no_calls_no_chart() -> None:
    """Where nothing was counted there is no chart and no table, and a sentence says so."""
    assert chart(EMPTY) == ""
    assert tables(EMPTY) == []
    assert summary(EMPTY) == "Nothing was counted."


def test_json_is_exact() -> None:
    """JSON has each number as it is: money as text, times by ISO 8601, the hit rate unrounded."""
    told = json.loads(json.dumps(as_json(REPORT)))
    assert told["version"] == 1
    assert told["since"] == "2026-11-25T13:00:00+00:00"
    assert told["step"] == 3600
    assert told["savings"][0]["cost"] == "12.345678"
    assert told["savings"][1]["cost"] is None
    assert told["usage"][0]["hit_rate"] == REPORT.usage[0].answers.hit_rate
    assert len(told["timeline"]) == len(HOURS)


def test_numbers_are_written_as_they_matter() -> None:
    """Parts of a cent are shown, hours are hours, and 99.99% is not written as all."""
    assert [words.share(each) for each in (None, 0.0, 0.5, 0.99999, 1.0)] == [
        "–",
        "0.0%",
        "50.0%",
        "99.9%",
        "100.0%",
    ]
    amounts = [
        words.amount(Decimal(each), "EUR") for each in ("0.000012", "0.6525", "0.996", "0.5", "1234.5")
    ]
    assert amounts == ["0.000012 EUR", "0.6525 EUR", "0.996 EUR", "0.50 EUR", "1,234.50 EUR"]
    assert [words.duration(each) for each in (0.0123, 12.34, 600, 86_400)] == [
        "0.0123 s",
        "12.3 s",
        "10.0 min",
        "24.0 h",
    ]
    assert words.name("x" * 100) == "x" * 47 + "…"
