"""What ``cachepolicy doctor`` sees of the machine it runs on: variables, packages, a server to start."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cachepolicy.cli.doctor_memory import VARIABLES, unreadable
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.effective import shipped
from cachepolicy.policy.rules import CacheRule, SessionsRule, TempRule
from cachepolicy.tiers.server import NoRedisServer, find_redis_server

_NAMED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_OWN: Final = frozenset({"CACHEPOLICY_ENV", "CACHEPOLICY_FILE"})


class Found(NamedTuple):
    """One thing that is wrong here."""

    severity: str
    what: str
    remedy: str


def variables(loaded: LoadedPolicy, source: Path) -> Iterator[Found]:
    """Name the variables that are set and that nothing reads."""
    read = {*_names(source), *_OWN, *VARIABLES}
    for place in loaded.provenance.values():
        if place.file and Path(place.file) != source and Path(place.file).is_file():
            read |= _names(Path(place.file))
    for name, expected in unreadable():
        yield Found("error", f"{name} says no setting of a server", f"expected {expected}")
    for name in sorted(os.environ):
        known = name in _names(shipped()) or name.startswith("CACHEPOLICY_")
        if known and name not in read:
            yield Found(
                "warning",
                f"{name} is set, and this policy does not read it",
                f"write ${{{name}:-…}} where it belongs, or unset it",
            )


def packages(loaded: LoadedPolicy) -> Iterator[Found]:
    """Name what the policy needs and this Python does not have."""
    policy = loaded.policy
    encrypts = any(
        rule.encryption.enabled
        for rule in policy.namespaces.values()
        if isinstance(rule, CacheRule | SessionsRule | TempRule)
    )
    if encrypts and importlib.util.find_spec("cryptography") is None:
        yield Found(
            "error", "encryption needs the package cryptography", "pip install 'cachepolicy[encryption]'"
        )
    urls = [policy.redis.url, *(rule.url for rule in policy.namespaces.values() if rule.url is not None)]
    if any(url.get_secret_value().startswith("local:") for url in urls):
        try:
            find_redis_server()
        except NoRedisServer as missing:
            yield Found("error", "local:// needs a redis-server to start", str(missing).partition(": ")[2])


def _names(file: Path) -> frozenset[str]:
    return frozenset(_NAMED.findall(file.read_text(encoding="utf-8", errors="replace")))
