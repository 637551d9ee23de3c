"""``namespace()``: what it takes, refuses and costs."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cachepolicy import (
    ForeignKey,
    Namespace,
    PolicyError,
    UnkeyableArgument,
    UnknownNamespace,
    cached,
    close,
    configure,
    control,
    namespace,
)
from cachepolicy.codec.envelope import TAG_ID
from cachepolicy.flow import versions as versioning
from cachepolicy.flow.versions import Versions
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.racing import another_process, race

VERBS: dict[str, Callable[[Namespace, str], Any]] = {
    "purge_tag": lambda answers, _: answers.purge_tag.sync("model", "small"),
    "expire_tag": lambda answers, _: answers.expire_tag.sync("model", "small"),
    "purge_key": lambda answers, key: answers.purge_key.sync(key),
    "expire_key": lambda answers, key: answers.expire_key.sync(key),
    "purge_all": lambda answers, _: answers.purge_all.sync(),
    "expire_all": lambda answers, _: answers.expire_all.sync(),
}


def _spent(server: RedisServer) -> dict[str, int]:
    lines = server.command("INFO", "commandstats").decode().splitlines()
    return {
        name.removeprefix("cmdstat_"): int(rest.split(",")[0].removeprefix("calls="))
        for name, _, rest in (line.partition(":") for line in lines if line.startswith("cmdstat_"))
    }


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_c5_a_verb_costs_the_same_however_much_there_is(own_redis: RedisServer, verb: Any) -> None:
    """C5: each verb is one script of the same few commands, with 10 entries and with 10,000; never SCAN."""
    configure(cache_policy(own_redis.url, db=0, local={"coherence": "off"}))

    @cached("answers", tags=("model",))
    def answer(number: int, model: str) -> int:
        return number

    answers, spent = namespace("answers"), []
    answer(0, "small")
    verb(answers, answer.key(0, "small"))  # the script is known from here on
    for entries in (10, 10_000):
        for number in range(10):
            answer(number, "small")
        own_redis.command(
            "EVAL",
            "local value = redis.call('GET', KEYS[1]) "
            "for at = 1, ARGV[1] do redis.call('SET', KEYS[1] .. at, value) end",
            "1",
            answer.key(0, "small"),
            str(entries),
        )
        before = _spent(own_redis)
        verb(answers, answer.key(0, "small"))
        after = _spent(own_redis)
        spent.append({name: calls - before.get(name, 0) for name, calls in after.items()})
    few, many = ({name: n for name, n in one.items() if n and name != "info"} for one in spent)
    assert few == many
    assert few["evalsha"] == 1
    assert sum(few.values()) <= 10
    assert not {"scan", "keys", "flushdb", "flushall"} & few.keys()
    close()


def test_a_key_of_another_namespace_is_refused() -> None:
    """A key that is none of the namespace's entries is an error that does not show it."""
    configure(cache_policy())
    for verb in (namespace("answers").purge_key, namespace("answers").expire_key):
        for key in (
            "test:answers2:secret",
            "secret",
            "",
            "test:answers:",
            "test:answers:v:{answers}:" + "0" * 16,
        ):
            with pytest.raises(ForeignKey, match="begins with 'test:answers:'") as refused:
                verb.sync(key)
            assert "secret" not in str(refused.value)


def test_a_namespace_is_looked_up_when_it_is_used() -> None:
    """An unknown namespace, or one of another kind, is an error of the first verb, not of the import."""
    sessions, nothing = namespace("sessions"), namespace("answer")
    policy = cache_policy()
    policy["namespaces"]["sessions"] = {"kind": "sessions", "db": 0}
    configure(policy)
    with pytest.raises(PolicyError, match="kind sessions"):
        sessions.purge_all.sync()
    with pytest.raises(UnknownNamespace, match="answers"):
        nothing.purge_tag.sync("model", 1)
    assert repr(nothing) == "namespace('answer')"


def test_a_tag_that_cannot_be_keyed_is_refused(colour: Colour) -> None:
    """A value that is no tag is an error that names the argument and never shows the value."""
    configure(cache_policy())

    class Secret:
        def __repr__(self) -> str:
            return "secret"

    @colour.decorate(cached("answers", key="q:{question}", tags=("model",)))
    def answer(question: str, model: object) -> int:
        return 1

    with pytest.raises(UnkeyableArgument, match="model") as refused:
        colour.run(lambda: answer("why?", Secret()))
    assert "secret" not in str(refused.value)
    with pytest.raises(UnkeyableArgument, match="model") as refused:
        namespace("answers").purge_tag.sync("model", Secret())
    assert "secret" not in str(refused.value)


