"""Ids that people copy."""

from __future__ import annotations

import secrets

import pytest

from cachepolicy.keys.blob_ids import new_blob_id
from cachepolicy.keys.tokens import mint, random_tag


def test_no_id_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of a file or a session begins with no ``-``: a command line would take that for an option."""
    tag = random_tag()
    made = iter(["--id", "-rf", "a-file", "-", "a-session", "secret"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: next(made))
    assert new_blob_id() == "a-file"
    assert mint(tag)[1].id == "a-session"
