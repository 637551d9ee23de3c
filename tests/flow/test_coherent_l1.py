"""C6 through decorated functions: what one process changes, no other goes on answering."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import cached, configure
from cachepolicy.clock import SYSTEM
from cachepolicy.codec.codec import Codec
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster, RedisSentinel
from cachepolicy.tiers.listener import NullWatch
from tests.support.colour import Colour
from tests.support.peer import PATIENCE, Folder, Peer, peers
from tests.support.policies import cache_policy
from tests.support.waiting import until

PLACES = ["tracking", "pubsub", "cluster", "valkey"]
KEYS = 200
SOON = 10.0  # seconds: a busy machine may leave a process alone; what nobody hears of lasts for a minute
_numbers = itertools.count()

Pair = tuple[Peer, Peer]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Where origin calls are counted."""
    return Folder(tmp_path)


@pytest.fixture(scope="module", params=PLACES)
def trio(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Peer]]:
    """Two processes with an L1, and one without, at each kind of server and in each mode."""
    place: str = request.param
    fixture = {"cluster": "redis_cluster", "valkey": "valkey_server"}.get(place, "redis_server")
    server: RedisServer | RedisCluster = request.getfixturevalue(fixture)
    local = {"coherence": "pubsub" if place == "pubsub" else "auto"}
    policy = _policy(server.url, place, local)
    bare = _policy(server.url, place, {"enabled": False})
    folder = Folder(tmp_path_factory.mktemp("peers"))
    with peers(2, policy, folder) as pair, peers(1, bare, folder, live=False) as others:
        yield [*pair, *others]


def _policy(url: str, app: str, local: dict[str, Any]) -> dict[str, Any]:
    return cache_policy(url, db=0, local=local) | {"app": f"coherent-{app}"}


def _question() -> str:
    return f"quick {next(_numbers)}"


def _both_hold(writer: Peer, reader: Peer, question: str) -> str:
    """Have one process make an answer, and both hold it in L1."""
    first = writer.one(question)
    assert first.outcome == "miss"
    assert reader.one(question).tier == "l2"

    def is_held() -> bool:  # what it hears late of earlier changes, of a tag's first version say, empties L1
        return reader.one(question).tier == "l1" and reader.do("held", [question]) == [first.value]

    until(is_held, "an answer from L1")
    return str(first.value["made"])


def _catch_up(reader: Peer, other: Peer) -> None:
    """Wait until a process has heard all that was said so far: of a tag's first version, say."""
    question = _question()
    _both_hold(other, reader, question)
    other.do("purge_tag", "")
    until(lambda: reader.do("held", [question]) == [None], "the last that was said")


# changes


@pytest.mark.parametrize("verb", ["invalidate", "expire"])
def test_c6_what_one_process_ends_another_does_not_answer(trio: list[Peer], verb: str) -> None:
    """C6: an answer that is invalidated, or expired, in one process leaves the L1 of another at once."""
    writer, reader, _ = trio
    question = _question()
    old = _both_hold(writer, reader, question)
    assert writer.do(verb, question) is True
    ended = SYSTEM.monotonic()
    until(lambda: reader.do("held", [question]) == [None], "L1 to let go")
    assert SYSTEM.monotonic() - ended < SOON
    again = reader.one(question)
    assert again.outcome == "miss"
    assert again.value["made"] != old
    assert writer.one(question).value == again.value


def test_c6_a_new_value_is_seen_by_another_process(trio: list[Peer]) -> None:
    """C6: an answer that is made anew in one process is what another answers, at once."""
    writer, reader, _ = trio
    question = _question()
    _both_hold(writer, reader, question)
    new = writer.do("refresh", question)
    made = SYSTEM.monotonic()
    until(lambda: reader.one(question).value == new, "the new value")
    assert SYSTEM.monotonic() - made < SOON
    assert writer.one(question).value == new


