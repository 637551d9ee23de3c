"""Rows of what lies under the keys, and of the clock that judges it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import zstandard

from cachepolicy.codec.envelope import TAIL, Header, fingerprint, seal, unseal
from cachepolicy.testing.redis_server import RedisServer
from tests.faults.harness import KNOWN, Rig, Row, Scene, Servers

Play = Callable[[Servers], AbstractContextManager[Scene]]
Damage = Callable[[bytes, str], bytes]
"""Makes of stored bytes, and their key, others."""

_LENGTH: Final = 2**30  # what a bomb swells to


def _stored(damage: Damage) -> Play:
    """Have other bytes under every known key."""

    @contextmanager
    def scene(servers: Servers) -> Iterator[Scene]:
        server = servers.redis

        def begin(rig: Rig) -> None:
            with _database(server) as client:
                for number in range(KNOWN):
                    key = rig.answer.key(f"known {number}")
                    client.set(key, damage(client.get(key), key))

        yield Scene(servers.url, begin, lambda _: None)

    return scene


@contextmanager
def _list(servers: Servers) -> Iterator[Scene]:
    server = servers.redis

    def begin(rig: Rig) -> None:
        with _database(server) as client:
            for number in range(KNOWN):
                key = rig.answer.key(f"known {number}")
                client.delete(key)
                client.lpush(key, "not ours")

    yield Scene(servers.url, begin, lambda _: None)


@contextmanager
def _crossed(servers: Servers) -> Iterator[Scene]:
    server = servers.redis

    def begin(rig: Rig) -> None:
        with _database(server) as client:
            values = [client.get(rig.answer.key(f"known {number}")) for number in range(KNOWN)]
            for number in range(KNOWN):
                client.set(rig.answer.key(f"known {number}"), values[number - 1])

    yield Scene(servers.url, begin, lambda _: None)


def _database(server: RedisServer) -> Any:
    import redis

    return redis.Redis(port=server.port, db=1)


def _truncated(blob: bytes, _: str) -> bytes:
    return blob[: len(blob) // 2]


def _altered(blob: bytes, _: str) -> bytes:
    return blob[:-14] + bytes([blob[-14] ^ 1]) + blob[-13:]


def _version(version: int) -> Damage:
    def other(blob: bytes, _: str) -> bytes:
        body = blob[:2] + bytes([version]) + blob[3:-TAIL]
        return body + struct.pack(">I", zlib.crc32(body)) + blob[-8:]

    return other


def _schema(blob: bytes, key: str) -> bytes:
    header, payload = unseal(blob, fingerprint(key))
    return seal(header._replace(schema=b"formerly"), fingerprint(key), payload)


def _bomb(*, honest: bool) -> Damage:
    """Have a small frame that swells to a gibibyte; its header says so, or does not."""
    zeros = zstandard.ZstdCompressor(level=1)
    chunk, frame = bytes(2**20), bytearray()
    compressing = zeros.compressobj(size=_LENGTH)
    for _ in range(_LENGTH // len(chunk)):
        frame += compressing.compress(chunk)
    frame += compressing.flush()

    def bomb(blob: bytes, key: str) -> bytes:
        header, _ = unseal(blob, fingerprint(key))
        lying: Header = header._replace(compression=1, length=_LENGTH if honest else 1000)
        return seal(lying, fingerprint(key), bytes(frame))

    return bomb


def _lazily(make: Callable[[], Damage]) -> Damage:
    """Make what damages when it is needed first: rows are listed more often than played."""
    made: list[Damage] = []

    def damage(blob: bytes, key: str) -> bytes:
        if not made:
            made.append(make())
        return made[0](blob, key)

    return damage


def _huge(blob: bytes, key: str) -> bytes:
    header, _ = unseal(blob, fingerprint(key))
    return seal(header._replace(compression=0, length=8 * 2**20), fingerprint(key), bytes(8 * 2**20))


def _jump(*, monotonic: float, wall: float) -> Play:
    @contextmanager
    def scene(servers: Servers) -> Iterator[Scene]:
        def jump(rig: Rig) -> None:
            rig.time.monotonic += monotonic
            rig.time.wall += wall

        def back(rig: Rig) -> None:
            rig.time.wall -= wall  # the monotonic clock never goes back

        yield Scene(servers.url, jump, back)

    return scene


_DAY: Final = 86_400.0

GROUP: Final = "The data and the clock"
ROWS: Final = (
    Row("truncated value", _stored(_truncated), frozenset({"corrupt.checksum", "corrupt.format"})),
    Row("corrupted value", _stored(_altered), frozenset({"corrupt.checksum"})),
    Row("value of an older format", _stored(_version(1)), frozenset({"corrupt.format"})),
    Row("value of a newer format", _stored(_version(3)), frozenset({"corrupt.format"})),
    Row("value of an older function", _stored(_schema), frozenset({"corrupt.schema"})),
    Row("value of another key", _crossed, frozenset({"corrupt.key"})),
    Row("not a string", _list, frozenset({"wrongtype"})),
    Row("decompression bomb", _stored(_lazily(lambda: _bomb(honest=True))), frozenset({"corrupt.size"})),
    Row(
        "decompression bomb that lies",
        _stored(_lazily(lambda: _bomb(honest=False))),
        frozenset({"corrupt.payload"}),
    ),
    Row("huge value (8 MiB)", _stored(_huge), frozenset({"corrupt.size", "timeout"})),
    Row("clock jumps a day forward", _jump(monotonic=0, wall=_DAY), frozenset(), heals=True),
    Row("clock jumps a day back", _jump(monotonic=0, wall=-_DAY), frozenset(), heals=True),
    Row("machine sleeps a day", _jump(monotonic=_DAY, wall=_DAY), frozenset(), heals=True),
)
