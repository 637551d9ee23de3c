"""C3 and C4 over processes: one origin call for all, however its leader ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from cachepolicy.clock import SYSTEM
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.entries import FAILED, Verdict, acquire, release
from cachepolicy.tiers.notices import Names
from tests.support.peer import PATIENCE, Folder, Peer, Told, peers
from tests.support.policies import cache_policy
from tests.support.waiting import until

LEASE = 3.0  # renewed each second: a process may get no CPU for two
LONGER = 1.5 * LEASE  # than a lease that is renewed once
LONG_LEASE = 12.0
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(redis_binary: str) -> Iterator[RedisServer]:
    """One server for this file."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Where origins wait, and are counted."""
    return Folder(tmp_path_factory.mktemp("peers"))


@pytest.fixture(scope="module")
def crew(server: RedisServer, folder: Folder) -> Iterator[list[Peer]]:
    """Four processes whose leases are short."""
    with peers(4, _policy(server, LEASE), folder) as crew:
        yield crew


@pytest.fixture(scope="module")
def pair(server: RedisServer, folder: Folder) -> Iterator[list[Peer]]:
    """Two processes whose leases are long: who has to wait for the end of one is found out."""
    with peers(2, _policy(server, LONG_LEASE), folder) as pair:
        yield pair


def _policy(server: RedisServer, lease: float, **local: Any) -> dict[str, Any]:
    return cache_policy(server.url, stampede={"lease": f"{lease}s", "wait": "30s"}, local=local)


def _question(how: str) -> str:
    """Ask what nobody asked before."""
    return f"{how} {next(_numbers)}"


def _led(leader: Peer, folder: Folder, question: str, threads: int = 1, tasks: int = 0) -> Any:
    """Have a peer ask, and its origin work."""
    asked = leader.ask(question, threads, tasks)
    until(lambda: folder.calls(question) == 1, "the origin")
    return asked


def _values(told: list[Told]) -> set[str]:
    assert [one.error for one in told] == [None] * len(told)
    return {one.value["made"] for one in told}


def _known(command: Command[Any]) -> Command[Any]:
    """Bring a script along, where the command needs one."""
    return command.with_source()


# one call


@pytest.mark.parametrize(("threads", "tasks"), [(12, 0), (0, 12), (6, 6)], ids=["threads", "tasks", "mixed"])
def test_c3_four_processes_make_one_origin_call(
    crew: list[Peer], folder: Folder, threads: int, tasks: int
) -> None:
    """C3: who asks for a cold key, in whatever process, gets the answer of one origin call.

    Of aiocache: three processes, three calls (aiocache#979).
    """
    question = _question("slow 0.2")
    asked = [peer.ask(question, threads, tasks) for peer in crew]
    told = [one for future in asked for one in future.result(PATIENCE)]
    assert len(told) == 4 * 12
    assert len(_values(told)) == 1
    assert folder.calls(question) == 1
    assert max(one.seconds for one in told) < LEASE  # they were told of the value


@pytest.mark.parametrize("task", [False, True], ids=["def", "async def"])
def test_c3_a_lease_is_renewed_while_the_origin_runs(crew: list[Peer], folder: Folder, task: bool) -> None:
    """C3: an origin that takes longer than the lease is called once.

    Of aiocache: a lease of 2 s, an origin of 3 s, twenty calls.
    """
    question = _question(f"slow {LONGER}")
    asked = [peer.ask(question, int(not task), int(task)) for peer in crew]
    assert len(_values([future.result(PATIENCE)[0] for future in asked])) == 1
    assert folder.calls(question) == 1


