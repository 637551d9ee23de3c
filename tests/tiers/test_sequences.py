"""What processes tell each other: its bytes, and whether any of it was missed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.tiers import sequences
from cachepolicy.tiers.notices import Change, Lease, Names, Numbering, read_change, read_lease, void
from cachepolicy.tiers.sequences import NEVER, Announcements, Sequences

A, B = b"source A", b"source B"


@given(st.text(), st.binary(max_size=255))
def test_a_change_is_read_as_it_was_said(key: str, tail: bytes) -> None:
    """Whatever the key and the tail are, they come out, numbered from 1."""
    numbering = Numbering()
    assert read_change(numbering.next(key, tail)) == Change(numbering.source, 1, tail, key)
    assert read_change(void(numbering.next(key, tail))) == Change(numbering.source, 2, b"", "")


@given(st.binary(max_size=40))
def test_any_message_can_be_read_or_not(message: bytes) -> None:
    """What somebody else publishes there is no error."""
    change = read_change(message)
    assert (change is None) is (len(message) < 17)
    assert read_lease(message) is None or message[:1] in {b"r", b"d"}


@given(st.text())
def test_a_lease_is_read_as_it_was_said(key: str) -> None:
    """A renewal and a release name their key."""
    for lease in Lease:
        assert read_lease(lease.say(key)) == (lease, key)


def test_a_canary_begins_with_its_prefix() -> None:
    """What a watch has tracked for its canary is a prefix of it, and of no key of a namespace."""
    names, numbering = Names.of("app"), Numbering()
    canary, prefix = names.canary(numbering.source), names.canary_prefix(numbering.source)
    assert canary.startswith(prefix)
    assert prefix.startswith(names.canaries)
    assert not prefix.startswith("app:ns:")


def _lost(heard: list[tuple[bytes, int]]) -> int:
    """Hear messages, one a second, and wait; returns how often something was given up."""
    watched = Sequences(2.5)
    lost = 0
    for now, (source, number) in enumerate(heard):
        watched.hear(source, number, float(now))
        lost += watched.give_up(float(now))
    return lost + watched.give_up(1e9)


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([1, 2, 3, 4], 0),
        ([1, 3, 2, 4], 0),  # writers have several connections
        ([1, 2, 4, 5, 3, 6], 0),
        ([1, 2, 4], 1),
        ([1, 3, 5, 7], 1),
        ([1, 3, 4, 5, 6, 2, 7], 1),  # too late
        ([1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14], 2),
        ([1, 1, 2, 2], 0),
        ([5, 6, 7], 1),  # who can say whether 4 came after we began to listen
        ([6, 5, 7, 4], 0),
    ],
)
def test_a_missing_number_is_missed(numbers: list[int], lost: int) -> None:
    """C6: what is late is waited for, what does not come is a loss, however many numbers it is."""
    assert _lost([(A, number) for number in numbers]) == lost


def test_sources_are_told_apart() -> None:
    """Each source has its own numbers."""
    assert _lost([(A, 1), (B, 1), (A, 2), (B, 2)]) == 0
    assert _lost([(A, 1), (B, 1), (A, 3), (B, 3)]) == 2


def test_it_is_known_when_to_look_again() -> None:
    """The next loss is due when the oldest number that is missing has been waited for."""
    watched = Sequences(2.5)
    assert watched.due() == NEVER
    watched.hear(A, 1, 10.0)
    assert watched.due() == NEVER
    watched.hear(A, 3, 11.0)
    watched.hear(B, 2, 12.0)
    assert watched.due() == 13.5
    assert watched.give_up(13.4) == 0
    assert watched.give_up(13.5) == 1
    assert watched.due() == 14.5


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many sources nor a source with many gaps takes more than its room."""
    monkeypatch.setattr(sequences, "MOST_SOURCES", 3)
    monkeypatch.setattr(sequences, "MOST_AHEAD", 5)
    watched = Sequences(2.5)
    for number in range(10):
        watched.hear(b"%08d" % number, 5, 0.0)
    assert len(watched._sources) == 3
    assert watched._missing == set(watched._sources)
    watched = Sequences(2.5)
    for number in range(2, 20, 2):
        watched.hear(A, number + 1, 0.0)
        watched.give_up(0.0)
    assert len(watched._sources[A].ahead) <= 6


def test_who_says_nothing_more_repeats_it_more_and_more_rarely() -> None:
    """C6: the last change is announced at the next heartbeat, and again after 1, 2, 4, … 64 of them."""
    numbering = Numbering()
    announcements = Announcements(numbering)
    assert [announcements.next() for _ in range(3)] == [None] * 3
    numbering.next("key")
    said = [beat for beat in range(300) if announcements.next() is not None]
    assert said == [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]
    numbering.next("key")
    assert announcements.next() is not None


def test_announcements_have_numbers_too() -> None:
    """One who hears all announcements and all changes misses nothing."""
    numbering = Numbering()
    announcements = Announcements(numbering)
    numbers = []
    for beat in range(10):
        if beat == 4:
            numbers.append(numbering.next("key"))
        if (message := announcements.next()) is not None:
            numbers.append(message)
    changes = [read_change(message) for message in numbers]
    assert [change.number for change in changes if change is not None] == list(range(1, len(numbers) + 1))
