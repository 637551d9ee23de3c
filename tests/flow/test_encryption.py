"""Encrypted values, end to end."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from cachepolicy import aclose, cached, close, configure, observe
from cachepolicy.codec.encrypt import key_id
from cachepolicy.codec.envelope import TAIL, fingerprint, seal, unseal
from cachepolicy.flow import replay as replaying
from cachepolicy.runtime import current
from cachepolicy.testing.fault_proxy import FaultProxy, Refuse
from tests.support.colour import Colour
from tests.support.logged import logged
from tests.support.policies import cache_policy
from tests.support.waiting import until_async

NEW, OLD = bytes(range(32)).hex(), bytes(range(1, 33)).hex()
SAID = "the patient's diagnosis is confidential, "
LOCAL = {"enabled": False}


class Asked:
    """A decorated function under a policy, and what it was asked."""

    def __init__(self, colour: Colour, url: str) -> None:
        self.colour, self.url = colour, url
        self.calls: list[str] = []

        @colour.decorate(cached("answers", key="{question}"))
        def answer(question: str) -> str:
            self.calls.append(question)
            return SAID * len(question)

        self.answer: Any = answer

    def under(self, *keys: str, **rule: Any) -> Asked:
        """Take a policy with these keys into use; none: no encryption."""
        encryption = {"encryption": {"keys": list(keys)}} if keys else {}
        configure(cache_policy(self.url, db=0, local=LOCAL, **encryption, **rule))
        return self

    def __call__(self, question: str = "why") -> str:
        """Ask; tell which tier answered."""

        async def call() -> Any:
            try:
                return await self.answer(question)
            finally:
                await aclose()

        with observe() as seen:
            value = self.colour.run(call) if self.colour.is_async else self.answer(question)
        assert value == SAID * len(question)
        assert seen[0].fault is None
        return str(seen[0].tier)

    def refused(self) -> dict[str, int]:
        """Count refusals by reason."""
        return {
            name.removeprefix("corrupt."): count
            for plan in current.current()._plans
            for name, count in plan.counters.errors.items()
        }


class Stored:
    """What lies in Redis, to look at and to meddle with."""

    def __init__(self, asked: Asked) -> None:
        self.client = redis.Redis.from_url(asked.url)
        self._answer = asked.answer

    def key(self, question: str) -> str:
        return str(self._answer.key(question))

    def get(self, question: str = "why") -> bytes:
        blob = self.client.get(self.key(question))
        assert isinstance(blob, bytes)
        return blob

    def put(self, blob: bytes, question: str = "why") -> None:
        self.client.set(self.key(question), blob)


@pytest.fixture
def asked(colour: Colour, redis_url: str) -> Asked:
    """Decorate a function whose answers are stored in a real Redis."""
    return Asked(colour, redis_url)


@pytest.fixture
def stored(asked: Asked) -> Iterator[Stored]:
    """Open Redis beside the library."""
    found = Stored(asked)
    yield found
    found.client.close()


def _mended(blob: bytes) -> bytes:
    body = blob[:-TAIL]
    return body + zlib.crc32(body).to_bytes(4, "big") + blob[4 - TAIL :]


@pytest.mark.parametrize("compressed", [False, True], ids=["as it is", "compressed"])
def test_redis_never_sees_what_was_said(asked: Asked, stored: Stored, compressed: bool) -> None:
    """What lies in Redis holds no piece of the answer, nor of a key, and answers all the same."""
    asked.under(NEW, compression={"enabled": compressed, "threshold": "1"})
    question = "why is it so"
    assert [asked(question), asked(question)] == ["origin", "l2"]
    blob, text = stored.get(question), SAID.encode() * len(question)
    pieces = {text[at : at + 8] for at in range(len(text) - 7)}
    pieces |= {bytes.fromhex(NEW)[at : at + 8] for at in range(25)}
    assert not [piece for piece in pieces if piece in blob]
    assert (len(blob) < len(text)) is compressed


def test_a_key_is_rotated_without_losing_what_is_stored(asked: Asked, stored: Stored) -> None:
    """The old key reads, the new one writes; taken away, what it wrote is a miss and is written anew."""
    asked.under(OLD)
    assert asked() == "origin"
    asked.under(NEW, OLD)
    assert asked() == "l2"
    assert asked("how") == "origin"
    named = [unseal(stored.get(each), fingerprint(stored.key(each)))[0].key_id for each in ("why", "how")]
    assert named == [key_id(bytes.fromhex(OLD)), key_id(bytes.fromhex(NEW))]
    asked.under(NEW)
    assert [asked(), asked(), asked("how")] == ["origin", "l2", "l2"]
    assert asked.refused() == {"locked": 1}


def test_a_lost_key_is_a_miss_told_once(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    """A key that is gone, encryption that is gone: the function is asked, it is told once, nothing fails."""
    asked.under(OLD)
    assert [asked("why"), asked("how"), asked("who")] == ["origin"] * 3
    asked.under(NEW)
    assert [asked("why"), asked("how")] == ["origin"] * 2
    assert asked.refused() == {"locked": 2}
    asked.under()
    assert [asked("who"), asked("who")] == ["origin", "l2"]
    assert [record.levelno for record in logged(caplog)] == [logging.WARNING] * 2
    assert "locked" in caplog.text


def test_turning_encryption_on_serves_no_plain_value(
    asked: Asked, stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    """What was stored in plain, by an earlier policy or an intruder, is a miss, told once, and replaced."""
    asked.under()
    assert [asked("why"), asked("how")] == ["origin"] * 2
    asked.under(NEW)
    assert [asked("why"), asked("how"), asked("why")] == ["origin", "origin", "l2"]
    assert asked.refused() == {"plain": 2}
    assert [record.levelno for record in logged(caplog)] == [logging.WARNING]
    header, _ = unseal(stored.get(), fingerprint(stored.key("why")))
    stored.put(seal(header._replace(encryption=0), fingerprint(stored.key("why")), b"planted"))
    assert asked() == "origin"


@pytest.mark.parametrize("mend", [False, True], ids=["as it is", "checksum mended"])
def test_an_altered_value_is_a_miss_and_an_alarm(
    asked: Asked, stored: Stored, caplog: pytest.LogCaptureFixture, mend: bool
) -> None:
    """A value altered in Redis is never served; it is an error in the log, which shows no content."""
    asked.under(NEW)
    asked()
    for turn in (1, 2, 3):
        blob = stored.get()
        altered = blob[:-20] + bytes([blob[-20] ^ 1]) + blob[-19:]
        stored.put(_mended(altered) if mend else altered)
        assert asked() == "origin"
        assert asked.refused() == {"tampered": turn}
    assert [record.levelno for record in logged(caplog)] == [logging.ERROR]
    shown = caplog.text + repr(asked.answer.policy) + repr(list(current.current()._plans))
    for secret in (NEW, repr(bytes.fromhex(NEW))[2:-1], SAID.strip(), "why"):
        assert secret not in shown


def test_a_longer_life_is_not_given(asked: Asked, stored: Stored) -> None:
    """Whoever writes a later end into a stored value gets a miss for it."""
    asked.under(NEW)
    asked()
    blob = stored.get()
    stored.put(_mended(blob[:24] + bytes([0, 0, 9, 0, 0, 0, 0, 0]) + blob[32:]))
    assert asked() == "origin"
    assert asked.refused() == {"tampered": 1}


def test_two_values_are_not_swapped(asked: Asked, stored: Stored) -> None:
    """An intruder who exchanges two values, hashes of keys mended, gets two misses for it."""
    asked.under(NEW)
    asked("one")
    asked("three")
    one, three = stored.get("one"), stored.get("three")
    for blob, question in ((one, "three"), (three, "one")):
        stored.put(_mended(blob[:8] + fingerprint(stored.key(question)) + blob[16:]), question)
    assert [asked("one"), asked("three")] == ["origin"] * 2
    assert asked.refused() == {"tampered": 2}


def test_what_is_kept_while_redis_is_out_is_encrypted(colour: Colour, redis_url: str) -> None:
    """A write that failed waits encrypted, is replayed as it is, and answers afterwards."""
    asked = Asked(colour, redis_url)
    rule: dict[str, Any] = {"encryption": {"keys": [NEW]}}
    rule |= {"redis": {"breaker": {"failures": 1000}}, "local": LOCAL}

    async def call(question: str) -> Any:
        return await asked.answer(question) if colour.is_async else asked.answer(question)

    async def scenario(proxy: FaultProxy) -> None:
        configure(cache_policy(proxy.url, **rule))
        await call("warm")
        proxy.fault = Refuse()
        proxy.cut()
        await call("why")
        proxy.fault = None
        (site,) = current.current().stores._sites.values()
        (pending,) = site.replay._pending.values()
        assert isinstance(pending, replaying._Write)
        assert SAID.encode()[:8] not in pending.made.blob

        async def is_empty() -> bool:
            await call("warm")
            return not site.replay

        await until_async(is_empty, "the replay")
        with observe() as seen:
            assert await call("why") == SAID * 3
        assert seen[0].tier == "l2"
        await aclose()

    with FaultProxy(redis_url) as proxy:
        asyncio.run(scenario(proxy))
        close()
    assert asked.calls.count("why") == 1
