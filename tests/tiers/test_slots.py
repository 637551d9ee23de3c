from __future__ import annotations

import random
from typing import Any

import pytest
from hiredis import ReplyError

from cachepolicy.errors import Fault, StoreError, StoreMisconfigured, StoreUnavailable
from cachepolicy.tiers.commands import head
from cachepolicy.tiers.replies import SLOTS, Redirected, refused, store_error
from cachepolicy.tiers.routing import Itinerary
from cachepolicy.tiers.slots import Owners, read_owners, slot_of
from cachepolicy.tiers.topology import Topology, Turn

ASKED = ("seed", 7000)
ONE, TWO, THREE = ("one", 1), ("two", 2), ("three", 3)


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _known(time: Time, chance: float = 1.0) -> Topology:
    """Build a topology in which ``one`` has the lower half of the slots, and ``two`` the upper."""
    topology = Topology([ASKED], time, lambda: chance)
    topology.learn(_halves())
    return topology


def _halves() -> Owners:
    owners: Owners = [ONE] * SLOTS
    owners[SLOTS // 2 :] = [TWO] * (SLOTS // 2)
    return owners


def _key(host: tuple[str, int]) -> str:
    """Return a key that a host has."""
    return next(key for key in map(str, range(1000)) if _halves()[slot_of(key)] == host)


def _redirect(text: str) -> Redirected:
    fault = refused(ReplyError(text))
    assert isinstance(fault, Redirected)
    return fault


@pytest.mark.parametrize(
    ("key", "slot"),
    [("foo", 12182), ("{foo}bar", 12182), ("x{foo}y{bar}", 12182), ("{}foo", 9500), ("123456789", 0x31C3)],
)
def test_a_slot_is_that_of_the_tag(key: str, slot: int) -> None:
    """The slot is the one that Redis counts: that of what the first braces hold, if anything."""
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("master", "host"),
    [
        ([b"10.0.0.1", 6379, b"id"], ("10.0.0.1", 6379)),
        ([b"::1", 6379, b"id", []], ("::1", 6379)),
        ([b"redis.example", 6379, b"id", {b"ip": b"10.0.0.1"}], ("redis.example", 6379)),
        ([b"", 6379, b"id"], ("seed", 6379)),
        ([None, 6379, b"id", [b"ip", b"10.0.0.1"]], ("seed", 6379)),
        ([b"?", 6379, b"id", {b"ip": b"10.0.0.1"}], ("10.0.0.1", 6379)),
        ([b"?", 6379, b"id", [b"ip", b"10.0.0.1"]], ("10.0.0.1", 6379)),
        ([b"?", 6379], ("seed", 6379)),
    ],
    ids=["6.2", "IPv6", "hostname", "empty", "null", "unset in RESP3", "unset in RESP2", "unknown"],
)
def test_masters_are_named_as_they_are_reached(master: list[Any], host: tuple[str, int]) -> None:
    """Addresses, hostnames and IPv6 are taken as told; a server that leaves out its name is the one asked."""
    owners = read_owners([[0, 5, master, [b"10.9.9.9", 1, b"replica"]], [7, 7, master]], ASKED)
    assert owners[0] == owners[5] == owners[7] == host
    assert owners[6] is owners[8] is None


@pytest.mark.parametrize(
    "reply",
    [None, b"OK", [1], [[0, SLOTS, [b"h", 1]]], [[3, 2, [b"h", 1]]], [[0, 1, [b"h", b"1"]]], [[0, 1]]],
)
def test_a_map_that_is_none_is_refused(reply: object) -> None:
    """What is no reply to CLUSTER SLOTS is a fault of the protocol, never a wrong map."""
    with pytest.raises(StoreUnavailable) as refusal:
        read_owners(reply, ASKED)
    assert refusal.value.fault is Fault.PROTOCOL


def test_a_map_of_nothing_is_no_map() -> None:
    """A server that knows no owner of any slot has not joined the cluster yet."""
    with pytest.raises(StoreUnavailable) as refusal:
        read_owners([], ASKED)
    assert refusal.value.fault is Fault.CLUSTERDOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 3999 127.0.0.1:6381", (3999, ("127.0.0.1", 6381), False)),
        ("ASK 3999 127.0.0.1:6381", (3999, ("127.0.0.1", 6381), True)),
        ("MOVED 3999 ::1:6381", (3999, ("::1", 6381), False)),
        ("MOVED 3999 :6381", (3999, ("", 6381), False)),
        ("MOVED 3999 ?:6381", (3999, None, False)),
    ],
)
def test_redirects_are_read(text: str, expected: tuple[int, Any, bool]) -> None:
    """A redirect tells slot and server; outside a cluster it says what to write, and no address."""
    moved = _redirect(text)
    assert (moved.slot, moved.host, moved.asking) == expected
    assert isinstance(moved, StoreMisconfigured)
    assert "redis+cluster://" in str(moved)
    assert "6381" not in str(moved)
    assert moved.sent is False


@pytest.mark.parametrize("text", ["MOVED", "MOVED x y:1", "MOVED 99999 h:1", "ASK 1 h:port", "MOVED 1 h"])
def test_a_redirect_to_nowhere_is_a_fault(text: str) -> None:
    """A redirect that cannot be read is a fault of the protocol."""
    assert refused(ReplyError(text)).fault is Fault.PROTOCOL


def test_moved_is_adopted_at_once() -> None:
    """MOVED changes the one slot now, and has the rest asked for within a second."""
    time = Time()
    topology, key = _known(time), _key(ONE)
    moved = _redirect(f"MOVED {slot_of(key)} three:3")
    assert topology.redirect(Turn(ONE), moved) == Turn(THREE)
    assert (topology.owner(key), topology.name(key)) == (THREE, "three:3")
    assert not topology.is_due()
    time.now += 1.0
    assert topology.is_due()


