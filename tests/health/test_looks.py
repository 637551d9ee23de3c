"""How a look asks: what it repeats, what it does not, and what it makes of half an answer."""

from __future__ import annotations

from typing import Any

import pytest

from cachepolicy import HealthState
from cachepolicy.errors import Fault
from cachepolicy.runtime import current
from cachepolicy.testing.faulty_store import FaultyServer, Plan, Trouble
from cachepolicy.tiers.commands import Command
from tests.support.colour import Colour
from tests.support.health import Watching


def _watching(colour: Colour, monkeypatch: pytest.MonkeyPatch, plan: Plan) -> tuple[Watching, FaultyServer]:
    """Watch a server that does as planned, once it has been seen sound."""
    watching = Watching("memory://", colour)
    server = FaultyServer(None, watching.time)
    monkeypatch.setattr(current.current().stores, "_memory", server)
    assert watching.look().ready
    server.asked.clear()
    server.plan(plan)
    return watching, server


def _failing(word: str, fault: Fault) -> Plan:
    def decide(command: Command[Any]) -> Trouble | None:
        return Trouble(fault) if command.words[0] == word else None

    return decide


def _words(server: FaultyServer) -> list[object]:
    return [command.words[0] for command in server.asked]


def test_what_a_look_asks(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look is a canary and INFO, then PING and TIME, each once."""
    watching, server = _watching(colour, monkeypatch, [])
    watching.look()
    assert _words(server) == ["SET", "GET", "UNLINK", "INFO", "PING", "TIME"]


def test_what_was_lost_is_asked_again(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is lost once is no fault of the server."""
    watching, server = _watching(colour, monkeypatch, [Trouble(Fault.LOST)] * 4)
    report = watching.look()
    assert report.ready
    assert report.check("reachable").state is HealthState.HEALTHY
    assert _words(server) == ["SET", "GET", "UNLINK", "INFO"] * 2 + ["PING", "TIME"]


def test_what_timed_out_is_not(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that timed out is not sent again: there is no time for it, and the fault is told."""
    watching, server = _watching(colour, monkeypatch, [Trouble(Fault.TIMEOUT)])
    report = watching.look()
    assert report.check("writable").detail == "a write fails: timeout"
    assert _words(server).count("SET") == 1


@pytest.mark.parametrize("word", ["PING", "TIME", "INFO"])
def test_what_is_forbidden_is_unknown(word: str, colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that forbids a question has answered: it is reachable, and what it did not tell is unknown."""
    watching, _ = _watching(colour, monkeypatch, _failing(word, Fault.FORBIDDEN))
    report = watching.look()
    assert report.status is HealthState.HEALTHY
    assert report.ping_time_ms is not None
    assert (report.check("clock").state is HealthState.UNKNOWN) is (word == "TIME")


def test_a_ping_that_fails(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the canary and then says nothing has not answered."""
    watching, _ = _watching(colour, monkeypatch, _failing("PING", Fault.TIMEOUT))
    report = watching.look()
    assert report.check("reachable").state is HealthState.DEGRADED
    assert report.check("writable").state is HealthState.HEALTHY
    assert report.ping_time_ms is None


def test_another_value_than_was_written(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not keep what was written is not writable, whatever it answered."""
    watching, server = _watching(colour, monkeypatch, [])

    def forget(command: Command[Any]) -> None:
        if command.words[0] == "SET":
            command.words = ("SET", "health:elsewhere", *command.words[2:])

    server.plan(forget)
    report = watching.look()
    assert report.check("writable").state is HealthState.UNHEALTHY


def test_pings_are_averaged(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slow PING is told as it is, and judged among those before."""
    watching, server = _watching(colour, monkeypatch, [])
    watching.look()

    def slow(command: Command[Any]) -> Trouble | None:
        return Trouble(delay=1.0) if command.words[0] == "PING" else None

    server.plan(slow)
    report = watching.look()
    assert report.ping_time_ms == pytest.approx(1000.0)
    assert report.check("reachable").value == pytest.approx(0.3)
    assert watching.look().check("reachable").value == pytest.approx(0.51)
