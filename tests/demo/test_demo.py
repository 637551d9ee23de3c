"""The demo as a newcomer runs it: in processes of its own, over real HTTP, with a shared Redis or without."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cachepolicy import policy
from cachepolicy.__main__ import main
from cachepolicy.cli.demo_process import DemoFailed, Job, do_elsewhere
from cachepolicy.cli.demo_questions import QUESTIONS
from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.redis_server import RedisServer
from tests.demo.conftest import ROOT, Demo

Run = Callable[..., Any]


def _answers(found: Any) -> dict[tuple[int, int], Counter[tuple[str, str]]]:
    """Count how each pass of each process was answered."""
    passes: dict[tuple[int, int], Counter[tuple[str, str]]] = {}
    for row in found["rows"]:
        passes.setdefault((row["process"], row["turn"]), Counter())[row["outcome"], row["tier"]] += 1
    return passes


@pytest.fixture(scope="module")
def alone(demo_json: Run) -> Any:
    """What a run without a Redis found."""
    return demo_json()


@pytest.fixture(scope="module")
def shared(demo_json: Run, redis_server: RedisServer) -> Any:
    """What a run with a shared Redis found."""
    return demo_json(REDIS_URL=redis_server.url)


def test_without_redis_each_process_pays_once(alone: Any) -> None:
    """With memory:// the second pass is answered from L1, and another process has to ask again."""
    assert _answers(alone) == {
        (1, 1): Counter({("miss", "origin"): 2}),
        (1, 2): Counter({("hit", "l1"): 2}),
        (2, 1): Counter({("miss", "origin"): 2}),
    }
    assert alone["redis"] == "memory://"
    assert alone["totals"]["asked"] == 6
    assert alone["totals"]["paid"] == 4


def test_with_redis_the_other_process_pays_nothing(shared: Any) -> None:
    """With a shared Redis the second process is answered from L2, and saves what the answer cost."""
    answers = _answers(shared)
    own = answers.pop((1, 2))  # L1 may leave out what it is given first: it hears of its own beginning
    assert own in [Counter({("hit", "l1"): count, ("hit", "l2"): 2 - count}) for count in range(3)]
    assert answers == {(1, 1): Counter({("miss", "origin"): 2}), (2, 1): Counter({("hit", "l2"): 2})}
    totals = shared["totals"]
    assert totals["paid"] == 2
    assert totals["tokens_saved"] == sum(row["tokens_saved"] for row in shared["rows"]) > 0
    assert totals["dollars_saved"] > 0
    assert totals["seconds_saved"] > 0


def test_every_run_begins_cold_and_expires(
    shared: Any, demo_json: Run, redis_server: RedisServer, redis_url: str
) -> None:
    """A run finds no answer of an earlier one in the same Redis, and every key that it leaves has a TTL."""
    again = demo_json(REDIS_URL=redis_url)

    assert [row["outcome"] for row in again["rows"]] == [row["outcome"] for row in shared["rows"]]
    databases = re.findall(rb"keys=(\d+),expires=(\d+)", redis_server.command("INFO", "keyspace"))
    assert databases
    assert all(keys == expires for keys, expires in databases)


def test_the_spans_tell_a_miss_and_a_hit_apart(shared: Any) -> None:
    """The provider's request hangs below a miss, nothing below a hit from L2, and an L1 hit has no span."""
    spans = shared["spans"]
    lookups = [span for span in spans if span["name"] == "cache.get llm"]
    calls = {span["identity"]: span["parent"] for span in spans if span["name"] == "cache.origin llm"}
    parents = {calls[span["parent"]] for span in spans if span["kind"] == "client"}

    answered = Counter(row["tier"] for row in shared["rows"] if row["tier"] != "l1")
    assert answered.keys() == {"origin", "l2"}
    assert Counter(span["attributes"]["cachepolicy.tier"] for span in lookups) == answered
    assert {span["identity"] for span in lookups if not span["attributes"]["cache.hit"]} == parents
    assert all(span["kind"] == "internal" for span in lookups)


def test_no_span_holds_a_question(alone: Any) -> None:
    """What was asked is in no span."""
    spans = str(alone["spans"])

    assert "cache.get llm" in spans
    assert not any(question in spans for question in QUESTIONS)


def test_a_person_gets_a_table_totals_and_traces(demo: Demo, redis_url: str) -> None:
    """The printed demo names model and Redis, lists each question, and draws both traces."""
    done = demo(REDIS_URL=redis_url)

    assert done.returncode == 0, done.stderr
    for expected in (
        "gpt-4.1-mini",
        f"Redis: {redis_url}",
        "process 1, pass 1: 2 answered",
        "process 2, pass 1",
        QUESTIONS[0],
        QUESTIONS[1],
        "6 questions asked, 2 paid for",
        "Trace of a miss",
        "POST /v1/chat/completions",
        "cachepolicy.tier = l2",
    ):
        assert expected in done.stdout
    assert "\x1b" not in done.stdout, "colours where there is no terminal"