def test_an_argument_tag_needs_its_value() -> None:
    """The value of an argument is not forgotten by mistake: that would purge nothing, and say nothing."""
    configure(cache_policy(tags=["model"]))
    with pytest.raises(UnkeyableArgument, match="say its value"):
        namespace("answers").purge_tag.sync("model")


def test_tags_are_told_apart_by_type(colour: Colour) -> None:
    """``1`` and ``"1"`` are two tags, as they are two arguments; None is a value."""
    configure(cache_policy(tags=["model"]))
    truth = {"now": 0}

    @colour.decorate(cached("answers"))
    def answer(model: object) -> int:
        return truth["now"]

    for model in (1, "1", None):
        colour.run(functools.partial(answer, model))
    truth["now"] = 1
    namespace("answers").purge_tag.sync("model", 1)
    namespace("answers").purge_tag.sync("model", None)
    assert [colour.run(functools.partial(answer, model)) for model in (1, "1", None)] == [1, 0, 1]


def test_both_colours_of_a_verb_do_the_same() -> None:
    """A verb is awaited, or run by ``.sync``; functions of either colour see it."""
    configure(cache_policy())
    drafts = iter(range(9))

    @cached("answers")
    def draft(topic: str) -> int:
        return next(drafts)

    answers = namespace("answers")
    assert draft("a") == 0
    asyncio.run(answers.purge_all())
    assert draft("a") == 1
    assert asyncio.run(answers.purge_key(draft.key("a"))) is True
    assert answers.purge_key.sync(draft.key("a")) is False
    assert draft("a") == 2


def test_c5_a_tag_that_the_policy_adds_holds_for_what_was_stored_before(
    colour: Colour, redis_url: str
) -> None:
    """C5: an entry from before its tag was named does not survive that tag's purge (bento#83)."""
    with race(colour, redis_url, {}) as racing:

        @colour.decorate(cached("answers", key="q:{question}"))
        def answer(question: str, team: str) -> int:
            return racing.truth.read()

        assert racing.run(lambda: answer("why?", "red")) == 0
        racing.truth.now += 1
        another_process(redis_url, {}, tags=["team"])
        namespace("answers").purge_tag.sync("team", "red")
        assert racing.run(lambda: answer("why?", "red")) == 1


def test_c5_an_entry_with_a_short_life_takes_no_tag_from_a_longer_one(colour: Colour, redis_url: str) -> None:
    """C5: a tag is found for as long as any entry carries it, whatever was tagged last (cashews' loss)."""
    with race(colour, redis_url, {"enabled": False}) as racing:
        assert racing.ask() == 0
        with control(ttl=1):
            racing.run(lambda: racing.answer("another", "small"))
        racing.truth.now += 1
        namespace("answers").purge_tag.sync("model", "small")
        assert racing.ask() == 1


def test_versions_are_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tags there are, a process remembers the versions of so many, the last ones."""
    monkeypatch.setattr(versioning, "MOST_TAGS", 100)
    versions = Versions("test:answers:", 60.0)
    tags = [number.to_bytes(TAG_ID, "big") for number in range(1000)]
    for tag in tags:
        versions.learn([tag], [bytes(16)], 1.0, versions.epoch())
    assert len(versions._known) == 100
    assert versions.vector(tags[-100:], 0.0) is not None


def test_c5_a_version_read_before_a_change_is_not_trusted_after_it() -> None:
    """C5: a reply that was overtaken by the news of a change is not believed."""
    versions, tag = Versions("test:answers:", 60.0), bytes(TAG_ID)
    epoch = versions.epoch()
    versions.forget(tag)  # heard while the reply was on its way
    versions.learn([tag], [bytes(16)], 10.0, epoch)
    assert versions.vector([tag], 0.0) is None


def test_verbs_of_many_threads_do_not_disturb_each_other() -> None:
    """One namespace object serves all threads."""
    configure(cache_policy())
    answers = namespace("answers")
    threads = [threading.Thread(target=answers.purge_tag.sync, args=("model", n)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
