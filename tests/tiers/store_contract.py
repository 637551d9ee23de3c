"""What every store promises; each store's test class provides one fixture."""

from __future__ import annotations

import random
from typing import Any, Protocol, TypeVar

import pytest

from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.commands import HEAD, Command, Repeat, flag, get, head, put, unlink
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.scripts import Script

PATIENCE = 20.0
T = TypeVar("T")


def patient(url: str, **settings: Any) -> Endpoint:
    """Return an address that is given all the time a busy machine takes."""
    return Endpoint(url, **{"deadline": PATIENCE, "connect_timeout": PATIENCE, **settings})


class Store(Protocol):
    """A store of either colour, called and waited for."""

    def do(self, command: Command[T]) -> T: ...
    def all(self, *commands: Command[Any]) -> list[Any]: ...

    def get(self, key: str) -> bytes | None:
        return self.do(head(key))

    def whole(self, key: str) -> bytes | None:
        return self.do(get(key))

    def set(self, key: str, value: bytes, ttl: float) -> None:
        self.do(put(key, value, ttl))

    def delete(self, key: str) -> bool:
        return self.do(unlink(key))


def int_or_raise(reply: object) -> int:
    """Read a number."""
    assert isinstance(reply, int)
    return reply


class StoreContract:
    """The promises."""

    @pytest.fixture
    def store(self) -> Store:
        """Give an empty store."""
        raise NotImplementedError

    def test_what_was_set_is_got(self, store: Store) -> None:
        """Bytes come back as they were: NUL, newlines and all."""
        value = bytes(range(256)) + b"\r\n$-1\r\n"
        store.set("key", value, 60)
        assert store.get("key") == value

    def test_absent_is_none(self, store: Store) -> None:
        """What was never stored is absent, and so is an empty value: none of ours is."""
        assert store.get("key") is None
        store.set("key", b"", 60)
        assert store.get("key") is None

    def test_the_last_value_stays(self, store: Store) -> None:
        """Setting replaces."""
        store.set("key", b"one", 60)
        store.set("key", b"two", 60)
        assert store.get("key") == b"two"

    def test_delete_tells_what_it_did(self, store: Store) -> None:
        """A deleted key is gone; deleting it again removes nothing."""
        store.set("key", b"value", 60)
        store.set("other", b"value", 60)
        assert store.delete("key") is True
        assert store.delete("key") is False
        assert (store.get("key"), store.get("other")) == (None, b"value")

    @pytest.mark.parametrize("ttl", [0.0001, 0.5, 60, 86_400 * 365])
    def test_every_ttl_is_one(self, store: Store, ttl: float) -> None:
        """A TTL of any length is taken, also one below a millisecond."""
        store.set("key", b"value", ttl)
        assert store.get("key") in {b"value", None}

    def test_a_large_value(self, store: Store) -> None:
        """A value of a mebibyte passes; its head is as long as a head may be."""
        value = bytes(2**20)
        store.set("key", value, 60)
        assert store.whole("key") == value
        head = store.get("key")
        assert head is not None
        assert len(head) == HEAD

    def test_several_in_one_round_trip(self, store: Store) -> None:
        """Each of several commands has its own result, in order, and an error of its own."""
        store.set("key", b"value", 60)
        wrong = Command(("LPUSH", "key", "x"), "key", flag, Repeat.ONCE)
        found = store.all(head("key"), wrong, head("absent"), unlink("key"))
        assert isinstance(found[1], StoreError)
        assert found[1].fault is Fault.WRONGTYPE
        assert (found[0], found[2], found[3]) == (b"value", None, True)

    def test_a_script_is_called_by_its_digest(self, store: Store) -> None:
        """A script that the server does not know is refused as such, and known once it was brought along."""
        call = Script(f"return #ARGV + {random.getrandbits(30)}").call(["key"], ["a", b"b"], int_or_raise)
        with pytest.raises(StoreError) as unknown:
            store.do(call)
        assert unknown.value.fault is Fault.NOSCRIPT
        assert store.do(call.with_source()) == store.do(call)
