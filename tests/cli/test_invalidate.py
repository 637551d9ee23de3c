"""``cachepolicy invalidate``: entries end, in Redis and in the processes that hold them."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import close, configure
from cachepolicy.__main__ import main
from cachepolicy.testing.topologies import RedisCluster
from tests.support import explained, greeter
from tests.support.commands import MODULE, command, environment, wait_for

WHO = ("ada", "bob", "eve")
GREETER = "tests.support.greeter:greet"


@pytest.fixture
def policy(redis_url: str, tmp_path: Path) -> Iterator[Path]:
    """Use a policy over a real Redis, where L1 is left only when it is told to."""
    file = tmp_path / "policies.yaml"
    text = explained.POLICY.format(url=redis_url.removesuffix("/0"))
    file.write_text(text.replace("tags: [model]", "local: {blind_ttl: 1m}"))
    configure(file)
    for name in WHO:
        greeter.greet(name)
    close()
    yield file
    close()


def told(capsys: pytest.CaptureFixture[str], policy: Path, *words: str, code: int = 0) -> Any:
    """Invalidate in this process, as JSON."""
    capsys.readouterr()
    assert main(["invalidate", *words, "--policy", str(policy), "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def cached(policy: Path) -> list[str]:
    """Return whose greetings are still cached."""
    configure(policy)
    found = [name for name in WHO if greeter.greet.peek(name) == f"hello {name}"]
    close()
    return found


@pytest.mark.parametrize(
    ("words", "number", "left"),
    [
        (("--namespace", "llm", "--tag", "name=ada"), 1, ["bob", "eve"]),
        (("--namespace", "llm", "--tag", "name=nobody"), 0, ["ada", "bob", "eve"]),
        (("--namespace", "llm", "--tag", "ada"), 0, ["ada", "bob", "eve"]),
        (("--namespace", "llm", "--yes"), 3, []),
        ((GREETER, "--call", "greet('bob')"), 1, ["ada", "eve"]),
        ((GREETER, "--call", "greet('nobody')"), 0, ["ada", "bob", "eve"]),
    ],
)
def test_what_is_meant_ends_and_nothing_else(
    words: Sequence[str], number: int, left: list[str], policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """C5: by tag, namespace or call, entries end and are counted; a dry run counts as many and ends none."""
    dry = told(capsys, policy, *words, "--dry-run")
    assert (dry["entries"], dry["done"]) == (number, False)
    assert cached(policy) == list(WHO)
    done = told(capsys, policy, *words)
    assert (done["entries"], done["all_counted"], done["done"]) == (number, True, True)
    assert cached(policy) == left


def test_what_was_purged_before_is_not_counted(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries that can no longer be served are none, though their bytes are still there."""
    assert told(capsys, policy, "--namespace", "llm", "--tag", "name=ada")["entries"] == 1
    assert told(capsys, policy, "--namespace", "llm", "--dry-run")["entries"] == 2
    assert told(capsys, policy, "--namespace", "llm", "--yes")["entries"] == 2
    assert told(capsys, policy, "--namespace", "llm", "--dry-run")["entries"] == 0
    assert told(capsys, policy, "--namespace", "llm", "--dry-run", "--no-count")["entries"] is None