def test_c6_a_tag_is_purged_in_every_process(trio: list[Peer]) -> None:
    """C6: a tag that is purged in one process leaves nothing that carries it in the L1 of another."""
    writer, reader, _ = trio
    questions = [_question() for _ in range(5)]
    old = [_both_hold(writer, reader, question) for question in questions]
    writer.do("purge_tag", "")
    until(lambda: reader.do("held", questions) == [None] * 5, "L1 to let go")
    assert not {reader.one(question).value["made"] for question in questions} & set(old)


def test_c6_own_writes_stay(trio: list[Peer]) -> None:
    """C6: what a process has just stored it answers from L1, though Redis tells it of that very change."""
    writer, other, _ = trio

    def tiers() -> list[str]:
        _catch_up(writer, other)
        questions = [_question() for _ in range(30)]
        assert [writer.one(question).outcome for question in questions] == ["miss"] * 30
        return [writer.one(question).tier for question in questions]

    def missed() -> tuple[
        int, int
    ]:  # who missed anything keeps nothing: of one who spoke before it heard, say
        heard = writer.do("heard")
        return heard["losses"], heard["gaps"]

    before, found = (-1, -1), [""]
    while before != (before := missed()):
        found = tiers()
    assert found == ["l1"] * 30


def test_c6_writers_at_once_leave_one_truth(trio: list[Peer]) -> None:
    """C6: after two processes wrote 200 answers at once none answers anything but what Redis holds.

    Of cashews: 128 of 200 keys wrong until their TTL.
    """
    first, second, bare = trio
    questions = [_question() for _ in range(KEYS)]
    dice = random.Random(7)
    working = [
        peer.start("refresh_all", dice.sample(questions, KEYS)) for peer in (first, second) for _ in range(2)
    ]
    for work in working:
        work.result(PATIENCE)
    truth = bare.do("values", questions)
    assert len({value["made"] for value in truth}) == KEYS

    def agree() -> bool:
        held = [peer.do("held", questions) for peer in (first, second)]
        return all(one in (None, true) for each in held for one, true in zip(each, truth, strict=True))

    until(agree, "all to hold what Redis holds")
    assert first.do("values", questions) == second.do("values", questions) == truth


def test_c6_a_flushed_server_is_noticed(redis_binary: str, folder: Folder) -> None:
    """C6: FLUSHALL is told of where Redis itself tells of changes: all of L1 goes."""
    with RedisServer() as server, peers(2, _policy(server.url, "flush", {}), folder) as (writer, reader):
        question = _question()
        _both_hold(writer, reader, question)
        server.command("FLUSHALL")
        until(lambda: reader.do("held", [question]) == [None], "L1 to let go")
        assert reader.one(question).outcome == "miss"


# blindness


@pytest.mark.parametrize("mode", ["tracking", "pubsub"])
def test_c6_a_lost_connection_costs_all_that_is_held(redis_binary: str, folder: Folder, mode: str) -> None:
    """C6: with the connection goes all that is held; while nothing is heard `local.blind_ttl` rules.

    Of FusionCache: L1 is not flushed when a subscriber comes back.
    """
    local = {"coherence": mode, "blind_ttl": "1s"}
    with RedisServer() as server, peers(2, _policy(server.url, "lost", local), folder) as (writer, reader):
        question = _question()
        _both_hold(writer, reader, question)
        server.kill()
        reader.do("await_live", False)
        assert reader.do("held", [question]) == [None]
        blind = _question()
        assert reader.one(blind).tier == "origin"
        asked = SYSTEM.monotonic()
        until(lambda: reader.one(blind).tier == "l1", "an answer from L1")  # it may end at once
        until(lambda: reader.one(blind).tier == "origin", "the answer to end")
        assert SYSTEM.monotonic() - asked < 1 + SOON
        server.start()
        for peer in (writer, reader):
            peer.do("await_live", True)
        until(lambda: writer.one(_question()).outcome == "miss", "Redis to be asked again")
        until(lambda: reader.one(_question()).outcome == "miss", "Redis to be asked again")
        question = _question()
        _both_hold(writer, reader, question)
        writer.do("invalidate", question)
        until(lambda: reader.do("held", [question]) == [None], "L1 to let go")
        assert reader.do("heard")["losses"] >= 1


