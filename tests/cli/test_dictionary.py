"""``python -m cachepolicy dictionary train``: from values in Redis to a file, and from the file to hits."""

from __future__ import annotations

import random
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import redis

from cachepolicy import Tier, cached, close, configure
from cachepolicy.__main__ import main
from cachepolicy.codec import envelope
from cachepolicy.codec.dictionary import load
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster
from tests.support.answers import completion, reference
from tests.support.asking import ask_each
from tests.support.colour import SYNC, Colour

POLICY = """version: 1
app: test
redis: {{url: "{url}", deadline: 10s, connect_timeout: 10s}}
namespaces:
  answers:
    kind: cache
    scope: global
    db: 1
    local: {{enabled: false}}
    compression: {{dictionary: {named}}}
  sessions: {{kind: sessions}}
environments:
  here: {{app: here}}
"""
QUESTIONS = [f"question {number}" for number in range(150)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _policy(folder: Path, url: str, *named: str) -> Path:
    file = folder / "policies.yaml"
    file.write_text(POLICY.format(url=url, named=f"[{', '.join(named)}]"))
    return file


def _function(colour: Colour) -> Any:
    texts = dict(zip(QUESTIONS, reference(), strict=False))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> dict[str, Any]:
        return completion(texts.get(question, f"An answer to {question}, which nobody has asked before."))

    return answer


def _fill(colour: Colour, policy: Path, questions: list[str] = QUESTIONS) -> Any:
    configure(policy)
    answer = _function(colour)

    ask_each(colour, answer, questions)
    return answer


def _stored(server: RedisServer, key: str) -> envelope.Header:
    with redis.Redis(port=server.port, db=1) as client:
        blob = client.get(key)
    assert isinstance(blob, bytes)
    return envelope.unseal(blob, envelope.fingerprint(key))[0]


def test_from_stored_values_to_hits_that_take_less(
    colour: Colour,
    redis_server: RedisServer,
    redis_url: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Trained on what is stored and named in the policy, a dictionary compresses what comes; all are hits."""
    policy = _policy(folder, redis_url)
    _fill(colour, policy)

    assert main(["dictionary", "train", "answers"]) == 0
    printed = capsys.readouterr().out
    (made,) = folder.glob("answers-*.dict")
    identity = load(made.read_bytes(), 3).id
    assert made.name == f"answers-{identity.hex()}.dict"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert f"dictionary: [{made.name}]" in printed
    with_it, without = (int(re.findall(rf"(\d+)% {word}", printed)[0]) for word in ("with this", "without"))
    assert with_it < without - 10

    configure(_policy(folder, redis_url, made.name))
    answer = _function(colour)
    _, tiers = ask_each(colour, answer, [*QUESTIONS[:3], "new", "new"])
    assert tiers == [Tier.L2] * 3 + [Tier.ORIGIN, Tier.L2]
    assert _stored(redis_server, answer.key("new")).dictionary == identity
    assert _stored(redis_server, answer.key(QUESTIONS[0])).dictionary == envelope.NO_ID


def test_a_second_dictionary_is_trained_beside_the_first(
    redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values of an older dictionary are sampled too, and the lines to add keep it for reading."""
    _fill(SYNC, _policy(folder, redis_url))
    main(["dictionary", "train", "answers", "--output", "old.dict", "--size", "4KiB", "--samples", "100"])
    assert (folder / "old.dict").stat().st_size <= 4096
    answer = _fill(SYNC, _policy(folder, redis_url, "old.dict"))
    for question in QUESTIONS:
        answer.refresh(question)
    close()
    capsys.readouterr()
    assert main(["dictionary", "train", "answers", "--output", "sub folder.dict"]) == 0
    printed = capsys.readouterr().out
    assert "dictionary: ['sub folder.dict', old.dict]" in printed


def test_nothing_stored_is_printed(redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R9: neither a key nor a word of a value is shown."""
    answer = _fill(SYNC, _policy(folder, redis_url))
    keys = [answer.key(question) for question in QUESTIONS]
    assert main(["dictionary", "train", "answers"]) == 0
    printed = "".join(capsys.readouterr())
    assert not any(key in printed or key[-16:] in printed for key in keys)
    assert "chatcmpl" not in printed
    assert not any(text[:40] in printed for text in reference())


def test_all_masters_of_a_cluster_are_sampled(
    redis_cluster: RedisCluster, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On Redis Cluster every master gives its share: together, all values that there are."""
    app = f"cluster{random.getrandbits(32)}"
    policy = _policy(folder, redis_cluster.url)
    policy.write_text(policy.read_text().replace("app: test", f"app: {app}"))
    _fill(SYNC, policy)
    assert main(["dictionary", "train", "answers"]) == 0
    assert "trained on 120 values of answers" in capsys.readouterr().out


def _error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["dictionary", "train", *argv]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_too_few_values_are_counted(redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With too little to train on, the command says how many values there are and how many it needs."""
    _fill(SYNC, _policy(folder, redis_url), QUESTIONS[:7])
    assert _error(capsys, "answers") == (
        "cachepolicy dictionary: namespace answers has 7 values of 128 bytes to 8KiB in Redis; "
        "a dictionary needs at least 100\n"
    )
    assert "has 0 values" in _error(capsys, "answers", "--environment", "here")


@pytest.mark.parametrize(
    ("url", "argv", "said"),
    [
        ("memory://", ["answers"], "memory://, in one process alone: there is nothing to sample"),
        (
            "memory://",
            ["sessions"],
            "namespace sessions is of kind sessions: only those of kind cache compress",
        ),
        ("memory://", ["answer"], "did you mean 'answers'?"),
        ("redis://127.0.0.1:1", ["answers"], "Redis"),
    ],
)
def test_what_cannot_be_sampled_is_a_sentence(
    url: str, argv: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A namespace without samples, no cache, an unknown one, and a Redis that is out are told."""
    _policy(folder, url)
    assert said in _error(capsys, *argv)


def test_a_dictionary_is_never_replaced(
    redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that exists stays as it is: what it has compressed could not be read any more."""
    _fill(SYNC, _policy(folder, redis_url))
    (folder / "kept.dict").write_text("kept")
    assert "kept.dict exists" in _error(capsys, "answers", "--output", "kept.dict")
    assert (folder / "kept.dict").read_text() == "kept"


@pytest.mark.parametrize(
    "argv", [["--size", "1GiB"], ["--size", "big"], ["--samples", "5"], ["--samples", "x"]]
)
def test_options_out_of_bounds_are_usage_errors(
    argv: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A size or a number of samples that makes no sense is refused with what was expected."""
    with pytest.raises(SystemExit):
        main(["dictionary", "train", "answers", *argv])
    assert "expected a" in capsys.readouterr().err


def test_other_things_under_the_prefix_are_left_out(
    redis_server: RedisServer, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Marks, sets, foreign bytes and values of other namespaces are neither samples nor errors."""
    _fill(SYNC, _policy(folder, redis_url), QUESTIONS[:3])
    with redis.Redis(port=redis_server.port, db=1) as client:
        client.set("test:answers:x:1", b"foreign")
        client.sadd("test:answers:x:2", "a")
        client.set("test:answers:x:3", bytes(100_000))
        client.set(b"test:answers:x:\xff", b"not a name")
        client.set("test:answersmore:x:4", b"another's")
    assert "has 3 values" in _error(capsys, "answers")
