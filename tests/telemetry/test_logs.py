from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from cachepolicy import ManualClock, cached, close, configure
from cachepolicy.runtime import current
from cachepolicy.telemetry import logs
from cachepolicy.testing.redis_server import RedisServer
from tests.support.asking import ask_once
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.source import PACKAGE, ROOT, sources

CANARY = "canary-question"


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close()


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if "." in name}


def _ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the library logged; an exporter of another test may still say that it tries again."""
    return [record for record in caplog.records if record.name.partition(".")[0] == "cachepolicy"]


def test_an_alarm_that_repeats_is_held_back() -> None:
    """An alarm comes at once, then at most once a minute, with the number of those that were held back."""
    alarms = logs.Alarms()
    assert [alarms.due("a", now) for now in (0.0, 0.1, 59.9, 60.0, 61.0, 119.0, 300.0, 600.0)] == [
        0,
        None,
        None,
        2,
        None,
        None,
        2,
        0,
    ]


def test_each_matter_has_alarms_of_its_own() -> None:
    """What is held back of one matter holds back nothing of another."""
    alarms = logs.Alarms()
    assert (alarms.due("a", 0.0), alarms.due("b", 0.0), alarms.due("a", 1.0)) == (0, 0, None)


def test_foreign_values_are_an_alarm_once_a_minute(
    colour: Colour, redis_server: RedisServer, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that hands out values of other keys fills no log: one line a minute counts the others."""
    time = ManualClock()
    configure(cache_policy(redis_url, local={"enabled": False}), clock=time.clock)

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    def ask(question: str) -> None:
        assert ask_once(colour, answer, question) == question

    ask("other")
    ask(CANARY)

    def meet(times: int) -> None:
        for _ in range(times):
            _copy(redis_server, answer.key("other"), answer.key(CANARY))
            ask(CANARY)

    meet(4)
    (plan,) = current.current()._plans
    assert plan.counters.errors == {"corrupt.key": 4}
    time.advance(61)
    meet(2)
    first, second = [record for record in _ours(caplog) if record.levelno == logging.ERROR]
    assert [_fields(each)[logs.FIELD_SUPPRESSED] for each in (first, second)] == [0, 3]
    assert "3 more" in second.getMessage()
    assert _fields(first) == {
        "cachepolicy.event": "foreign_value",
        "cachepolicy.namespace": "answers",
        "cachepolicy.function": answer.__module__ + "." + answer.__qualname__,
        "cachepolicy.suppressed": 0,
        "error.type": "corrupt.key",
    }
    assert CANARY not in caplog.text


def _copy(server: RedisServer, source: str, target: str) -> None:
    with redis.Redis(port=server.port, db=1) as client:
        client.execute_command("COPY", source, target, "REPLACE")


def test_a_fault_is_told_once_with_its_fields(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    """What is said once is said once: Redis that is out is one line, which programs can read."""
    configure(cache_policy("redis://127.0.0.1:1", local={"enabled": False}))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    for _ in range(3):
        assert ask_once(colour, answer, CANARY) == CANARY
    (line,) = _ours(caplog)
    assert _fields(line) == {
        "cachepolicy.event": "fault",
        "cachepolicy.namespace": "answers",
        "cachepolicy.function": answer.__module__ + "." + answer.__qualname__,
        "error.type": "refused",
    }


def test_every_line_has_fields() -> None:
    """No line is logged without the fields by which programs know it."""
    calls = [
        (source.path, line.strip())
        for source in sources(PACKAGE)
        for line, after in _log_calls(source.text)
        if "extra=" not in after
    ]
    assert calls == []


def _log_calls(text: str) -> Iterator[tuple[str, str]]:
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if "_LOG." in line:
            yield line, "\n".join(lines[number : number + 9])


def test_every_event_is_documented() -> None:
    """The page names every event and every field."""
    page = (ROOT / "docs" / "guide" / "logging.md").read_text(encoding="utf-8")
    names = [*logs.Event, logs.FIELD_EVENT, logs.FIELD_SETTINGS, logs.FIELD_SUPPRESSED]
    assert [name for name in names if f"`{name}`" not in page] == []
