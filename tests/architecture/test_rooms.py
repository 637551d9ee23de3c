"""Who may import what: third parties have one room each, and importing the package loads none of them."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.support.source import PACKAGE, ROOT, Source, sources

# Each third party, and where in cachepolicy/ it may be imported, lazily or not.
ROOMS = {
    "cachetools": ("tiers/eviction.py",),
    "cryptography": ("codec/encrypt.py",),
    "fakeredis": ("tiers/",),
    "hiredis": ("tiers/",),
    "openai": ("cli/", "testing/"),
    "opentelemetry": ("telemetry/", "cli/"),
    "ormsgpack": ("keys/", "codec/"),
    "prometheus_client": ("integrations/prometheus",),
    "pydantic": ("policy/", "keys/", "codec/"),
    "pydantic_core": ("policy/", "keys/", "codec/"),
    "pytest": ("testing/fixtures.py",),
    "redis": ("tiers/",),
    "rich": ("cli/", "testing/"),
    "tenacity": ("flow/resilience.py",),
    "yaml": ("policy/load.py",),
    "zstandard": ("codec/",),
}
NOWHERE = {"dill", "marshal", "pickle", "shelve"}  # no pickle, anywhere, not even opt-in
HEAVY = {
    "cachetools",
    "cryptography",
    "fakeredis",
    "hiredis",
    "opentelemetry",
    "prometheus_client",
    "pydantic",
    "redis",
    "tenacity",
    "yaml",
}


def strangers(source: Source) -> list[str]:
    """Name what a file imports that has no place there."""
    inside = source.path.removeprefix("cachepolicy/")
    return [
        f"{source.path}: {name}"
        for name in sorted(source.imports())
        if name in NOWHERE
        or (name not in sys.stdlib_module_names and not inside.startswith(ROOMS.get(name, ())))
    ]


def test_third_parties_keep_to_their_rooms() -> None:
    """No file imports a third party outside the room it has, nor one that has no room."""
    assert [name for source in sources(PACKAGE) for name in strangers(source)] == []


def test_the_linter_knows_the_same_rooms() -> None:
    """Ruff's banned-api names every third party of the table, so an editor says it first."""
    tidy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["flake8-tidy-imports"]
    assert set(tidy["banned-api"]) == ROOMS.keys() | NOWHERE


@pytest.mark.parametrize(
    ("path", "text", "caught"),
    [
        ("decorators/cached.py", "import redis", True),
        ("codec/codec.py", "from cryptography.fernet import Fernet", True),
        ("tiers/local.py", "def f():\n    import yaml", True),
        ("codec/envelope.py", "from pickle import loads", True),
        ("flow/drive.py", "import requests", True),
        ("tiers/redis_sync.py", "import redis.asyncio", False),
        ("flow/drive.py", "import asyncio", False),
    ],
)
def test_the_room_gate_bites(path: str, text: str, caught: bool) -> None:
    """A planted import of a third party in a room that is not its own is found."""
    assert bool(strangers(Source(f"cachepolicy/{path}", text))) is caught


@pytest.mark.parametrize("statement", ["import cachepolicy", "from cachepolicy import cached, llm_cached"])
def test_importing_costs_nothing_heavy(statement: str) -> None:
    """Importing the package, or its decorators, loads no slow third party and starts no thread."""
    script = f"{statement}; import sys, threading; print(threading.active_count(), *sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    threads, *modules = ran.stdout.split()
    assert HEAVY & {module.partition(".")[0] for module in modules} == set()
    assert threads == "1"


def test_there_is_one_source_of_chance() -> None:
    """No file but chance.py draws, so that what an application has seeded is its own."""
    found = [source.path for source in sources(PACKAGE) if "random" in source.imports()]
    assert found == ["cachepolicy/chance.py", "cachepolicy/testing/cluster.py"]