def test_c3_a_busy_loop_keeps_its_lease(crew: list[Peer], folder: Folder) -> None:
    """C3: a lease is renewed by a thread, so a task that blocks its loop does not lose it."""
    question = _question("gated")
    leader = crew[0].ask(question, 0, 1)  # its origin blocks the loop, waiting for the gate
    until(lambda: folder.calls(question) == 1, "the origin")
    followers = [peer.ask(question, 1) for peer in crew[1:]]
    asked = SYSTEM.monotonic()
    until(lambda: SYSTEM.monotonic() - asked > LONGER, "the end of a lease")
    folder.open(question)
    told = [one for future in (leader, *followers) for one in future.result(PATIENCE)]
    assert len(_values(told)) == 1
    assert folder.calls(question) == 1


@pytest.mark.parametrize("mode", ["tracking", "pubsub"])
def test_c3_who_waits_does_not_spin(redis_binary: str, folder: Folder, mode: str) -> None:
    """C3: waiting for longer than a lease costs a process five commands.

    Of cashews: 20,794 of them in three seconds.
    """
    with (
        RedisServer() as server,
        peers(2, _policy(server, LEASE, coherence=mode), folder) as (leader, follower),
    ):
        question = _question(f"slow {LONGER}")
        leading = _led(leader, folder, question)
        before = follower.do("commands")
        following = follower.ask(question, 5, 5)
        assert len(_values(leading.result(PATIENCE) + following.result(PATIENCE))) == 1
        assert follower.do("commands") - before <= 5
        assert folder.calls(question) == 1


# the leader ends


def test_c3_a_killed_leader_is_succeeded_within_a_lease(
    server: RedisServer, crew: list[Peer], folder: Folder
) -> None:
    """C3: after `kill -9` of the leader one of those who wait takes over within a lease, and only one.

    Of cashews: the key stays locked for as long as its value would have lived.
    """
    question = _question("gated")
    with peers(1, _policy(server, LEASE), folder) as (leader,):
        _led(leader, folder, question)
        following = [peer.ask(question, 2, 2) for peer in crew]
        leader.kill()
        killed = SYSTEM.monotonic()
        until(lambda: folder.calls(question) == 2, "a successor")
        assert SYSTEM.monotonic() - killed < 2 * LEASE
    folder.open(question)
    told = [one for future in following for one in future.result(PATIENCE)]
    assert len(_values(told)) == 1
    assert folder.calls(question) == 2


def test_c3_a_zombie_does_not_overwrite_what_is_newer(crew: list[Peer], folder: Folder) -> None:
    """C3: a leader that stood still past its lease stores nothing over the value of its successor.

    It answers its own callers; neither Redis nor its L1 keeps that.
    """
    zombie, successor, witness, _ = crew
    question = _question("gated")
    stood = _led(zombie, folder, question)
    zombie.pause()
    try:
        asked = successor.ask(question, 1)
        until(lambda: folder.calls(question) == 2, "a successor")
        folder.open(question)
        (newer,) = _values(asked.result(PATIENCE))
    finally:
        zombie.resume()
    assert _values(stood.result(PATIENCE)) != {newer}
    assert zombie.do("errors")["overtaken"] >= 1
    assert _values([peer.one(question) for peer in (witness, zombie, successor)]) == {newer}
    assert folder.calls(question) == 2


@pytest.mark.parametrize("task", [False, True], ids=["def", "async def"])
def test_c3_a_failed_leader_hands_over_at_once(pair: list[Peer], folder: Folder, task: bool) -> None:
    """C3: where the origin raises all who wait in its process get the error; another process goes on at once.

    Of FusionCache: a lock that is not released (FusionCache#644).
    """
    leader, follower = pair
    question = _question("failing-first")
    asked = leader.ask(question, 3 * (not task), 3 * task)
    until(lambda: folder.calls(question) == 1, "the origin")
    until(lambda: leader.do("aboard", question) >= 2, "all who wait in its process")
    following = follower.ask(question, 2, 2)
    until(lambda: follower.do("waits", question), "a wait")
    folder.open(question)
    assert {one.error for one in asked.result(PATIENCE)} == {"LookupError"}
    told = following.result(PATIENCE)
    assert len(_values(told)) == 1
    assert folder.calls(question) == 2
    assert max(one.seconds for one in told) < LONG_LEASE / 2


