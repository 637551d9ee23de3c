"""A cold key that five hundred callers ask for at once: how often its origin is called, how long it takes.

``python -m tests.benchmarks.stampede CONTENDER URL THREADS TASKS`` is one of the processes that ask. For each
line on its input, a key and the moment to begin, it prints how often its origin was called, and when the last
caller had the answer. All processes read the same monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from cachepolicy.testing.redis_server import RedisServer
from tests.benchmarks.harness import OURS
from tests.benchmarks.stage import peer
from tests.support.waiting import block, rest, until

TITLE: Final = "stampede of 500 callers on a cold key"
CALLERS: Final = 500
ORIGIN: Final = 0.05  # seconds
MOST: Final = 1.5  # times the origin
CASHEWS: Final = "cashews, lock=True"
AIOCACHE: Final = "aiocache, cached_stampede"
DOGPILE: Final = "dogpile.cache, redis lock"
BY_HAND: Final = "asyncio.Lock and redis-py by hand"
BARE: Final = "waiting only, nothing cached"

_ROOT: Final = Path(__file__).parents[2]
_NOTICE: Final = 0.25  # seconds from the order to the beginning
_TTL: Final = 3600

Ask = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Crowd:
    """One contender before one kind of crowd.

    Attributes:
        contender: who.
        mix: of what the callers are.
        processes: how many share the callers.
        calls: of the origin, in each round.
        seconds: until the last caller was answered, in each round.
    """

    contender: str
    mix: str
    processes: int
    calls: Sequence[int]
    seconds: Sequence[float]

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.contender}, {self.mix}"

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


_MIXES: Final = {"tasks": (0, 1.0), "threads": (1.0, 0), "mixed": (0.5, 0.5)}
_CONTENDERS: Final = [
    *[(OURS, mix) for mix in _MIXES],
    (BARE, "threads"),
    (CASHEWS, "tasks"),
    (AIOCACHE, "tasks"),
    (DOGPILE, "threads"),
    (BY_HAND, "tasks"),
]


def measure(*, quick: bool) -> Iterator[Crowd]:
    """Let each contender meet the crowd, in one process and spread over four."""
    with RedisServer("--maxclients", "4000") as server:
        for processes in (1, 4):
            for contender, mix in _CONTENDERS:
                server.command("FLUSHALL")
                yield _meet(contender, mix, processes, server.url, rounds=5 if quick else 15)


def _meet(contender: str, mix: str, processes: int, url: str, rounds: int) -> Crowd:
    threads, tasks = (round(share * CALLERS / processes) for share in _MIXES[mix])
    command = [sys.executable, "-m", "tests.benchmarks.stampede", contender, url, str(threads), str(tasks)]
    calls: list[int] = []
    seconds: list[float] = []
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(
                subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(processes)
        ]
        for process in crowd:
            _pipe(process.stdout).readline()  # it is ready
        for number in range(rounds + 1):  # the first brings scripts and connections
            begin = time.monotonic() + _NOTICE
            for process in crowd:
                _pipe(process.stdin).write(json.dumps([f"round {number}", begin]) + "\n")
                _pipe(process.stdin).flush()
            told = [json.loads(_pipe(process.stdout).readline()) for process in crowd]
            if number:
                calls.append(sum(count for count, _ in told))
                seconds.append(max(end for _, end in told) - begin)
        for process in crowd:
            process.communicate()
    return Crowd(contender, mix, processes, calls, seconds)


def _pipe(stream: IO[Any] | None) -> IO[Any]:
    if stream is None:
        raise RuntimeError("the process has no pipe")
    return stream


# in each process


class _Callers:
    """The callers of one process, and the origin that they ask for."""

    def __init__(self) -> None:
        self.calls = 0
        self.loop = asyncio.new_event_loop()

    def answer(self, question: str) -> dict[str, str]:
        """Answer in a thread."""
        self.calls += 1
        block(ORIGIN)
        return {"answer": question}

    async def answer_later(self, question: str) -> dict[str, str]:
        """Answer in a task."""
        self.calls += 1
        await rest(ORIGIN)
        return {"answer": question}

    def ask(self, in_thread: Ask, in_task: Ask, key: str, begin: float, threads: int, tasks: int) -> float:
        """Ask from everywhere at the given moment; return when the last had the answer."""
        gate = threading.Event()

        def work() -> None:
            gate.wait()
            in_thread(key)

        async def ask_all() -> None:
            await asyncio.gather(*[in_task(key) for _ in range(tasks)])

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        block(max(0.0, begin - time.monotonic()))
        gate.set()
        if tasks:
            self.loop.run_until_complete(ask_all())
        for worker in workers:
            worker.join()
        return time.monotonic()


def _ours(callers: _Callers, url: str) -> tuple[Ask, Ask]:
    import cachepolicy
    from cachepolicy.runtime import current

    answers = {"kind": "cache", "db": 0, "scope": "global", "ttl": "1h"}
    redis = {"url": url, "deadline": "5s"}
    policy = {"version": 1, "app": "bench", "redis": redis, "namespaces": {"answers": answers}}
    cachepolicy.configure(policy)

    @cachepolicy.cached("answers", key="{question}")
    def answer(question: str) -> dict[str, str]:
        return callers.answer(question)

    @cachepolicy.cached("answers", key="{question}")
    async def later(question: str) -> dict[str, str]:
        return await callers.answer_later(question)

    answer("warm")
    stores = current.current().stores
    until(lambda: all(site.hearing.live for site in list(stores._sites.values())), "changes to be heard")
    return answer, later


def _cashews(callers: _Callers, url: str) -> tuple[Ask, Ask]:
    cache = peer("cashews").Cache()
    cache.setup(url)

    answer: Ask = cache(ttl=_TTL, key="answers:{question}", lock=True)(callers.answer_later)
    return answer, answer


def _aiocache(callers: _Callers, url: str) -> tuple[Ask, Ask]:
    aiocache = peer("aiocache")
    port = int(url.rpartition(":")[2].partition("/")[0])

    def key(_: object, question: str) -> str:
        return question

    answer: Ask = aiocache.cached_stampede(
        lease=2,
        ttl=_TTL,
        key_builder=key,
        cache=aiocache.RedisCache,
        port=port,
        serializer=peer("aiocache.serializers").JsonSerializer(),
        pool_max_size=600,
    )(callers.answer_later)
    return answer, answer


def _dogpile(callers: _Callers, url: str) -> tuple[Ask, Ask]:
    arguments = {
        "url": url,
        "distributed_lock": True,
        "thread_local_lock": False,
        "lock_timeout": 10,
        "connection_kwargs": {"max_connections": 600},
    }
    region = (
        peer("dogpile.cache")
        .make_region()
        .configure("dogpile.cache.redis", expiration_time=_TTL, arguments=arguments)
    )

    def answer(question: str) -> dict[str, str]:
        return callers.answer(question)

    asked: Ask = region.cache_on_arguments()(answer)
    return asked, asked


def _by_hand(callers: _Callers, url: str) -> tuple[Ask, Ask]:
    from redis.asyncio import Redis

    client, lock = Redis.from_url(url, max_connections=600), asyncio.Lock()

    async def answer(question: str) -> Any:
        if (found := await client.get(question)) is None:
            async with lock:
                if (found := await client.get(question)) is None:
                    made = await callers.answer_later(question)
                    await client.set(question, json.dumps(made), ex=_TTL)
                    return made
        return json.loads(found)

    return answer, answer


def _bare(callers: _Callers, _: str) -> tuple[Ask, Ask]:
    """Do no more than to wait for one who works: what threads cost by themselves."""
    lock, landings = threading.Lock(), dict[str, threading.Event]()

    def answer(question: str) -> None:
        with lock:
            landing = landings.get(question)
            if landing is None:
                landings[question] = threading.Event()
        if landing is None:
            callers.answer(question)
            landings[question].set()
        else:
            landing.wait()

    return answer, answer


_PREPARE: Final[dict[str, Callable[[_Callers, str], tuple[Ask, Ask]]]] = {
    OURS: _ours,
    CASHEWS: _cashews,
    AIOCACHE: _aiocache,
    DOGPILE: _dogpile,
    BY_HAND: _by_hand,
    BARE: _bare,
}


def main(contender: str, url: str, threads: int, tasks: int) -> None:
    """Be one of the processes."""
    callers = _Callers()
    asyncio.set_event_loop(callers.loop)
    in_thread, in_task = _PREPARE[contender](callers, url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        key, begin = json.loads(line)
        callers.calls = 0
        end = callers.ask(in_thread, in_task, key, begin, threads, tasks)
        sys.stdout.write(json.dumps([callers.calls, end]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
