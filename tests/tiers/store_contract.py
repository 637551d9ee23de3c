"""What every store promises; each store's test class provides one fixture."""

from __future__ import annotations

from typing import Protocol

import pytest

PATIENCE = 5.0


class Store(Protocol):
    """A store of either colour, called and waited for."""

    def get(self, key: str) -> bytes | None: ...
    def set(self, key: str, value: bytes, ttl: float) -> None: ...
    def delete(self, key: str) -> bool: ...


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

    def test_absent_is_none_and_empty_is_not(self, store: Store) -> None:
        """An empty value is a value."""
        assert store.get("key") is None
        store.set("key", b"", 60)
        assert store.get("key") == b""

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
        """A value of a mebibyte passes."""
        value = bytes(2**20)
        store.set("key", value, 60)
        assert store.get("key") == value
