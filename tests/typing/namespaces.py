"""What type checkers see of a namespace's verbs: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import assert_type

from cachepolicy import Namespace, namespace


async def use() -> None:
    """Use all of it."""
    answers = assert_type(namespace("answers"), Namespace)
    await answers.purge_tag("model", "small")
    await answers.expire_tag("made up")
    await answers.expire_all()
    assert_type(await answers.purge_key("app:answers:key"), bool)
    assert_type(answers.expire_key.sync("app:answers:key"), bool)
    answers.purge_tag.sync("model", None)
    answers.purge_all.sync()
    answers.purge_tag.sync(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await answers.purge_all("model")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
