"""What the demo's tests share: a way to run it in an environment that holds nothing of this machine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cachepolicy
from cachepolicy import policy
from tests.support.policies import PATIENT

_OURS = ("OPENAI_", "REDIS_", "CACHEPOLICY_", "OTEL_")
ROOT = Path(cachepolicy.__path__[0]).parent

Demo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep requests to this machine on this machine, whatever proxy it uses for others."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Give a function that runs the demo quickly, away from any policies.yaml, with just this environment.

    Where that names a Redis, the policy is the shipped one with more patience: a busy machine is no fault of
    a Redis. Without one nothing has a deadline.
    """
    away = tmp_path_factory.mktemp("demo")
    patient = away / "patient.yaml"
    settings = {"version": 1, "extends": str(policy.shipped()), "redis": dict(PATIENT)}
    patient.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        here = {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        if "REDIS_URL" in environment:
            here["CACHEPOLICY_FILE"] = str(patient)
        return subprocess.run(
            [sys.executable, "-m", "cachepolicy", "demo", "--think", "0.02", "--questions", "2", *arguments],
            env=clean | here | environment,
            cwd=away,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=50,
        )

    return run


@pytest.fixture(scope="module")
def demo_json(demo: Demo) -> Callable[..., Any]:
    """Give a function that runs the demo and reads what it found."""

    def run(*arguments: str, **environment: str) -> Any:
        done = demo("--json", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
