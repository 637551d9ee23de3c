"""``cachepolicy inspect``: what lies in a real Redis, and nothing that is nobody's business."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cachepolicy import SessionManager, TempStore, close, configure, namespace
from cachepolicy.__main__ import main
from tests.support import explained
from tests.support.commands import MODULE, command

SECRET = "hello swordfish"
CALL = ("--call", "greeting('swordfish')")


@pytest.fixture
def policy(redis_url: str, tmp_path: Path) -> Iterator[Path]:
    """Use a policy over a real Redis."""
    file = tmp_path / "policies.yaml"
    file.write_text(explained.POLICY.format(url=redis_url).replace("/0", ""))
    configure(file)
    yield file
    close()


def seen(capsys: pytest.CaptureFixture[str], policy: Path, *words: str, code: int = 0) -> Any:
    """Inspect in this process, as JSON."""
    capsys.readouterr()
    assert main(["inspect", *words, "--policy", str(policy), "--json"]) == code, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def greet(policy: Path) -> str:
    """Have an entry cached; return its key."""
    configure(policy)
    explained.greeting("swordfish")
    key = explained.greeting.key("swordfish")
    close()
    return key


def raw(redis_url: str, db: int = 1) -> Any:
    """Return a client of the database."""
    return redis.Redis.from_url(redis_url.removesuffix("/0") + f"/{db}")


def test_an_entry_is_told_by_its_key_and_by_its_call(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """O2: an entry tells its times, size, form and tags, and its value only when that is asked for."""
    key = greet(policy)
    (by_key,) = seen(capsys, policy, key)
    (by_call,) = seen(capsys, policy, f"{MODULE}:greeting", *CALL)
    for told in (by_key, by_call):
        assert (told["key"], told["namespace"], told["type"]) == (key, "llm", "string")
        assert (told["holds"], told["state"]) == ("a cached answer", "fresh")
        assert (told["form"], told["size"], told["encrypted"]) == ("text", len(SECRET), False)
        assert told["tags"] == ["(the whole namespace)"]
        assert 3000 < told["ttl_seconds"] <= 3600
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["created"])
        assert told["created"] < told["fresh_until"] <= told["stale_until"]
        assert "swordfish" not in json.dumps(told)
    assert seen(capsys, policy, key, "--reveal")[0]["value"] == SECRET


def test_what_is_not_there(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of nothing it is said that there is nothing, with exit code 1; of a foreign key, whose there are."""
    (told,) = seen(capsys, policy, f"{MODULE}:greeting", "--call", "greeting('nobody')", code=1)
    assert (told["type"], told["holds"]) == ("none", "nothing")
    assert main(["inspect", "other:llm:x", "--policy", str(policy)]) == 1
    assert "whose keys begin with shop:llm:" in capsys.readouterr().err


