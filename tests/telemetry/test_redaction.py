"""O2: secrets and prompts are planted everywhere, and looked for in every byte that leaves the process."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import PolicyError, close, configure, observe
from cachepolicy.__main__ import main
from cachepolicy.runtime import current
from cachepolicy.runtime import telemetry as room
from cachepolicy.telemetry import setup
from cachepolicy.testing.redis_server import RedisServer
from tests.support.canaries import PROMPT, SECRET, forms, seen, shown
from tests.support.canary_calls import Boom, play
from tests.support.colour import Colour
from tests.support.otlp import Collector
from tests.support.policies import PATIENT
from tests.support.providers import end_setup, no_providers

PASSWORD = "canary-51c0de-password"
WORDS = (SECRET, PROMPT, PASSWORD)
STATES = pytest.mark.parametrize("state", ["up", "down"])


@pytest.fixture(autouse=True)
def _providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with no_providers(monkeypatch):
        yield


@pytest.fixture(scope="module")
def guarded(redis_binary: str) -> Iterator[RedisServer]:
    """A server with a password."""
    with RedisServer("--requirepass", PASSWORD) as server:
        yield server


def _url(state: str, server: RedisServer) -> str:
    return f"redis://:{PASSWORD}@127.0.0.1:{server.port if state == 'up' else 1}/0"


def _policy(url: str, collector: str, **telemetry: Any) -> dict[str, Any]:
    cache = {"kind": "cache", "db": 1, "scope": "global", "local": {"enabled": False}}
    return {
        "version": 1,
        "app": "app",
        "redis": {"url": url, **PATIENT, "retry": {"attempts": 1}},
        "namespaces": {
            "answers": {**cache, "scope": "user"},
            "llm": cache,
            "ratelimit": {
                "kind": "ratelimit",
                "db": 2,
                "rules": {"chat": {"by": "user_id", "requests": "1/hour"}},
            },
            "sessions": {"kind": "sessions", "db": 3},
            "temp": {"kind": "temp", "db": 4},
            "analytics": {
                "kind": "analytics",
                "db": 5,
                "metrics": {"tokens": {"labels": ["plan"], "values": {"plan": ["free"]}}},
            },
        },
        "telemetry": {
            "spans": "all",
            "key_hash": True,
            "db_spans": True,
            "fleet_stats": True,
            "otlp": {
                "endpoint": collector,
                "timeout": "20s",
                "headers": {"x-key": SECRET},
                **telemetry.pop("otlp", {}),
            },
            **telemetry,
        },
    }


class _Leaving:
    """All that left the process while the scenario was played."""

    def __init__(self, collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
        self.collector = collector
        self.caplog = caplog
        self.errors: list[BaseException] = []
        self.observed: list[object] = []
        self.secrets: list[str] = []

    def exported(self) -> list[bytes]:
        """Give spans and metrics; not the headers, which are meant for the collector."""
        return [request.body for request in self.collector.requests]

    def said(self) -> list[bytes]:
        """Give what people and programs are told in this process."""
        lines = [shown(record) + record.getMessage().encode() for record in self.caplog.records]
        lines += [self.caplog.text.encode()]
        chained = [each for error in self.errors for each in (error, error.__cause__)]
        return lines + [shown(each) for each in (*chained, *self.observed)] + [_prometheus()]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Receive what is sent, until the test ends."""
    with Collector() as one:
        yield one
        end_setup()


Play = Callable[..., _Leaving]


@pytest.fixture
def play_it(
    colour: Colour, guarded: RedisServer, collector: Collector, caplog: pytest.LogCaptureFixture
) -> Play:
    """Have everything called, with Redis up or down, under a policy; return what left the process."""

    def played(state: str, **telemetry: Any) -> _Leaving:
        leaving = _Leaving(collector, caplog)
        with caplog.at_level(logging.DEBUG, "cachepolicy"):
            configure(_policy(_url(state, guarded), collector.url, **telemetry))
            done = setup()
            with observe() as observed:
                outcome = play(colour)
            assert outcome.steps > 40
            assert done.flush(20)
        leaving.errors, leaving.secrets = outcome.errors, outcome.secrets
        leaving.observed = [done, *observed]
        return leaving

    return played


def _prometheus() -> bytes:
    name = "cachepolicy.integrations.prometheus"
    if importlib.util.find_spec(name) is None:
        return b""
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    importlib.import_module(name).register(registry)
    return prometheus_client.generate_latest(registry)