def test_c3_an_error_reaches_every_process(crew: list[Peer], folder: Folder) -> None:
    """C3: an origin that always raises is called once for each process, and everybody gets the error."""
    question = _question("failing")
    folder.open(question)
    asked = [peer.ask(question, 3, 3) for peer in crew]
    told = [one for future in asked for one in future.result(PATIENCE)]
    assert {one.error for one in told} == {"LookupError"}
    assert folder.calls(question) <= len(told)


def test_c4_cancelling_all_callers_keeps_the_answer(pair: list[Peer], folder: Folder) -> None:
    """C4: when all callers of a process are cancelled its origin goes on, and another process has the answer.

    Of cashews and theine: everybody is cancelled.
    """
    leader, follower = pair
    question = _question("held")
    assert leader.do("cancel", question, 3) == ["CancelledError"] * 3
    following = follower.ask(question, 1, 1)
    folder.open(question)
    assert len(_values(following.result(PATIENCE))) == 1
    assert folder.calls(question) == 1


def test_c3_an_interrupted_origin_releases_its_lease(pair: list[Peer], folder: Folder) -> None:
    """C3: KeyboardInterrupt in an origin ends its caller and its lease, and another process goes on."""
    leader, follower = pair
    question = _question("interrupted")
    asked = _led(leader, folder, question)
    following = follower.ask(question, 1)
    folder.open(question)
    assert [one.error for one in asked.result(PATIENCE)] == ["KeyboardInterrupt"]
    (told,) = following.result(PATIENCE)
    assert told.error is None
    assert told.seconds < LONG_LEASE / 2


def test_c4_a_closed_loop_loses_its_lease(pair: list[Peer], folder: Folder) -> None:
    """C4: the lease of a load whose loop was closed is released before it runs out.

    Its own process does not wait even for that.
    """
    leader, follower = pair
    question = _question("held")
    leader.do("lose_loop", question)
    folder.open(question)
    told = follower.one(question)
    assert told.error is None
    assert told.seconds < LONG_LEASE * 2 / 3  # the next renewal would be due at a third
    question = _question("held")
    leader.do("lose_loop", question)
    folder.open(question)
    assert leader.one(question).seconds < LONG_LEASE / 4


# Redis ends, or says no


def test_c3_a_store_that_fails_holds_up_nobody(redis_binary: str, folder: Folder) -> None:
    """C3: a value that cannot be stored reaches its callers, and its lease holds up nobody.

    Of FusionCache: a failed write leaves the lock held (FusionCache#646).
    """
    with RedisServer() as server, peers(2, _policy(server, LONG_LEASE), folder) as (leader, follower):
        question = _question("gated")
        leading = _led(leader, folder, question)
        following = follower.ask(question, 2, 2)
        until(lambda: follower.do("waits", question), "a wait")
        server.command("CONFIG", "SET", "maxmemory", "1")
        folder.open(question)
        assert len(_values(leading.result(PATIENCE))) == 1
        told = following.result(PATIENCE)
        assert len(_values(told)) == 1
        assert max(one.seconds for one in told) < LONG_LEASE / 3
        server.command("CONFIG", "SET", "maxmemory", "0")
        assert follower.one(_question("quick")).error is None


