"""Who has a policy read again: the watch over its files, and SIGHUP."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import cached, close, configure, reload
from cachepolicy.clock import Clock
from cachepolicy.runtime import current, watching
from cachepolicy.telemetry import config
from tests.support.reloaded import POLICY
from tests.support.waiting import block, until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy in a file."""
    file = tmp_path / "policies.yaml"
    file.write_text(POLICY)
    return file


@pytest.fixture
def watched(file: Path) -> Iterator[Path]:
    """A policy that is in use, in a file."""
    use(file)
    yield file
    close()


def use(file: Path) -> None:
    """Put a policy to use: its first call opens what it needs."""
    configure(file)
    call()


def call() -> None:
    """Make a call that needs a connection."""

    @cached("llm")
    def nothing(question: str) -> str:
        return question

    current.current().stores.opened()


def ttl() -> float:
    """Return what is in force."""
    rule: Any = current.current().loaded.policy.namespaces["answers"]
    return float(rule.ttl.default)


def watches() -> list[threading.Thread]:
    """Return the threads that watch."""
    return [thread for thread in threading.enumerate() if thread.name == "cachepolicy-reload"]


def is_in_force(hours: float) -> None:
    """Wait until an edit is in force."""
    until(lambda: ttl() == hours * 3600, f"{hours} h in force")


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said of policies that were not taken."""
    return [one.getMessage() for one in caplog.records if one.name == "cachepolicy.reload"]


def replace(file: Path, text: str) -> None:
    """Write a file so that nobody sees half of it."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_an_edit_is_in_force_by_itself(watched: Path) -> None:
    """A file that is written anew is what the process goes by, without being asked."""
    watched.write_text(POLICY.replace("1h", "2h"))
    is_in_force(2)


def test_an_edit_before_the_first_call_is_seen(file: Path) -> None:
    """What changed after the file was read and before anybody watched is a change too."""
    configure(file)
    file.write_text(POLICY.replace("1h", "2h"))
    call()
    is_in_force(2)
    close()


