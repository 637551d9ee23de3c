"""Editors know policies.yaml: the language server that they use completes, explains and checks it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.language_server import LanguageServer, NoLanguageServer, language_server
from tests.support.source import ROOT

HEAD = f"# yaml-language-server: $schema={(ROOT / 'cachepolicy/policy/policies.schema.json').as_uri()}\n"


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    """Run a language server; without a network, the first time, there is none: in CI that is an error."""
    try:
        with language_server(ROOT) as running:
            yield running
    except NoLanguageServer as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def test_the_shipped_policy_is_known_and_fine(server: LanguageServer) -> None:
    """In a checkout, the shipped policy leads an editor to its schema, and nothing in it is marked."""
    path = ROOT / "policies.yaml"
    uri = server.open(path, path.read_text(encoding="utf-8"))
    assert server.problems(uri) == []
    line = next(n for n, each in enumerate(path.read_text().splitlines(), 1) if "connect_timeout" in each)
    assert "The most that a new connection may take" in server.hover(uri, line, 5)


def test_settings_are_completed(server: LanguageServer, tmp_path: Path) -> None:
    """Below a cache, its settings are offered, and none of another kind; for a setting, its words."""
    text = f"{HEAD}version: 1\nnamespaces:\n  llm:\n    kind: cache\n    scope: \n    \n"
    uri = server.open(tmp_path / "a.yaml", text)
    offered = server.completions(uri, 7, 5)
    assert {"ttl", "jitter", "on_fault", "stampede"} <= set(offered)
    assert not {"rules", "max_per_user", "retention"} & set(offered)
    assert {"global", "tenant", "user"} <= set(server.completions(uri, 6, 12))


def test_kinds_are_completed(server: LanguageServer, tmp_path: Path) -> None:
    """The kinds of namespaces are offered."""
    uri = server.open(tmp_path / "b.yaml", f"{HEAD}version: 1\nnamespaces:\n  llm:\n    kind: \n")
    assert {"cache", "sessions", "ratelimit", "analytics", "temp"} <= set(server.completions(uri, 5, 11))


def test_settings_are_explained(server: LanguageServer, tmp_path: Path) -> None:
    """What a setting means, and its built-in value, is shown where the pointer rests."""
    text = f"{HEAD}version: 1\nnamespaces:\n  llm:\n    kind: cache\n    scope: global\n    jitter: 5%\n"
    told = server.hover(server.open(tmp_path / "c.yaml", text), 7, 7)
    assert "do not end in one moment" in told
    assert "10%" in told


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ("    tll: 1h", 7),
        ("    ttl: 1 hour", 7),
        ("    on_fault: ignore", 7),
        ("    local: {max_bytes: 64 MB}", 7),
    ],
)
def test_mistakes_are_marked(server: LanguageServer, tmp_path: Path, lines: str, line: int) -> None:
    """A mistake is marked on its line, and on no other."""
    text = f"{HEAD}version: 1\nnamespaces:\n  llm:\n    kind: cache\n    scope: global\n{lines}\n"
    found = server.problems(server.open(tmp_path / f"{abs(hash(lines))}.yaml", text))
    assert {at for at, _ in found} == {line}


def test_variables_are_fine(server: LanguageServer, tmp_path: Path) -> None:
    """What comes out of a variable is marked nowhere, whatever the setting."""
    redis = 'redis: {url: "${REDIS_URL}", tls: "${TLS}", deadline: "${DEADLINE:-1s}"}'
    text = f"{HEAD}version: 1\n{redis}\n"
    assert server.problems(server.open(tmp_path / "d.yaml", text)) == []