def test_ask_is_followed_once() -> None:
    """ASK changes nothing: the slot has not moved yet."""
    topology, key = _known(Time()), _key(ONE)
    assert topology.redirect(Turn(ONE), _redirect(f"ASK {slot_of(key)} :3")) == Turn(("one", 3), asking=True)
    assert topology.owner(key) == ONE


def test_a_redirect_to_an_unknown_name_has_the_map_asked_for() -> None:
    """Where the server cannot say where to, the call fails and the map is asked for."""
    time = Time()
    topology = _known(time)
    with pytest.raises(StoreUnavailable):
        topology.redirect(Turn(ONE), _redirect("MOVED 1 ?:3"))
    time.now += 0.5
    assert topology.is_due()


def test_one_asks_and_the_others_go_on() -> None:
    """However many find the map due, one asks; another may when that one never came back."""
    time = Time()
    topology = Topology([ASKED], time, lambda: 1.0)
    assert topology.claim(1.0)
    assert not topology.claim(1.0)
    time.now += 1.0
    assert topology.claim(1.0)


def test_a_herd_of_failures_asks_seldom() -> None:
    """A thousand failures in a second have the map asked for at most once in a quarter of a second."""
    time = Time()
    topology, asked = _known(time, 0.0), 0
    for _ in range(1000):
        time.now += 0.001
        topology.failed(ONE, store_error(Fault.REFUSED, sent=False))
        if topology.claim(0.1):
            asked += 1
            topology.learn(_halves())
    assert 3 <= asked <= 4


def test_those_who_fail_together_do_not_ask_together() -> None:
    """When the map is asked for after a failure is drawn at random: many processes do not ask at once."""
    draw = random.Random(7).random
    due: set[float] = set()
    for _ in range(50):
        time = Time()
        topology = Topology([ASKED], time, draw)
        topology.learn(_halves())
        time.now += 1.0
        began = time.now
        topology.failed(ONE, store_error(Fault.LOST, sent=True))
        while not topology.is_due():
            time.now += 0.005
        due.add(round(time.now - began, 3))
    assert len(due) > 10
    assert max(due) <= 0.11


def test_a_lost_master_is_asked_about_until_it_is_replaced() -> None:
    """While a server that failed still owns slots, the map is asked for again; its heir ends it."""
    time = Time()
    topology = _known(time)
    topology.failed(ONE, store_error(Fault.LOST, sent=True))
    time.now += 1.0
    assert topology.claim(1.0)
    assert topology.candidates()[-1] == ONE  # those in good standing first
    topology.learn(_halves())
    assert not topology.is_due()
    time.now += 1.0
    assert topology.claim(1.0)
    topology.learn([TWO] * SLOTS)
    time.now += 100.0
    assert not topology.is_due()


def test_a_refusal_says_nothing_about_the_map() -> None:
    """Out of memory, a wrong type: the server is there, and the map stays."""
    time = Time()
    topology = _known(time)
    topology.failed(ONE, store_error(Fault.OOM, sent=True))
    time.now += 100.0
    assert not topology.is_due()


def test_each_command_has_an_outcome_of_its_own() -> None:
    """Commands go to the owners of their keys, redirected ones on, and each outcome is in its place."""
    topology = _known(Time())
    one, two = _key(ONE), _key(TWO)
    trip = Itinerary(topology, [head(one), head(two), head(one)])
    groups = trip.groups()
    assert groups == {Turn(ONE): [0, 2], Turn(TWO): [1]}
    lost = store_error(Fault.LOST, sent=True)
    trip.arrive(Turn(ONE), [0, 2], [b"first", _redirect(f"ASK {slot_of(one)} three:3")])
    trip.arrive(Turn(TWO), [1], [lost])
    assert trip.groups() == {Turn(THREE, asking=True): [2]}
    assert [command.words[0] for command in trip.commands(Turn(THREE, asking=True), [2])] == [
        "ASKING",
        "GETRANGE",
    ]
    trip.arrive(Turn(THREE, asking=True), [2], [b"OK", b"third"])
    assert trip.groups() == {}
    assert trip.outcomes == [b"first", lost, b"third"]


def test_redirects_are_followed_five_times() -> None:
    """A command that is sent in a circle ends as a fault, and was never carried out."""
    topology, key = _known(Time()), _key(ONE)
    trip, asked = Itinerary(topology, [head(key)]), 0
    while groups := trip.groups():
        ((turn, group),) = groups.items()
        there = "two:2" if turn.host == ONE else "one:1"
        trip.arrive(turn, group, [_redirect(f"MOVED {slot_of(key)} {there}")])
        asked += 1
    (outcome,) = trip.outcomes
    assert asked == 6
    assert isinstance(outcome, StoreError)
    assert (outcome.fault, outcome.sent) == (Fault.REDIRECTED, False)
    assert not isinstance(outcome, StoreMisconfigured)


def test_a_slot_that_nobody_has_is_a_fault() -> None:
    """A key whose slot has no owner is refused, the others are not."""
    topology = _known(Time())
    owners = _halves()
    key = _key(ONE)
    owners[slot_of(key)] = None
    topology.learn(owners)
    trip = Itinerary(topology, [head(key), head(_key(TWO))])
    assert trip.groups() == {Turn(TWO): [1]}
    assert trip.outcomes[0].fault is Fault.CLUSTERDOWN
    assert topology.name(key) == ""