def test_an_edit_that_leaves_size_and_time_is_seen(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written twice within one tick of the kernel's clock is another all the same."""
    before = file.stat()
    monkeypatch.setattr(watching, "SYSTEM", Clock(wall=lambda: before.st_mtime))  # all within that tick
    use(file)
    until(lambda: current._WATCHER._stamps, "the first look")
    file.write_text(POLICY.replace("1h", "2h"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    is_in_force(2)
    close()


def test_editors_that_rename_are_seen(watched: Path) -> None:
    """A new file that is moved over the old one is read."""
    for hours in (2, 3):
        new = watched.with_suffix(".new")
        new.write_text(POLICY.replace("1h", f"{hours}h"))
        new.replace(watched)
        is_in_force(hours)


def test_swapped_links_are_seen(tmp_path: Path) -> None:
    """A volume of Kubernetes, where a link to the folder of all files is swapped, is followed."""
    for hours in (1, 2, 3):
        folder = tmp_path / f"..{hours}"
        folder.mkdir()
        (folder / "policies.yaml").write_text(POLICY.replace("1h", f"{hours}h"))
        os.utime(folder / "policies.yaml", (1, 1))  # of the same time and size: only the path leads elsewhere
    link = tmp_path / "..data"
    link.symlink_to("..1")
    (tmp_path / "policies.yaml").symlink_to("..data/policies.yaml")
    use(tmp_path / "policies.yaml")
    for hours in (2, 3):
        new = tmp_path / "..data_tmp"
        new.symlink_to(f"..{hours}")
        new.replace(link)
        is_in_force(hours)
    close()


def test_files_below_and_secrets_are_watched(file: Path, tmp_path: Path) -> None:
    """What the policy extends, and a file that ``${file:…}`` names, are read again when they change."""
    secret = tmp_path / "secret"
    secret.write_text("canary-one")
    below = tmp_path / "below.yaml"
    below.write_text(POLICY)
    text = 'version: 1\nextends: below.yaml\nredis: {password: "${file:%s}"}\n'
    file.write_text(text % secret)
    use(file)
    below.write_text(POLICY.replace("1h", "2h"))
    is_in_force(2)

    def password() -> str:
        found = current.current().loaded.policy.redis.password
        return found.get_secret_value() if found else ""

    assert password() == "canary-one"
    secret.write_text("canary-two")
    until(lambda: password() == "canary-two", "the new secret")
    close()


def test_a_wrong_edit_is_told_once_and_the_next_is_taken(
    watched: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken file changes nothing, is told of once for the same content, and mended it is in force."""
    for broken in (POLICY.replace("1h", "soon"), POLICY.replace("user", "global")):
        rejected = config._RELOADS["rejected"]
        replace(watched, broken)
        until(lambda: complaints(caplog), "the complaint")
        block(0.1)  # looks that must say nothing
        assert config._RELOADS["rejected"] <= rejected + 1  # nor is it tried again
        (told,) = complaints(caplog)
        assert "not reloaded" in told
        assert ttl() == 3600
        caplog.clear()
    watched.write_text(POLICY.replace("1h", "2h"))
    is_in_force(2)


def test_a_file_that_is_gone_and_comes_back(watched: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without its file the process goes on; it takes the one that comes."""
    watched.unlink()
    until(lambda: "cannot be read" in caplog.text, "the complaint")
    assert ttl() == 3600
    watched.write_text(POLICY.replace("1h", "2h"))
    is_in_force(2)


def test_half_a_file_is_not_taken_for_the_whole(watched: Path) -> None:
    """What is written in pieces, each of them a policy, is in force as a whole when it is."""
    before = current.current()
    whole = POLICY.replace("1h", "2h") + "  others: {kind: cache, db: 2, scope: global, ttl: 1h}\n"
    half = whole[: whole.index("  others")]
    with watched.open("w") as writing:
        for piece in ("version: 1\n", half[len("version: 1\n") :], whole[len(half) :]):
            writing.write(piece)
            writing.flush()
            block(0.03)
    until(lambda: "others" in current.current().loaded.policy.namespaces, "the whole")
    assert current.current() is not before
    assert ttl() == 7200


def test_nothing_watches_before_anything_is_called(file: Path) -> None:
    """A process that only loads its policy has no thread; ``close()`` ends it, the next call starts one."""
    configure(file)
    assert watches() == []
    call()
    assert len(watches()) == 1
    close()
    assert watches() == []
    call()
    assert len(watches()) == 1
    close()


@pytest.mark.parametrize("rule", ["{watch: false}", "{watch: false, sighup: false}"])
def test_a_policy_may_say_that_nothing_watches(file: Path, rule: str) -> None:
    """With ``watch: false`` there is no thread, and one that watches ends when its file says so."""
    text = POLICY.replace("{interval: 20ms}", rule)
    file.write_text(text)
    use(file)
    assert watches() == []
    file.write_text(POLICY)
    reload()
    assert len(watches()) == 1
    file.write_text(text)
    until(lambda: watches() == [], "the end of the watch")


def test_a_mapping_is_not_watched() -> None:
    """A policy that came from no file has nothing to look at."""
    configure({"version": 1, "redis": {"url": "memory://"}, "namespaces": {}})
    current.current().stores.opened()
    assert watches() == []


@pytest.fixture
def without_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a process that no terminal ends, with the signal as a new process has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    monkeypatch.setattr("cachepolicy.runtime.watching._has_terminal", lambda: False)
    yield
    signal.signal(signal.SIGHUP, before)


def test_sighup_has_the_policy_read(file: Path, without_terminal: None) -> None:
    """SIGHUP reloads where nothing watches."""
    file.write_text(POLICY.replace("{interval: 20ms}", "{watch: false}"))
    use(file)
    file.write_text(POLICY.replace("1h", "2h").replace("{interval: 20ms}", "{watch: false}"))
    os.kill(os.getpid(), signal.SIGHUP)
    is_in_force(2)


def test_sighup_is_left_to_the_application_and_to_terminals(
    file: Path, without_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler of the application's own stays, as does the end of a process whose terminal is gone."""
    signal.signal(signal.SIGHUP, mine := lambda *_: None)
    use(file)
    assert signal.getsignal(signal.SIGHUP) is mine
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    monkeypatch.setattr("cachepolicy.runtime.watching._has_terminal", lambda: True)
    call()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    monkeypatch.setattr("cachepolicy.runtime.watching._has_terminal", lambda: False)
    call()
    assert signal.getsignal(signal.SIGHUP) not in {signal.SIG_DFL, mine}
    file.write_text(POLICY.replace("{interval: 20ms}", "{sighup: false}"))
    reload()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    close()
