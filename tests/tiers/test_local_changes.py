"""L1 when Redis changes: what is dropped, what is left to be verified, and which fills come too late."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cachepolicy.tiers.local import Entry, LocalCache, Table
from cachepolicy.tiers.local_index import Index, Tokens

POLICIES = ["lru", "lfu", "fifo", "s3fifo"]
SIZE = 1_000


class Function:
    """One function's part of L1."""

    def __init__(self, cache: LocalCache) -> None:
        self.cache = cache
        self.table = Table()

    def put(
        self,
        name: str,
        *,
        own: bool = False,
        tail: bytes = b"tail.",
        tags: tuple[bytes, ...] = (),
        token: int | None = None,
    ) -> bool:
        entry = Entry(self.table, name, "", None, 1e9, 0.0, 0, name=name, own=own, tags=tags, tail=tail)
        entry.size = SIZE
        return self.cache.put(entry, token)

    def held(self) -> set[object]:
        return set(self.table)


@pytest.fixture
def cache() -> LocalCache:
    """Give a cache with room for a hundred entries."""
    return LocalCache(100 * SIZE, "lru")


def test_a_change_drops_what_came_from_elsewhere(cache: LocalCache) -> None:
    """C6: a key that changed is dropped from every function that shares it, and no other is."""
    one, other = Function(cache), Function(cache)
    for function in (one, other):
        for name in "abc":
            function.put(name)
    assert cache.changed("b") is False
    assert one.held() == other.held() == {"a", "c"}
    assert cache.size == 4 * SIZE
    assert cache.changed("never seen") is False


def test_an_own_write_stays_until_it_is_verified(cache: LocalCache) -> None:
    """C6: the echo of an own write drops nothing of its own; the tail says whether it is still the last."""
    mine, theirs = Function(cache), Function(cache)
    mine.put("key", own=True, tail=b"mine1")
    theirs.put("key")
    assert cache.changed("key") is True
    assert (mine.held(), theirs.held()) == ({"key"}, set())
    cache.verified("key", b"mine1")
    assert mine.held() == {"key"}
    cache.verified("key", b"other")
    assert mine.held() == set()


@pytest.mark.parametrize("tail", [None, b""])
def test_what_cannot_be_verified_is_dropped(cache: LocalCache, tail: bytes | None) -> None:
    """C6: an own write of which Redis holds nothing, or nothing can be learned, is not kept."""
    function = Function(cache)
    function.put("key", own=True, tail=b"")
    function.put("filled")
    cache.verified("key", tail)
    cache.verified("filled", tail)  # it is none of ours: its changes are told
    assert function.held() == {"filled"}


def test_a_change_cancels_the_fill_that_is_under_way(cache: LocalCache) -> None:
    """C6: a value read before its key changed is not put after it."""
    function = Function(cache)
    token = cache.token("key")
    cache.changed("key")
    assert function.put("key", token=token) is False
    assert function.put("key", token=cache.token("key")) is True


def test_a_late_fill_leaves_the_newer_value(cache: LocalCache) -> None:
    """C6: a fill that is left out does not take a newer one with it."""
    function = Function(cache)
    late = cache.token("key")
    cache.changed("key")
    function.put("key", tail=b"newer", token=cache.token("key"))
    assert function.put("key", tail=b"older", token=late) is False
    assert [entry.tail for entry in function.table.values()] == [b"newer"]


@pytest.mark.parametrize("verb", ["drop", "untag", "flush"])
def test_every_verb_cancels_fills(cache: LocalCache, verb: str) -> None:
    """C5: dropping a key, a tag or everything also stops what is on its way."""
    function = Function(cache)
    token = cache.token("key")
    {"drop": lambda: cache.drop("key"), "untag": lambda: cache.untag(b"tag"), "flush": cache.flush}[verb]()
    assert function.put("key", token=token) is False


def test_a_fill_is_not_cancelled_for_nothing(cache: LocalCache) -> None:
    """A change of one key in a thousand cancels the fills of very few others."""
    names = [f"key {number}" for number in range(1000)]
    tokens = {name: cache.token(name) for name in names}
    cache.changed("another key")
    moved = [name for name in names if cache.token(name) != tokens[name]]
    assert len(moved) < 10


def test_a_tag_takes_its_entries_along(cache: LocalCache) -> None:
    """C5: what depends on a tag is dropped with it, own writes too; the rest stays."""
    one, other = Function(cache), Function(cache)
    one.put("both", tags=(b"a", b"b"), own=True)
    one.put("a", tags=(b"a",))
    other.put("twice", tags=(b"a", b"a"))
    other.put("b", tags=(b"b",))
    other.put("none")
    cache.untag(b"a")
    assert (one.held(), other.held()) == (set(), {"b", "none"})
    assert cache.size == 2 * SIZE


