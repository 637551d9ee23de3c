"""Each effective value knows where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachepolicy import policy
from cachepolicy.policy import LoadedPolicy, Provenance
from tests.policy.helpers import NOTHING, cache, write

BASE = """\
version: 1
redis:
  connect_timeout: 1s
"""
FILE = """\
version: 1
extends: base.yaml
redis:
  url: ${REDIS_URL:-memory://}
  password: ${file:SECRET}
defaults: {compression: {level: 5}}
namespaces:
  llm:
    kind: cache
    scope: global
    ttl: 7d
    tags: [model]
environments:
  production:
    redis: {deadline: "${DEADLINE:-50ms}"}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write a policy of two files and a secret."""
    (tmp_path / "secret").write_text("hunter2")
    write(tmp_path, BASE, "base.yaml")
    return write(tmp_path, FILE.replace("SECRET", str(tmp_path / "secret")))


@pytest.fixture
def loaded(files: Path) -> LoadedPolicy:
    """Load it in production, with one of its variables set."""
    return policy.load(files, environment="production", variables={"REDIS_URL": "redis://host"})


@pytest.mark.parametrize(
    ("path", "name", "line", "column", "via"),
    [
        ("redis.url", "policies.yaml", 4, 8, "file"),
        ("redis.connect_timeout", "base.yaml", 3, 20, "extends"),
        ("redis.deadline", "policies.yaml", 15, 23, "environments.production"),
        ("redis.tls", "", 0, 0, "default"),
        ("redis.retry.attempts", "", 0, 0, "default"),
        ("namespaces.llm", "policies.yaml", 8, 3, "file"),
        ("namespaces.llm.ttl", "policies.yaml", 11, 10, "file"),
        ("namespaces.llm.ttl.default", "policies.yaml", 11, 10, "file"),
        ("namespaces.llm.tags", "policies.yaml", 12, 5, "file"),
        ("namespaces.llm.tags[0]", "policies.yaml", 12, 12, "file"),
        ("namespaces.llm.jitter", "", 0, 0, "default"),
        ("namespaces.llm.compression.level", "policies.yaml", 6, 33, "file"),
        ("namespaces.llm.compression.codec", "", 0, 0, "default"),
        ("health.interval", "", 0, 0, "default"),
    ],
)
def test_a_value_knows_its_place(
    loaded: LoadedPolicy, files: Path, path: str, name: str, line: int, column: int, via: str
) -> None:
    """Each value names the file, the line, the column and the layer it was set in."""
    found = loaded.provenance[path]
    file = str(files.parent / name) if name else ""
    assert (found.file, found.line, found.column, found.via) == (file, line, column, via)


def test_a_value_knows_its_variables(loaded: LoadedPolicy, files: Path) -> None:
    """Each value names the variables and files that fed it; a default that stepped in is the file's own."""
    assert loaded.provenance["redis.url"].variables == ("REDIS_URL",)
    assert loaded.provenance["redis.password"].variables == (f"file:{files.parent}/secret",)
    assert loaded.provenance["redis.deadline"].variables == ()
    assert loaded.provenance["namespaces.llm.ttl"].variables == ()


def test_a_policy_knows_its_source(loaded: LoadedPolicy, files: Path) -> None:
    """A loaded policy names its file and its environment; a mapping is named as one."""
    assert (loaded.source, loaded.environment) == (str(files), "production")
    plain = policy.load(cache(ttl="1h"), variables=NOTHING)
    assert (plain.source, plain.environment) == ("<mapping>", None)
    assert plain.provenance["namespaces.llm.ttl"] == Provenance("<mapping>", 0, 0, "file")


def test_a_value_taken_away_is_built_in(files: Path) -> None:
    """After ``~``, a value's place is the library itself."""
    found = policy.load({"version": 1, "redis": {"deadline": None}}, variables=NOTHING)
    assert found.provenance["redis.deadline"].via == "default"


def test_provenance_cannot_change(loaded: LoadedPolicy) -> None:
    """The map of origins is read-only."""
    assert not hasattr(loaded.provenance, "__setitem__")


def test_every_value_has_a_provenance() -> None:
    """No leaf of the shipped policy is without its origin."""
    found = policy.load(policy.shipped(), variables=NOTHING)

    def leaves(path: str, value: object) -> list[str]:
        if isinstance(value, dict):
            return [
                leaf for key, item in value.items() for leaf in leaves(f"{path}.{key}" if path else key, item)
            ]
        return [path]

    paths = leaves("", found.policy.model_dump())
    assert len(paths) > 150
    assert [path for path in paths if path not in found.provenance] == []