@STATES
def test_o2_nothing_secret_leaves(play_it: Play, state: str) -> None:
    """O2: no prompt, argument, token, key, name or secret is in a span, metric, log, error or observation."""
    leaving = play_it(state)
    assert len(leaving.collector.received.spans()) > 20
    assert "cache.get answers" in leaving.collector.received.span_names()
    assert seen((*WORDS, *leaving.secrets), leaving.exported()) == []
    assert seen((*WORDS, *leaving.secrets), leaving.said()) == []
    assert any("Unavailable" in type(error).__name__ for error in leaving.errors) is (state == "down")
    assert leaving.errors


@STATES
def test_o2_only_content_where_content_is_asked_for(play_it: Play, state: str) -> None:
    """With ``content: true`` arguments and results may be in spans; passwords and tokens are in nothing."""
    leaving = play_it(state, content=True, dialect="openinference")
    assert seen((PASSWORD, *leaving.secrets), leaving.exported()) == []
    assert seen((*WORDS, *leaving.secrets), leaving.said()) == []


def test_o2_the_fleets_figures_name_nobody(
    play_it: Play, guarded: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ``cachepolicy stats`` shows, as text and as JSON, holds nothing of what was called with."""
    leaving = play_it("up")
    close()
    file = tmp_path / "policies.yaml"
    file.write_text(json.dumps(_policy(_url("up", guarded), leaving.collector.url)))
    for more in ([], ["--json"]):
        assert main(["stats", "--policy", str(file), "--since", "3h", *more]) == 0
        told = capsys.readouterr()
        assert seen((*WORDS, *leaving.secrets), [told.out.encode(), told.err.encode()]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"redis": {"url": f"redis://:{SECRET}@host:port/0"}},
        {"redis": {"url": f"{SECRET}://host"}},
        {"redis": {"url": f"redis://user:{SECRET}@[::1/0", "retry": {"attempts": 0}}},
        {"telemetry": {"otlp": {"headers": {"x-key": [SECRET]}}}},
        {"telemetry": {"otlp": {"endpoint": f"http://user:{SECRET}@collector:4318"}}},
        {"namespaces": {"a": {"kind": "cache", "encryption": {"enabled": True, "keys": [SECRET]}}}},
        {"namespaces": {"a": {"kind": "cache", "url": f"redis://:{SECRET}@host:port"}}},
        {"telemetry": {"otlp": {"headers": {"x-key": "${CANARY_VARIABLE}"}}, "sampling": "lots"}},
    ],
    ids=["port", "scheme", "address", "header", "endpoint", "key", "namespace", "variable"],
)
def test_o2_a_wrong_policy_shows_no_secret(wrong: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error about a wrong policy names the place, and no password, key or header that stands there."""
    monkeypatch.setenv("CANARY_VARIABLE", SECRET)
    base = {"version": 1, "app": "app", "namespaces": {"a": {"kind": "cache", "scope": "global"}}}
    with pytest.raises(PolicyError) as raised:
        configure({**base, **wrong})
    assert seen([SECRET], [shown(raised.value), *map(shown, raised.value.problems)]) == []


def test_o2_the_policy_in_use_shows_no_secret(guarded: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the policy in use and what telemetry was set up by say of themselves is no secret."""
    monkeypatch.setenv("CANARY_VARIABLE", SECRET)
    policy = _policy(_url("up", guarded), "http://127.0.0.1:9")
    policy["telemetry"]["otlp"]["headers"] = {"x-key": "${CANARY_VARIABLE}"}
    configure(policy)
    setup()
    loaded = current.current().loaded
    assert room._DONE is not None
    told = [shown(loaded.policy), shown(loaded), shown(loaded.provenance), shown(room._DONE.options)]
    assert seen([SECRET, PASSWORD], told) == []


@pytest.mark.parametrize("word", WORDS)
def test_a_canary_is_found_in_any_form(word: str) -> None:
    """The search finds a planted word as it is, in hex, for a URL, and in base64 wherever it stands."""
    import base64

    for before in (b"", b"a", b"ab", b"abc", b'{"key": "'):
        plain = before + word.encode() + b"; more"
        for text in (plain, plain.hex().encode(), base64.b64encode(plain), base64.urlsafe_b64encode(plain)):
            assert seen([word], [b"before " + text + b" after"])
    assert seen([word], [b"nothing here", word[:8].encode()]) == []
    assert len(set(forms(word))) >= 8
    assert issubclass(Boom, Exception)
