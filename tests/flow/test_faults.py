from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cachepolicy import (
    CallDenied,
    ManualClock,
    Outcome,
    StoreError,
    StoreUnavailable,
    Tier,
    aclose,
    cached,
    close,
    configure,
    observe,
)
from cachepolicy.errors import Fault
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.commands import Command
from tests.support.asking import ask_once
from tests.support.colour import Colour
from tests.support.policies import cache_policy


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close()


def _decorated(colour: Colour) -> tuple[list[str], Any]:
    calls: list[str] = []

    @colour.decorate(cached("answers"))
    def answer(question: str) -> list[str]:
        calls.append(question)
        return [question]

    return calls, answer


def _ask(colour: Colour, answer: Any, question: str = "canary-question") -> Any:
    return ask_once(colour, answer, question)


@contextmanager
def _talking(reply: bytes | None) -> Iterator[str]:
    """Run something on a port that is no Redis: it says ``reply`` to whatever it hears, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        heard: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                heard.append(connection)
                if reply is not None:
                    try:
                        connection.recv(4096)
                        connection.sendall(reply)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in heard:
                connection.close()


@pytest.fixture
def deserted() -> Iterator[str]:
    """Give an address that refuses: its port is taken, so nobody else begins to listen there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_c1_redis_absent_is_a_bypass(
    colour: Colour, time: ManualClock, deserted: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C1: with no Redis at all calls are answered, the outcome says fault, the log says it once."""
    configure(cache_policy(f"redis://:canary-secret@{deserted}"), clock=time.clock)
    calls, answer = _decorated(colour)
    with observe() as seen:
        for question in ("one", "one", "two"):
            assert _ask(colour, answer, question) == [question]
            # closing drops L1 for the async colour, whose loop ends with each call
    expected_calls = ["one", "one", "two"] if colour.is_async else ["one", "two"]
    assert calls == expected_calls
    assert (seen[0].outcome, seen[0].tier, seen[0].fault) == (Outcome.FAULT, Tier.ORIGIN, "refused")
    assert len([record for record in caplog.records if record.name == "cachepolicy"]) <= 1
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff\xfe garbage",
        b"$-7\r\n",
        b"*1\r\n",
        b":1\r\n" * 9,
        b"+OK\r\n" * 9,
        None,
    ],
    ids=["http", "noise", "length", "half", "integers", "ok", "silence"],
)
def test_c1_redis_speaking_garbage_is_a_bypass(colour: Colour, reply: bytes | None) -> None:
    """C1: whatever a server answers, the caller gets the function's answer and no wrong value."""
    with _talking(reply) as url:
        configure(cache_policy(url, redis={"deadline": "50ms"}))
        calls, answer = _decorated(colour)
        with observe() as seen:
            assert _ask(colour, answer) == ["canary-question"]
        assert calls == ["canary-question"]
        assert seen[0].outcome is Outcome.FAULT
        close()


def test_c1_a_wrong_password_is_a_bypass(colour: Colour, own_redis: RedisServer) -> None:
    """C1: a misconfigured Redis is told as such, and calls go on without it."""
    own_redis.command("CONFIG", "SET", "requirepass", "right")
    configure(cache_policy(f"redis://:canary-wrong@127.0.0.1:{own_redis.port}"))
    _, answer = _decorated(colour)
    with observe() as seen:
        assert _ask(colour, answer) == ["canary-question"]
    assert seen[0].fault == "auth"
    close()


def test_on_fault_raise_raises_the_fault(colour: Colour, deserted: str) -> None:
    """``on_fault: raise``: the caller learns that Redis is out, and the function is not called."""
    configure(cache_policy(f"redis://{deserted}", on_fault="raise"))
    calls, answer = _decorated(colour)
    with pytest.raises(StoreError) as raised:
        _ask(colour, answer)
    assert calls == []
    assert "canary" not in str(raised.value)


def test_on_fault_deny_refuses_the_call(colour: Colour, deserted: str) -> None:
    """``on_fault: deny``: no cache, no call."""
    configure(cache_policy(f"redis://{deserted}", on_fault="deny"))
    calls, answer = _decorated(colour)
    with pytest.raises(CallDenied):
        _ask(colour, answer)
    assert calls == []


def test_invalidating_without_redis_is_told(colour: Colour, deserted: str) -> None:
    """An invalidation that Redis did not hear of raises: the caller must know that old answers may return."""
    configure(cache_policy(f"redis://{deserted}"))
    _, answer = _decorated(colour)

    async def call() -> Any:
        try:
            return await answer.invalidate("why?")
        finally:
            await aclose()

    with pytest.raises(StoreError):
        colour.run(call if colour.is_async else lambda: answer.invalidate("why?"))


def test_r5_a_value_stored_under_another_key_is_not_served(
    colour: Colour, redis_server: RedisServer, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: when Redis hands out the value of another key, the function is asked and an alarm is raised."""
    configure(cache_policy(redis_url, local={"enabled": False}))
    calls, answer = _decorated(colour)
    _ask(colour, answer, "one")
    _ask(colour, answer, "two")
    configure(cache_policy(redis_url, local={"enabled": False}))
    redis_server.command("COPY", answer.key("one"), answer.key("two"), "DB", "1", "REPLACE")
    _copy_in_db(redis_server, answer.key("one"), answer.key("two"))
    assert _ask(colour, answer, "two") == ["two"]
    assert calls == ["one", "two", "two"]
    assert any(record.levelname == "ERROR" for record in caplog.records)
    close()


@pytest.mark.parametrize("damage", ["truncated", "altered", "foreign", "empty"])
def test_r6_damaged_bytes_are_a_miss(
    colour: Colour, redis_server: RedisServer, redis_url: str, damage: str
) -> None:
    """R6: bytes that are no intact value are replaced by asking the function, never an exception."""
    configure(cache_policy(redis_url, local={"enabled": False}))
    calls, answer = _decorated(colour)
    _ask(colour, answer)
    key = answer.key("canary-question")
    whole = _in_db(redis_server, "GET", key)
    assert isinstance(whole, bytes)
    damaged = {
        "truncated": whole[:-3],
        "altered": whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:],
        "foreign": b"a value of somebody else's",
        "empty": b"",
    }[damage]
    _in_db(redis_server, "SET", key, damaged)
    assert _ask(colour, answer) == ["canary-question"]
    assert len(calls) == 2
    assert _ask(colour, answer) == ["canary-question"]
    assert len(calls) == 2  # the good bytes are back
    close()


def test_a_value_of_another_type_under_the_key_is_a_fault(
    colour: Colour, redis_server: RedisServer, redis_url: str
) -> None:
    """C1: a key that holds a list, say, is survived."""
    configure(cache_policy(redis_url, local={"enabled": False}))
    _, answer = _decorated(colour)
    _in_db(redis_server, "LPUSH", answer.key("canary-question"), b"x")
    assert _ask(colour, answer) == ["canary-question"]
    close()


def test_a_changed_return_type_is_a_miss(colour: Colour, redis_url: str) -> None:
    """After a deployment that changed a function's result type, its older answers are not found."""
    configure(cache_policy(redis_url, local={"enabled": False}))
    answers: list[Any] = []

    def before(question: str) -> list[str]:
        return [question]

    def after(question: str) -> dict[str, str]:
        return {"asked": question}

    for function in (before, after):
        decorated = colour.decorate(cached("answers", key="q:{question}"))(function)
        answers.append(_ask(colour, decorated, "why"))
    assert answers == [["why"], {"asked": "why"}]
    close()


def test_c2_a_silent_redis_costs_no_more_than_the_deadline(colour: Colour) -> None:
    """C2: all that a call asks of Redis shares one deadline: after a timeout nothing more is tried."""
    time = ManualClock()
    configure(cache_policy("memory://", redis={"deadline": "100ms"}), clock=time.clock)
    calls, answer = _decorated(colour)

    from cachepolicy.tiers.memory import MemorySync

    asked: list[str] = []

    def slow(self: object, command: Command[Any], timeout: float) -> None:
        asked.append(str(command.words[0]))
        time.advance(timeout)  # the time that a leaf takes to give up
        raise StoreUnavailable("silence", Fault.TIMEOUT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemorySync, "execute", slow)
        assert _ask(colour, answer) == ["canary-question"]
    assert asked == ["GETRANGE", "EVALSHA"]  # the entry and its tags, and nothing after them
    assert calls == ["canary-question"]


def _in_db(server: RedisServer, *command: str | bytes) -> object:
    """Run a command in the database of the test's namespace, on a connection of its own."""
    import redis

    with redis.Redis(port=server.port, db=1) as client:
        return client.execute_command(*command)


def _copy_in_db(server: RedisServer, source: str, target: str) -> None:
    _in_db(server, "COPY", source, target, "REPLACE")


def test_valkey_serves_as_redis_does(colour: Colour, valkey_server: RedisServer) -> None:
    """On Valkey a decorated function is answered from its own database, proven by the canary."""
    valkey_server.command("FLUSHALL")
    configure(cache_policy(valkey_server.url, redis={"databases": "auto"}, local={"enabled": False}))
    calls, answer = _decorated(colour)
    for _ in range(3):
        assert _ask(colour, answer) == ["canary-question"]
    assert calls == ["canary-question"]
    assert _in_db(valkey_server, "EXISTS", answer.key("canary-question")) == 1
    assert valkey_server.command("EXISTS", answer.key("canary-question")) == b":0\r\n"
    close()