def test_on_a_cluster(redis_cluster: RedisCluster, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On Redis Cluster an entry is found wherever it lies, and those of all servers are counted and end."""
    text = re.sub(r"db: \d", "db: 0", policy.read_text()).replace(
        "app: shop", f"app: a{random.getrandbits(32)}"
    )
    policy.write_text(re.sub(r'url: "[^"]+"', f'url: "{redis_cluster.url}"', text))
    configure(policy)
    keys = [greeter.greet.key(name) for name in WHO if greeter.greet(name)]
    close()
    for key in keys:
        assert main(["inspect", key, "--policy", str(policy)]) == 0
        assert "a cached answer" in capsys.readouterr().out
    assert told(capsys, policy, "--namespace", "llm", "--tag", "name=ada")["entries"] == 1
    assert cached(policy) == ["bob", "eve"]
    assert told(capsys, policy, "--namespace", "llm", "--yes")["entries"] == 2
    assert cached(policy) == []
    assert main(["top", "--json", "--policy", str(policy)]) == 0
    servers = json.loads(capsys.readouterr().out)["servers"]
    assert len(servers) == 3
    assert all(server["commands"] for server in servers)


def test_by_key(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry ends by its whole key; a key of another application, or kind, is refused."""
    configure(policy)
    key = greeter.greet.key("eve")
    close()
    assert told(capsys, policy, "--key", key)["entries"] == 1
    assert cached(policy) == ["ada", "bob"]
    for strange, why in (
        ("other:llm:x", "no key of this policy"),
        ("shop:sessions:session:x", "of kind sessions"),
    ):
        assert main(["invalidate", "--key", strange, "--policy", str(policy)]) == 1
        assert why in capsys.readouterr().err


def test_out_of_date_only(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C7: what is expired, and not purged, is kept for when there is nothing better."""
    policy.write_text(policy.read_text().replace("ttl: ${", "stale: {if_error: 1h}\n    ttl: ${"))
    configure(policy)
    greeter.greet.refresh("ada")
    close()
    assert told(capsys, policy, "--namespace", "llm", "--tag", "name=ada", "--expire")["how"] == "expired"
    assert "ada" not in cached(policy)
    assert main(["inspect", GREETER, "--call", "greet('ada')", "--policy", str(policy)]) == 0
    assert "expired: it was put out of date" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("--namespace", "llm", "--yes"),
        ("--namespace", "llm", "--tag", "name=ada"),
        (GREETER, "--call", "greet('ada')"),
    ],
    ids=["namespace", "tag", "call"],
)
def test_a_running_process_hears_of_it(words: Sequence[str], policy: Path) -> None:
    """C6: a process that serves an entry from its own memory does so no more."""
    code = "from tests.support.greeter import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(policy)], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            wait_for(process, "ready")
            assert main(["invalidate", *words, "--policy", str(policy)]) == 0
            wait_for(process, "heard")
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("typed", "code", "left"), [("y\n", 0, []), ("\n", 1, list(WHO)), ("no\n", 1, list(WHO))]
)
def test_a_whole_namespace_is_asked_for(typed: str, code: int, left: list[str], policy: Path) -> None:
    """On a terminal a question comes before a whole namespace goes, and only yes is yes."""
    master, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "cachepolicy", "invalidate", "--namespace", "llm"],
            cwd=policy.parent,
            env=environment(),
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.write(master, typed.encode())
            _, asked = process.communicate(timeout=30)
    finally:
        os.close(master)
        os.close(terminal)
    assert "Invalidate 3 entries of namespace llm? [y/N]" in asked
    assert process.returncode == code
    assert cached(policy) == left


def test_where_nobody_can_be_asked(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a script a whole namespace goes with --yes only; a line that says two things or none is refused."""
    ended = command(policy.parent, "invalidate", "--namespace", "llm")
    assert ended.code == 1
    assert "say --yes" in ended.err
    assert cached(policy) == list(WHO)
    for words in ((), ("--tag", "a=b"), (f"{MODULE}:price",), ("--key", "k", "--namespace", "llm")):
        with pytest.raises(SystemExit, match="2"):
            main(["invalidate", *words])
    assert main(["invalidate", "--namespace", "sessions", "--policy", str(policy)]) == 1
    assert "of kind sessions" in capsys.readouterr().err


def test_typed_values_of_tags(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tag's value is text unless it is said to be Python's: 7 and "7" are different."""
    configure(policy)
    greeter.greet(7)  # type: ignore[arg-type] # what callers do
    close()
    assert told(capsys, policy, "--namespace", "llm", "--tag", "name=7", "--dry-run")["entries"] == 0
    words = ("--namespace", "llm", "--tag", "name=7", "--literal")
    assert told(capsys, policy, *words)["entries"] == 1
    assert main(["invalidate", *words[:3], "name=open('x')", "--literal", "--policy", str(policy)]) == 1
    assert "expected a literal" in capsys.readouterr().err
