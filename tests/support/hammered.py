"""Processes that begin together, such as ``tests.support.refresh_hammer``, as a test holds them."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import Any


def hammered(policy: dict[str, Any], *tasks: tuple[str, ...], hammer: str = "refresh_hammer") -> list[Any]:
    """Run a process for each task, all at once; return what became of each."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_start(hammer, policy, task)) for task in tasks]
        for process in processes:
            assert _hear(process) == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return [json.loads(_hear(process)) for process in processes]


def _start(hammer: str, policy: dict[str, Any], task: tuple[str, ...]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"tests.support.{hammer}", json.dumps(policy), *task]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
