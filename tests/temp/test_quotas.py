"""Room for files: it is never exceeded, by nobody together, and comes back by itself."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from cachepolicy import BlobError, QuotaExceeded, TempStore, TooLarge, aclose, configure
from cachepolicy.keys.layout import blob_account_keys
from cachepolicy.policy.rules import TempRule
from cachepolicy.runtime import current
from cachepolicy.tiers.commands import unlink
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, content, in_parts, other, pass_time, temp_policy


@pytest.fixture(params=["memory", "redis"])
def files(request: pytest.FixtureRequest, colour: Colour, redis_url: str) -> Files:
    """Give a store where an owner may keep 10 chunks, and all 25."""
    url = "memory://" if request.param == "memory" else redis_url
    quotas = {"per_owner": 10 * CHUNK, "total": 25 * CHUNK}
    configure(temp_policy(url, max_file=8 * CHUNK, quotas=quotas))
    return Files(colour)


def test_an_owner_keeps_no_more_than_its_share(files: Files) -> None:
    """What would exceed the owner's quota is refused; deleting makes room."""
    first = files.put(content(6 * CHUNK), owner="u")
    with pytest.raises(QuotaExceeded, match="its owner"):
        files.put(content(5 * CHUNK), owner="u")
    files.put(content(4 * CHUNK), owner="u")
    assert files.usage("u") == 10 * CHUNK
    files.do(files.store.delete, first.id)
    assert files.usage("u") == 4 * CHUNK
    files.put(content(6 * CHUNK), owner="u")


def test_all_together_keep_no_more_than_the_total(files: Files) -> None:
    """The total holds over all owners, and for files that have none; what was refused takes no room."""
    for owner in ("a", "b", None):
        files.put(content(8 * CHUNK), owner=owner)
    with pytest.raises(QuotaExceeded, match="namespace"):
        files.put(content(2 * CHUNK), owner="c")
    assert (files.usage("c"), files.usage()) == (0, 24 * CHUNK)
    files.put(content(CHUNK), owner="c")


@pytest.mark.parametrize("known", [True, False])
def test_a_file_is_no_larger_than_may_be(files: Files, known: bool) -> None:
    """A file above max_file is refused, before it is read where its size is known; nothing of it stays."""
    read: list[int] = []

    def source() -> Any:
        for part in in_parts(content(20 * CHUNK), CHUNK):
            read.append(len(part))
            yield part

    with pytest.raises(TooLarge):
        files.put(bytes(20 * CHUNK) if known else source(), owner="u")
    assert sum(read) <= (10 + 8) * CHUNK  # a window beyond what may be
    assert (files.usage("u"), files.usage()) == (0, 0)
    files.put(iter([content(8 * CHUNK)]), owner="u")


def test_a_file_of_unknown_size_takes_room_as_it_comes(files: Files) -> None:
    """A file that does not tell its size fits where it just fits, and is refused where it does not."""
    files.put(content(5 * CHUNK), owner="u")
    with pytest.raises(QuotaExceeded):
        files.put(in_parts(content(5 * CHUNK + 1), 100), owner="u")
    assert files.usage("u") == files.usage() == 5 * CHUNK
    files.put(in_parts(content(5 * CHUNK), 100), owner="u")
    assert files.usage("u") == files.usage() == 10 * CHUNK


def test_nothing_is_left_of_what_was_refused(redis_files: Files, redis_url: str) -> None:
    """A refused upload leaves no key behind."""
    configure(temp_policy(redis_url, max_file=10 * CHUNK, quotas={"total": 10 * CHUNK}))
    for _ in range(2):
        redis_files.put(in_parts(content(4 * CHUNK), 700))
    with pytest.raises(BlobError):
        redis_files.put(in_parts(content(4 * CHUNK), 700))
    with other(redis_url) as client:
        assert len(client.keys("*temp:{*}")) == 2
        assert len(client.keys("*temp:{*}:*")) == 8


def test_room_comes_back_when_files_end(colour: Colour, redis_url: str) -> None:
    """What has expired takes no room any more, without anybody having to remove it."""
    configure(temp_policy(redis_url, max_file=5 * CHUNK, quotas={"per_owner": 5 * CHUNK}))
    files = Files(colour)
    files.put(content(5 * CHUNK), owner="u", ttl="1h")
    pass_time(redis_url, 1800)
    with pytest.raises(QuotaExceeded):
        files.put(content(1), owner="u")
    pass_time(redis_url, 1800)
    assert files.usage("u") == files.usage() == 0
    files.put(content(5 * CHUNK), owner="u")
    with other(redis_url) as client:
        accounts: Any = client.keys("*kept:*")
        assert all(client.pttl(key) > 0 for key in accounts)


def test_quotas_hold_under_threads_and_tasks(redis_url: str) -> None:
    """However many upload at once, what is kept is never more than the quotas say; when it fits, it fits."""
    quotas = {"per_owner": 20 * CHUNK, "total": 50 * CHUNK}
    configure(temp_policy(redis_url, max_file=10 * CHUNK, quotas=quotas))
    store, seen = TempStore(), list[int]()

    def work(number: int) -> None:
        for size in (1, 3, 5, 2):
            try:
                blob = store.put.sync(in_parts(content(size * CHUNK), 900), owner=number % 3)
                if size != 1:
                    store.delete.sync(blob.id)
            except QuotaExceeded:
                pass
            seen.extend((store.usage.sync(), *(store.usage.sync(owner) * 5 // 2 for owner in range(3))))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()

    async def main() -> int:
        outcomes = await asyncio.gather(
            *[store.put(content(10 * CHUNK), owner="v") for _ in range(10)], return_exceptions=True
        )
        assert all(isinstance(outcome, QuotaExceeded) or outcome.size for outcome in outcomes)  # type: ignore[union-attr] # a Blob has one
        await aclose()
        return sum(not isinstance(outcome, BaseException) for outcome in outcomes)

    uploaded = asyncio.run(main())
    for thread in threads:
        thread.join()
    assert max(seen) <= 50 * CHUNK
    assert uploaded <= 2
    kept = sum(store.usage.sync(owner) for owner in (0, 1, 2, "v"))
    assert kept == store.usage.sync() <= 50 * CHUNK


@pytest.mark.parametrize("half", ["until", "sizes"])
def test_an_account_that_lost_a_half_begins_anew(files: Files, half: str) -> None:
    """Where one half of an account was evicted, nobody is locked out by the other."""
    files.put(content(8 * CHUNK), owner="u")
    runtime = current.current()
    site = runtime.archive.records("temp", TempRule, "a test").site
    keys = [key for who in ("u", None) for key in blob_account_keys("test:temp:", who) if key.endswith(half)]
    for key in keys:
        assert runtime.stores.sync_io(site).store.execute(unlink(key), 5.0)
    assert files.usage("u") == 0
    files.put(content(8 * CHUNK), owner="u")
    assert files.usage("u") == 8 * CHUNK