def test_what_was_invalidated(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C5: an entry whose tag was purged, or put out of date, says so; an ended one, what is left of it."""
    key = greet(policy)
    configure(policy)
    namespace("llm").expire_all.sync()
    assert seen(capsys, policy, key)[0]["state"].startswith("expired")
    configure(policy)
    namespace("llm").purge_all.sync()
    assert seen(capsys, policy, key)[0]["state"].startswith("purged")
    configure(policy)
    namespace("llm").purge_key.sync(key)
    assert seen(capsys, policy, key)[0]["holds"].startswith("what an invalidation left")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda blob: b"something else altogether", "format"),
        (lambda blob: blob[:-20], "checksum"),
        (lambda blob: blob[:8] + b"12345678" + blob[16:], "checksum"),
    ],
    ids=["foreign", "cut off", "altered"],
)
def test_foreign_and_damaged_bytes(
    damage: Any, reason: str, policy: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are no entry are named for what they are, and nothing of them is shown, though asked for."""
    key = greet(policy)
    client = raw(redis_url)
    client.set(key, damage(client.get(key)))
    (told,) = seen(capsys, policy, key, "--reveal")
    assert told["refused"] == reason
    assert "counts as a miss" in told["holds"]
    assert "value" not in told
    client.delete(key)
    client.hset(key, "a", "b")
    assert seen(capsys, policy, key)[0]["holds"].startswith("a hash that this library did not write")
    client.close()


def test_encrypted_entries(policy: Path, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry that is encrypted says so; without its key, that it cannot be read."""
    text = policy.read_text()
    locked = text.replace("tags: [model]", 'encryption: {enabled: true, keys: ["${K}"]}')
    policy.write_text(locked.replace("${K}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
    key = greet(policy)
    (told,) = seen(capsys, policy, key, "--reveal")
    assert (told["encrypted"], told["value"]) == (True, SECRET)
    policy.write_text(text)
    (told,) = seen(capsys, policy, key, "--reveal")
    assert (told["encrypted"], told["refused"]) == (True, "locked")


def test_sessions_by_user_never_their_tokens(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S1: a user's sessions are listed by id and time; neither tokens nor data nor, unasked, devices."""
    sessions = SessionManager()
    token, session = sessions.create_session.sync("ada", {"cart": "swordfish"}, device="phone")
    sessions.create_session.sync(7)
    (told,) = seen(capsys, policy, "sessions", "--user", "ada")
    assert told["id"] == session.id
    assert len(seen(capsys, policy, "sessions", "--user", "7")) == 1
    revealed = json.dumps(seen(capsys, policy, "sessions", "--user", "ada", "--id", session.id, "--reveal"))
    assert "phone" in revealed
    assert not any(part in revealed for part in ("swordfish", token, token.split(".")[-1]))
    assert "phone" not in json.dumps(told)
    key = next(key.decode() for key in raw(str(_url(policy)), 0).scan_iter("shop:sessions:session:*"))
    assert seen(capsys, policy, key)[0]["holds"].startswith("a session")


def _url(policy: Path) -> str:
    found = re.search(r'url: "([^"]+)"', policy.read_text())
    assert found is not None
    return found[1] + "/0"


def test_files_and_limits(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file its size and times, of a subject what is left; no content, and names only when asked for."""
    blob = TempStore().put.sync(b"swordfish", name="plan.txt", content_type="text/plain", owner="ada")
    (told,) = seen(capsys, policy, "temp", "--id", blob.id)
    assert (told["size"], told["content_type"]) == (9, "text/plain")
    assert "plan.txt" not in json.dumps(told)
    (revealed,) = seen(capsys, policy, "temp", "--id", blob.id, "--reveal")
    assert (revealed["name"], revealed["owner"]) == ("plan.txt", "ada")
    assert "swordfish" not in json.dumps(revealed)
    found = seen(capsys, policy, "ratelimit", "--rule", "chat", "--subject", "ada")
    assert [(each["limit"], each["remaining"]) for each in found] == [
        ("requests 100/hour", 100),
        ("tokens 9999/day", 9999),
    ]


def test_mistakes(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said what is missing; a policy in memory has nothing that another process could see."""
    for words, why in (
        (("sessions",), "say whose, with --user"),
        (("temp",), "say which, with --id"),
        (("ratelimit",), "--rule and --subject"),
        (("llm",), "expected a key, or a call"),
        ((f"{MODULE}:limited", "--call", "limited('a')"), "it is not cached"),
    ):
        assert main(["inspect", *words, "--policy", str(policy)]) == 1
        assert why in capsys.readouterr().err
    policy.write_text(explained.POLICY.format(url="memory://"))
    assert main(["inspect", "shop:llm:cache:0", "--policy", str(policy)]) == 1
    assert "is seen by no other" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", f"{MODULE}:greeting"])


def test_as_users_run_it(policy: Path) -> None:
    """From a shell it is text, with what moves a cursor written as an escape."""
    key = greet(policy)
    ended = command(policy.parent, "inspect", key)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^state +fresh$", ended.out, re.MULTILINE)
    assert "swordfish" not in ended.out
    assert command(policy.parent, "inspect", f"{MODULE}:greeting", "--call", "greeting('x')").code == 1
