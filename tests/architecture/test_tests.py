"""What the tests themselves promise: each says its promise, and none waits for the clock on the wall."""

from __future__ import annotations

import ast

import pytest

from tests.support.source import TESTS, Source, functions, sources

# Files that may sleep, each with the reason why no clock, event or condition can do it.
MAY_SLEEP = {
    "tests/support/waiting.py": "what other processes do is polled; and a loop is blocked on purpose"
}


def without_docstring(source: Source) -> list[str]:
    """Name the tests of a file that do not say what they promise."""
    return [
        f"{source.path}:{function.lineno} {function.name}"
        for function in functions(source.tree)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]


def sleeps(source: Source) -> list[str]:
    """Find the calls that sleep; ``sleep(0)`` only yields, so it is none."""
    return [
        f"{source.path}:{node.lineno}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "sleep"
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]


def test_every_test_says_its_promise() -> None:
    """Every test has a docstring."""
    assert [name for source in sources(TESTS) for name in without_docstring(source)] == []


def test_no_test_sleeps() -> None:
    """No test sleeps, but those allowed by name; and each allowed name is in use."""
    found = {source.path: sleeps(source) for source in sources(TESTS)}
    assert [place for path, places in found.items() if path not in MAY_SLEEP for place in places] == []
    assert [path for path in MAY_SLEEP if not found.get(path)] == []


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("def test_a(): pass", True),
        ("async def test_a(): 'It holds.'", False),
        ("def helper(): pass", False),
    ],
)
def test_the_docstring_gate_bites(text: str, caught: bool) -> None:
    """A planted test without a docstring is found; helpers and documented tests are not."""
    assert bool(without_docstring(Source("planted.py", text))) is caught


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("time.sleep(0.1)", True),
        ("await asyncio.sleep(delay)", True),
        ("sleep(1)", True),
        ("asyncio.sleep(0)", False),
    ],
)
def test_the_sleep_gate_bites(text: str, caught: bool) -> None:
    """A planted sleep is found, however it is spelled; giving way to other tasks is not one."""
    assert bool(sleeps(Source("planted.py", f"async def f():\n    {text}"))) is caught
