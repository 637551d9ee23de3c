"""What every file of the package keeps to, where no linter says it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.source import PACKAGE, TESTS, Source, sources

MOST_LINES = 300

# Files that may catch everything and go on, each with the reason.
MAY_CATCH_ALL = {
    "cachepolicy/codec/serialize.py": "user code, a validator or __eq__, failed: nothing is cached",
    "cachepolicy/decorators/limited_stream.py": "a part's own attributes may raise: counted, as it passes on",
    "cachepolicy/decorators/metric_options.py": "what user objects do when they are read: counted",
    "cachepolicy/decorators/tracked.py": "a bug is counted; the call has ended, and has its result",
    "cachepolicy/decorators/item_keys.py": "what is not there, or raises, is met again the long way",
    "cachepolicy/flow/accounting.py": "a result's own attributes may raise: counted, and no usage is known",
    "cachepolicy/flow/doubt.py": "what an effect raises is thrown into the flow, which decides",
    "cachepolicy/flow/drive.py": "what an effect raises is thrown into the flow, which decides",
    "cachepolicy/flow/hand.py": "what a piece of work raised is raised where it is waited for",
    "cachepolicy/flow/effects.py": "the decorated function's own error is handed on, whole, to its caller",
    "cachepolicy/flow/limited.py": "a result's own attributes may raise: counted, and the estimate stands",
    "cachepolicy/flow/originate.py": "a bug is counted; the caller gets the function's answer",
    "cachepolicy/flow/keep.py": "cache_if is user code: counted, told, and nothing is kept",
    "cachepolicy/flow/stream.py": "a bug is counted; the readers have had their stream",
    "cachepolicy/flow/tee_async.py": "the function's own error is handed on, whole, to its stream's readers",
    "cachepolicy/flow/weigh.py": "a bug is counted; the caller gets the function's answer",
    "cachepolicy/flow/unison.py": "each flow is told, and what one raises is raised when all have ended",
    "cachepolicy/llm/failures.py": "what a foreign property raises is not what the call failed with",
    "cachepolicy/managers/health_watch.py": "callbacks are user code, and the watch goes on: counted",
    "cachepolicy/runtime/watching.py": "a thread that ended would see no edit: bugs are counted, and told of",
    "cachepolicy/tiers/coherence.py": "a thread that ended would leave L1 stale: bugs are counted",
    "cachepolicy/flow/disclosure.py": "what user objects do when they are told: counted, and nothing is told",
    "cachepolicy/telemetry/db_spans.py": "samplers and processors are user code: they cannot fail a call",
    "cachepolicy/telemetry/tracing.py": "as above",
    "cachepolicy/telemetry/histograms.py": "a meter provider is user code: it cannot fail a call",
    "cachepolicy/telemetry/pipelines.py": "what the SDK raises as it ends is counted: only telemetry is lost",
}

_IGNORE = re.compile(r"#\s*(?:noqa|type:\s*ignore|pyright:\s*ignore)(?P<rest>.*)")
_RULES = re.compile(r"^(?::\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*|\[[\w, -]+\])")


def broad_excepts(source: Source) -> list[str]:
    """Find handlers that catch everything and do not end by raising."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(map(_is_broad, kinds)) and not isinstance(node.body[-1], ast.Raise):
                found.append(f"{source.path}:{node.lineno}")
        elif isinstance(node, ast.Call) and _name(node.func) == "suppress" and any(map(_is_broad, node.args)):
            found.append(f"{source.path}:{node.lineno}")
    return found


def _is_broad(kind: ast.AST | None) -> bool:
    return kind is None or _name(kind) in {"Exception", "BaseException"}


def _name(node: ast.AST | None) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def unexplained_ignores(source: Source) -> list[str]:
    """Find comments that silence a checker without naming the rule and saying why."""
    found = []
    for number, line in enumerate(source.text.splitlines(), start=1):
        if mark := _IGNORE.search(line):
            rules = _RULES.match(mark["rest"])
            if rules is None or not mark["rest"][rules.end() :].strip(" #-"):
                found.append(f"{source.path}:{number}")
    return found


@pytest.mark.parametrize("source", sources(PACKAGE), ids=lambda source: source.path)
def test_a_file_fits_in_the_head(source: Source) -> None:
    """No file of the package is longer than 300 lines."""
    lines = len(source.text.splitlines())
    assert lines <= MOST_LINES


def test_nothing_is_swallowed() -> None:
    """No handler catches everything and goes on, but those allowed by name; each allowed name is in use."""
    found = {source.path: broad_excepts(source) for source in sources(PACKAGE)}
    assert [place for path, places in found.items() if path not in MAY_CATCH_ALL for place in places] == []
    assert [path for path in MAY_CATCH_ALL if not found.get(path)] == []


def test_every_ignore_has_a_reason() -> None:
    """Each comment that silences a checker names the rule and says why."""
    everything = [*sources(PACKAGE), *sources(TESTS)]
    assert [place for source in everything for place in unexplained_ignores(source)] == []


@pytest.mark.parametrize(
    ("handler", "caught"),
    [
        ("except Exception:\n    x = 1", True),
        ("except:\n    x = 1", True),
        ("except (ValueError, BaseException):\n    x = 1", True),
        ("except Exception as error:\n    raise Other from error", False),
        ("except ValueError:\n    x = 1", False),
    ],
)
def test_the_broad_except_gate_bites(handler: str, caught: bool) -> None:
    """A planted handler that swallows everything is found; one that raises, or is narrow, is not."""
    assert bool(broad_excepts(Source("planted.py", f"try:\n    f()\n{handler}"))) is caught


@pytest.mark.parametrize(
    ("comment", "caught"),
    [
        ("noqa", True),
        ("noqa: S101", True),
        ("type: ignore[no-any-return]", True),
        ("noqa: S101  the driver hands it on", False),
        ("type: ignore[no-any-return]  # the stub says Any", False),
    ],
)
def test_the_ignore_gate_bites(comment: str, caught: bool) -> None:
    """A planted ignore without a rule, or without a reason, is found."""
    assert bool(unexplained_ignores(Source("planted.py", f"x = 1  # {comment}"))) is caught