def test_without_redis_the_table_is_honest(demo: Demo) -> None:
    """With memory:// the demo says how to share a Redis, and why there is no hit from L2."""
    done = demo()

    assert "Redis: memory://" in done.stdout
    assert "set REDIS_URL" in done.stdout
    assert "No hit in L2" in done.stdout


def test_a_real_provider_is_asked_when_there_is_a_key(demo_json: Run) -> None:
    """With OPENAI_API_KEY and OPENAI_BASE_URL the questions go there, for the model in OPENAI_MODEL."""
    with OpenAIServer(think=0, api_key="sk-right") as server:
        found = demo_json(OPENAI_API_KEY="sk-right", OPENAI_BASE_URL=server.base_url, OPENAI_MODEL="gpt-4o")
        assert server.requests == 4
    assert found["model"] == "gpt-4o"
    assert {row["model"] for row in found["rows"]} == {"gpt-4o-2024-08-06"}


def test_a_model_without_a_list_price_saves_tokens_only(demo: Demo) -> None:
    """For an unknown model the totals speak of tokens and seconds, not of money."""
    with OpenAIServer(think=0, models={"house-model": "house-model"}) as server:
        done = demo(OPENAI_API_KEY="k", OPENAI_BASE_URL=server.base_url, OPENAI_MODEL="house-model")

    assert "tokens and" in done.stdout
    assert "$" not in done.stdout


def _assert_clear_failure(done: Any, sentence: str) -> None:
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_refused_key_is_one_sentence(demo: Demo) -> None:
    """A bad key ends the demo with exit code 1 and a sentence that does not repeat the key."""
    with OpenAIServer(think=0, api_key="sk-right") as server:
        done = demo(OPENAI_API_KEY="sk-wrong-secret", OPENAI_BASE_URL=server.base_url)

    _assert_clear_failure(done, "refused the key in OPENAI_API_KEY")
    assert "sk-wrong-secret" not in done.stdout + done.stderr


def test_an_unreachable_provider_is_one_sentence(demo: Demo) -> None:
    """A provider that cannot be reached ends the demo with exit code 1 and a sentence."""
    _assert_clear_failure(
        demo(OPENAI_API_KEY="k", OPENAI_BASE_URL="http://127.0.0.1:9/v1"), "the provider cannot be reached"
    )


def test_an_unknown_model_is_one_sentence(demo: Demo) -> None:
    """A model that the provider does not serve ends the demo with a sentence that names OPENAI_MODEL."""
    _assert_clear_failure(demo(OPENAI_MODEL="gpt-0"), "set OPENAI_MODEL")


def test_a_refused_request_is_one_sentence(demo: Demo) -> None:
    """Any other refusal is passed on in the provider's words."""
    with OpenAIServer(think=0) as server:
        server.fail_with(403, times=100)
        done = demo(OPENAI_API_KEY="k", OPENAI_BASE_URL=server.base_url)

    _assert_clear_failure(done, "refused the request (403): The server was told to fail with 403.")


def test_an_absent_redis_is_one_sentence(demo: Demo) -> None:
    """A Redis that does not answer ends the demo with a sentence, before a question is paid for."""
    with OpenAIServer(think=0) as server:
        done = demo(
            OPENAI_API_KEY="k",
            OPENAI_BASE_URL=server.base_url,
            REDIS_URL="redis://ada:secret@127.0.0.1:9",
        )
        assert server.requests == 0

    _assert_clear_failure(done, "redis://***@127.0.0.1:9")
    assert "secret" not in done.stdout + done.stderr


def test_a_wrong_policy_is_told_as_it_is(demo: Demo, tmp_path: Path) -> None:
    """A mistake in the policy file ends the demo with its place, and no traceback."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nnamespace: {}\n")
    done = demo(CACHEPOLICY_FILE=str(wrong))

    assert done.returncode == 1
    assert f"{wrong}:2:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_telemetry_there_is_no_trace(demo: Demo, tmp_path: Path) -> None:
    """Where the policy turns telemetry off, the demo says so instead of drawing traces."""
    quiet = tmp_path / "quiet.yaml"
    quiet.write_text(f"version: 1\nextends: {policy.shipped()}\ntelemetry: {{enabled: false}}\n")
    done = demo(CACHEPOLICY_FILE=str(quiet))

    assert done.returncode == 0, done.stderr
    assert "cache.get" not in done.stdout


def test_a_process_that_breaks_tells_how() -> None:
    """A fault that nobody foresaw is shown whole, rather than as a demo that found nothing."""
    broken = Job(
        1, 1, cast("int", "two"), True, "gpt-4.1-mini", {"version": 1, "extends": str(policy.shipped())}
    )

    with pytest.raises(DemoFailed, match=r"(?s)process 1 of the demo broke off:.*TypeError"):
        list(do_elsewhere(broken, os.environ | {"OPENAI_API_KEY": "k", "PYTHONPATH": str(ROOT)}))


@pytest.mark.parametrize("arguments", [("--questions", "0"), ("--questions", "7"), ("--think", "long")])
def test_wrong_arguments_are_usage_errors(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong option is refused with the usage and exit code 2, before anything is asked."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments])

    assert ended.value.code == 2
    assert "usage: cachepolicy demo" in capsys.readouterr().err
