"""What an ACL user needs, as the documentation lists it."""

from __future__ import annotations

import functools
import re

from cachepolicy import cached, configure, namespace
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.racing import in_colour
from tests.support.source import ROOT
from tests.support.waiting import until


def documented() -> list[str]:
    """Return the commands that the guide lists."""
    page = (ROOT / "docs/guide/topologies.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"ACL SETUSER app (.*)", page)
    return [word for word in line.split() if word.startswith("+")]


def test_the_commands_that_an_acl_user_needs_are_those_documented(
    colour: Colour, own_redis: RedisServer
) -> None:
    """A user with just the commands, keys and channels of the guide caches, hears and invalidates."""
    user = ("app", "on", ">pass", "resetkeys", "~test:*", "resetchannels", "&test:*", "-@all")
    assert own_redis.command("ACL", "SETUSER", *user, *documented()).startswith(b"+OK")
    configure(cache_policy(own_redis.url, redis={"username": "app", "password": "pass"}, tags=["model"]))
    loads: list[str] = []

    @colour.decorate(cached("answers"))
    def answer(question: str, model: str) -> str:
        loads.append(question)
        if question == "fails":
            raise LookupError(question)
        return "x" * 100_000 if question == "large" else question

    answers = namespace("answers")
    for question in ("small", "large"):
        for _ in range(2):
            in_colour(colour, functools.partial(answer, question, "m"))
    in_colour(colour, lambda: answer.expire("small", "m"))
    in_colour(colour, lambda: answer.invalidate("large", "m"))
    answers.purge_tag.sync("model", "m")
    answers.expire_all.sync()
    in_colour(colour, lambda: answer("small", "m"))
    site = next(iter(current.current()._plans)).site
    until(lambda: site.hearing.live, "the watch")
    assert loads == ["small", "large", "small"]
    assert own_redis.command("ACL", "LOG") == b"*0\r\n"