def test_c6_a_server_that_stands_still_is_noticed(redis_binary: str, folder: Folder) -> None:
    """C6: SIGSTOP of Redis closes nothing; within seconds L1 is empty all the same, and afterwards live."""
    with RedisServer() as server, peers(2, _policy(server.url, "still", {}), folder) as (writer, reader):
        question = _question()
        _both_hold(writer, reader, question)
        server.pause()
        paused = SYSTEM.monotonic()
        try:
            reader.do("await_live", False)
            assert SYSTEM.monotonic() - paused < 4 + SOON
            assert reader.do("held", [question]) == [None]
        finally:
            server.resume()
        reader.do("await_live", True)


def test_c6_a_failover_is_followed(redis_sentinel: RedisSentinel, folder: Folder) -> None:
    """C6: after a failover by sentinels changes are heard from the new master."""
    with peers(2, _policy(redis_sentinel.url, "failover", {}), folder) as (writer, reader):
        question = _question()
        _both_hold(writer, reader, question)
        losses = reader.do("heard")["losses"]
        redis_sentinel.failover()
        until(lambda: reader.do("heard")["losses"] > losses, "the loss")
        for peer in (writer, reader):
            peer.do("await_live", True)
        until(lambda: writer.one(_question()).outcome == "miss", "the new master")
        until(lambda: reader.one(_question()).outcome == "miss", "the new master")
        question = _question()
        _both_hold(writer, reader, question)
        writer.do("invalidate", question)
        until(lambda: reader.do("held", [question]) == [None], "L1 to let go")


@pytest.mark.parametrize("local", [{"coherence": "off"}, {"coherence": "pubsub"}], ids=["off", "unsaid"])
def test_c6_nothing_is_staler_than_the_policy_says(
    redis_binary: str, folder: Folder, local: dict[str, Any]
) -> None:
    """C6: where a change is not told, or not heard, an answer ends with `local.ttl`."""
    policy = _policy("", "ttl", local | {"ttl": "700ms"})
    with RedisServer() as server:
        policy["redis"]["url"] = server.url
        with peers(2, policy, folder, live=local["coherence"] != "off") as (writer, reader):
            question = _question()
            old = writer.one(question).value
            assert reader.one(question).value == old
            if local["coherence"] == "off":
                new = writer.do("refresh", question)
            else:
                server.command("FLUSHALL")  # pub/sub has no word for it
                new = None
            changed = SYSTEM.monotonic()
            until(lambda: reader.one(question).value != old, "the answer to end")
            assert SYSTEM.monotonic() - changed < 0.7 + SOON
            if new is not None:
                assert reader.one(question).value == new
                assert reader.do("heard")["live"] is False


def test_c6_what_was_read_unheard_is_not_trusted(
    colour: Colour, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: an answer that was read while nobody listened is held for `local.blind_ttl` only.

    Also where somebody listens by the time it arrives: it may have changed in between.
    """
    configure(cache_policy(own_redis.url, local={"ttl": "1h", "blind_ttl": "1s"}))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    def ask() -> None:
        assert asyncio.run(ask_async()) == "why?" if colour.is_async else answer("why?")

    async def ask_async() -> str:
        told: str = await answer("why?")
        await current.current().stores.aclose()
        return told

    plan = answer.policy._binding.bound().plan
    watch = plan.site.hearing.watch = NullWatch(live=True)
    ask()
    (entry,) = plan.table.values()
    assert entry.until - SYSTEM.monotonic() > 3000
    plan.local.flush()
    watch.live = False

    unseal = Codec.unseal

    def begin_to_hear(codec: Codec, blob: bytes, key: str) -> Any:
        watch.live = True
        return unseal(codec, blob, key)

    monkeypatch.setattr(Codec, "unseal", begin_to_hear)  # it comes between the reply and L1
    ask()
    assert watch.live
    (entry,) = plan.table.values()
    assert entry.until - SYSTEM.monotonic() <= 1