def test_drop_takes_own_writes_too(cache: LocalCache) -> None:
    """C5: an invalidation by key leaves nothing under it."""
    function = Function(cache)
    function.put("key", own=True)
    cache.drop("key")
    assert function.held() == set()


@pytest.mark.parametrize("eviction", POLICIES)
def test_flush_leaves_nothing(eviction: str) -> None:
    """C6: all functions lose all entries, and keep their counts; the cache goes on."""
    cache = LocalCache(50 * SIZE, eviction)
    functions = Function(cache), Function(cache)
    for function in functions:
        for number in range(40):
            function.put(str(number), own=number % 2 == 0)
        for entry in function.table.values():
            entry.hits += 1
    hits = [function.table.hits() + len(function.table) for function in functions]
    for function in functions:
        for entry in function.table.values():
            entry.hits += 1
    cache.flush()
    assert [function.held() for function in functions] == [set(), set()]
    assert [function.table.hits() for function in functions] == hits
    assert cache.size == 0
    functions[0].put("after")
    assert cache.changed("after") is False
    assert functions[0].held() == set()


def test_a_fork_amid_a_change_leaves_a_cache_that_works(cache: LocalCache) -> None:
    """A child whose parent's other thread was in the middle of something starts empty."""
    function = Function(cache)
    function.put("key", tags=(b"tag",))
    cache._lock.acquire()
    cache._entries.pop(next(iter(cache._entries)))  # half of an eviction
    cache.renew_lock()
    assert function.held() == set()
    function.put("key", tags=(b"tag",))
    cache.untag(b"tag")
    assert (function.held(), cache.size) == (set(), 0)


def test_an_entry_counts_its_name() -> None:
    """The key in Redis is in the budget."""
    table = Table()
    plain = Entry(table, "k", "", None, 1e9, 0.0, 0)
    named = Entry(table, "k", "", None, 1e9, 0.0, 0, name="n" * 500, tags=(b"tag",))
    assert named.size - plain.size > 500


def test_tokens_never_return() -> None:
    """Whatever moves, a token that has moved is never what it was."""
    tokens = Tokens()
    seen = {tokens.of("key")}
    for move in itertools.islice(itertools.cycle([lambda: tokens.move("key"), tokens.move_all]), 100):
        move()
        assert tokens.of("key") not in seen
        seen.add(tokens.of("key"))


class Machine(RuleBasedStateMachine):
    """However entries come and go, the index finds those that are held, and nothing else."""

    names = st.sampled_from("abcdef")
    tags = st.lists(st.sampled_from([b"1", b"2", b"3"]), max_size=3).map(tuple)

    def __init__(self) -> None:
        super().__init__()
        self.anew("lru", 3)

    @rule(eviction=st.sampled_from(POLICIES), entries=st.integers(1, 6))
    def anew(self, eviction: str, entries: int) -> None:
        self.cache = LocalCache(entries * SIZE, eviction)
        self.functions = [Function(self.cache), Function(self.cache)]

    @rule(which=st.integers(0, 1), name=names, own=st.booleans(), tags=tags)
    def put(self, which: int, name: str, own: bool, tags: tuple[bytes, ...]) -> None:
        self.functions[which].put(name, own=own, tags=tags)

    @rule(which=st.integers(0, 1), name=names)
    def discard(self, which: int, name: str) -> None:
        self.cache.discard(self.functions[which].table, name)

    @rule(which=st.integers(0, 1))
    def clear(self, which: int) -> None:
        self.cache.clear(self.functions[which].table)

    @rule(name=names)
    def change(self, name: str) -> None:
        own = any(entry.own and entry.name == name for entry in self._entries())
        assert self.cache.changed(name) is own
        assert all(entry.own for entry in self._entries() if entry.name == name)

    @rule(name=names, right=st.booleans())
    def verify(self, name: str, right: bool) -> None:
        self.cache.verified(name, b"tail." if right else b"other")
        assert right or not any(entry.own and entry.name == name for entry in self._entries())

    @rule(tag=st.sampled_from([b"1", b"2", b"3"]))
    def untag(self, tag: bytes) -> None:
        self.cache.untag(tag)
        assert not any(tag in entry.tags for entry in self._entries())

    @rule()
    def flush(self) -> None:
        self.cache.flush()
        assert not self._entries()

    @invariant()
    def in_agreement(self) -> None:
        held = self._entries()
        index: Index[Entry] = self.cache._index
        assert {id(entry) for entry in index} == {id(entry) for entry in held}
        for entry in held:
            assert entry in index.named(entry.name)
            assert all(entry in index.tagged(tag) for tag in entry.tags)
        assert set(index._by_tag) == {tag for entry in held for tag in entry.tags}
        assert sum(len(tagged) for tagged in index._by_tag.values()) == sum(
            len(set(entry.tags)) for entry in held
        )
        assert self.cache.size == SIZE * len(held)

    def _entries(self) -> list[Entry]:
        return [entry for function in self.functions for entry in function.table.values()]


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40)