def test_c3_redis_may_end_while_a_leader_works(redis_binary: str, folder: Folder) -> None:
    """C3: `kill -9` of Redis while a leader works: everybody is answered soon; then all is as it was."""
    with RedisServer() as server, peers(2, _policy(server, LONG_LEASE), folder) as (leader, follower):
        question = _question("gated")
        leading = _led(leader, folder, question, 1, 1)
        following = follower.ask(question, 2, 2)
        until(lambda: follower.do("waits", question), "a wait")
        server.kill()
        until(lambda: folder.calls(question) == 2, "the follower's own call")
        server.start()
        folder.open(question)
        told = leading.result(PATIENCE) + following.result(PATIENCE)
        assert [one.error for one in told] == [None] * 6
        assert max(one.seconds for one in told) < LONG_LEASE
        for peer in (leader, follower):
            peer.do("await_live", True)
        until(lambda: leader.one(_question("quick")).outcome == "miss", "Redis to be asked again")
        until(lambda: follower.one(_question("quick")).outcome == "miss", "Redis to be asked again")
        question = _question("slow 0.1")
        assert len(_values([*leader.ask(question, 1).result(PATIENCE), follower.one(question)])) == 1
        assert folder.calls(question) == 1


@pytest.mark.parametrize(
    "rights", [("-client", "resetchannels"), ("resetchannels",)], ids=["nothing heard", "leases not heard"]
)
def test_c3_without_pushes_followers_poll(redis_binary: str, folder: Folder, rights: tuple[str, ...]) -> None:
    """C3: where changes, or leases, are not heard of, who waits gets the value by asking now and then."""
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "app", "reset", "on", ">pw", "~*", "&*", "+@all", *rights)
        policy = _policy(server, LEASE)
        policy["redis"] |= {"username": "app", "password": "pw"}
        with peers(2, policy, folder, live="-client" not in rights) as (leader, follower):
            question = _question(f"slow {LONGER}")
            leading = _led(leader, folder, question)
            (told,) = follower.ask(question, 1).result(PATIENCE)
            assert _values([told, *leading.result(PATIENCE)]) == {told.value["made"]}
            assert folder.calls(question) == 1
            assert told.seconds < LONGER + 2 * LEASE


def test_c3_a_lost_push_is_made_up_for(server: RedisServer, crew: list[Peer], folder: Folder) -> None:
    """C3: connections that tell of changes are cut while others wait: the value comes all the same."""
    question = _question("slow 1")
    leading = _led(crew[0], folder, question)
    following = [peer.ask(question, 1, 1) for peer in crew[1:]]
    for _ in range(3):
        server.command("CLIENT", "KILL", "TYPE", "pubsub")
    told = [one for future in (leading, *following) for one in future.result(PATIENCE)]
    assert len(_values(told)) == 1
    assert folder.calls(question) == 1
    for peer in crew:
        peer.do("await_live", True)


# what is not another's


def test_c3_a_function_does_not_wait_for_its_own_lease(pair: list[Peer], folder: Folder) -> None:
    """C3: a function that calls itself and another, while its lease is held, goes through (cachebox#54)."""
    question = _question("quick")
    made = [peer.do("ask_nested", question) for peer in pair]
    assert made[0] == made[1]
    assert (folder.calls(f"outer {question}"), folder.calls(question)) == (2, 1)


def test_c3_one_who_failed_is_succeeded_by_one(server: RedisServer) -> None:
    """C3: of those who try again after a failure one gets the lease, and none takes it from another."""
    store = redis_sync.connect(Place(Endpoint(server.url, connect_timeout=5), 1))
    names, key = Names.of("test"), "test:answers:failed"
    try:
        assert store.execute(_known(acquire(key, "a", 10, b"")), 5).verdict is Verdict.GRANTED
        assert store.execute(_known(release(key, "a", 10, names)), 5)
        assert store.execute(_known(acquire(key, "b", 10, b"")), 5).verdict is Verdict.COOLING
        assert store.execute(_known(acquire(key, "b", 10, b"", over=FAILED)), 5).verdict is Verdict.GRANTED
        assert store.execute(_known(acquire(key, "c", 10, b"", over=FAILED)), 5).verdict is Verdict.HELD
        assert store.execute(_known(acquire(key, "c", 10, b"", over="b")), 5).verdict is Verdict.GRANTED
    finally:
        store.close()
