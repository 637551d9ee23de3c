"""C5 between real processes."""

from __future__ import annotations

import os
import signal

import pytest

from cachepolicy.testing.redis_server import RedisServer
from tests.support.member import Member
from tests.support.policies import cache_policy
from tests.support.waiting import until

LEASE = {"lease": "300ms"}


def test_c5_a_purge_is_seen_by_other_processes(redis_url: str) -> None:
    """C5, C6: what one process purges by tag is gone from another's L1 and L2, once it has heard."""
    policy = cache_policy(redis_url, db=0)
    with Member(policy) as one, Member(policy) as other:
        assert [one.ask(), other.ask(), other.ask()] == [0, 0, 0]
        for member in (one, other):
            member.tell("truth 1")
        one.tell("purge")
        assert one.hear() == "done"
        until(lambda: other.ask() == 1, "the news of the purge")
        assert one.ask() == 1


@pytest.mark.parametrize("verb", ["purge", "purge_key"])
def test_c5_a_load_in_one_process_loses_to_a_purge_in_another(redis_url: str, verb: str) -> None:
    """C5: a load under way in one process does not store what another has purged meanwhile."""
    policy = cache_policy(redis_url, db=0)
    with Member(policy) as slow, Member(policy) as other:
        slow.tell("hold")
        slow.tell("ask")
        assert slow.hear() == "began"
        other.tell("truth 1")
        other.tell(verb)
        assert other.hear() == "done"
        assert other.ask() == 1  # and it did not wait
        slow.tell("go")
        assert slow.hear() == "0"
        slow.tell("truth 1")
        assert other.ask() == 1
        assert slow.ask() == 1


@pytest.mark.parametrize("verb", ["purge", "purge_key", None])
def test_c5_a_zombie_overwrites_nothing(own_redis: RedisServer, verb: str | None) -> None:
    """C5: a leader that was stopped past its lease, and goes on, leaves what is newer alone."""
    policy = cache_policy(own_redis.url, db=0, stampede=LEASE, local={"enabled": False})
    with Member(policy) as zombie, Member(policy) as other:
        zombie.tell("hold")
        zombie.tell("ask")
        assert zombie.hear() == "began"
        os.kill(zombie.pid, signal.SIGSTOP)
        try:
            other.tell("truth 1")
            if verb is not None:
                other.tell(verb)
                assert other.hear() == "done"
            assert other.ask() == 1  # it took the lease over
        finally:
            os.kill(zombie.pid, signal.SIGCONT)
        zombie.tell("go")
        assert zombie.hear() == "0"
        assert other.ask() == 1
        assert zombie.ask() == 1
