"""The memory settings that servers should have, what they have, and how to change them there and back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cachepolicy.flow.inquiry import MEMORY, Inquiry
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import CacheRule
from cachepolicy.policy.units import parse_size
from cachepolicy.runtime.inquiry import Asked, Inquirer
from cachepolicy.tiers import rehearsal

_BYTES: Final = frozenset(
    {"maxmemory", "hash-max-listpack-value", "zset-max-listpack-value", "set-max-listpack-value"}
)
VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {name.replace("maxmemory", "max-memory").replace("-", "_").upper(): name for name in MEMORY}
)
"""The settings by the variables that say them: ``MAX_MEMORY``, ``MAX_MEMORY_POLICY``, …"""

_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of one server.

    Attributes:
        server: which.
        key: a key that lies there.
        asked: the Redis of the policy.
        name: of the setting.
        before: what it is.
        after: what it should be.
        source: what says so.
        obstacle: why it is left as it is; empty: it can be changed.
        untold: its server does not tell it, and so does not let it be set.
    """

    server: str
    key: str
    asked: Asked
    name: str
    before: str
    after: str
    source: str
    obstacle: str = ""
    untold: bool = False

    @property
    def command(self) -> str:
        """What changes it."""
        return f"CONFIG SET {self.name} {self.after}"

    @property
    def undo(self) -> str:
        """What changes it back."""
        return f"CONFIG SET {self.name} {self.before}"


def wanted(policy: Policy, asked: Asked) -> Iterator[Setting]:
    """Return the settings of a Redis that are not as the policy and the variables want them."""
    said, obstacles = _said(asked)
    for each in asked.found:
        if each.fault is not None:
            continue
        server = asked.watched.terms(policy.health, each.look.node).server
        for name, (value, source) in said.items():
            obstacle = obstacles.get(name, "") or _in_the_way(each, name, value)
            before, untold = each.settings.get(name, ""), not each.settings
            if before != value:
                yield Setting(server, each.key, asked, name, before, value, source, obstacle, untold)


def unreadable() -> Iterator[tuple[str, str]]:
    """Return the variables whose text says no setting, and what was expected."""
    for variable, name in VARIABLES.items():
        text = os.environ.get(variable, "").strip()
        if text and name != "maxmemory-policy" and _value(name, text) is None:
            yield variable, "a size such as 256mb" if name in _BYTES else "a number"


def apply(inquirer: Inquirer, setting: Setting) -> str:
    """Change a setting; return why it was not, empty where it was."""
    if setting.untold:
        return "the server does not let its user see or set it: its operator can"
    spot = setting.asked.watched.spot
    assert spot is not None  # noqa: S101 - it has answered
    change = rehearsal.configure(setting.key, setting.name, setting.after)
    done, now = inquirer.tell(spot, change, rehearsal.config(setting.key, setting.name))
    if done is not True:
        return "the server does not let its user set it"
    if not isinstance(now, dict) or now.get(setting.name) != setting.after:
        return "the server has another value all the same"
    return ""


def _in_the_way(each: Inquiry, name: str, value: str) -> str:
    """Say why a server must not, or cannot, have a value; empty: it may be tried."""
    if each.settings and name not in each.settings:
        return "this server has no such setting"
    used = None if each.look.info is None else each.look.info.number("used_memory")
    if name == "maxmemory" and value != "0" and used is not None and used > int(value):
        return f"its data takes {int(used)} bytes already: some of it would be lost at once"
    return ""


def _said(asked: Asked) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Return what each setting should be, and what says so; and why some may not be changed."""
    said: dict[str, tuple[str, str]] = {}
    obstacles: dict[str, str] = {}
    for variable, name in VARIABLES.items():
        text = os.environ.get(variable, "").strip()
        if text and name != "maxmemory-policy":
            value = _value(name, text)
            if value is not None:
                said[name] = value, f"${variable}"
    rules = asked.watched.rules
    words = {
        rule.eviction.redis: name
        for name, rule in rules.items()
        if isinstance(rule, CacheRule) and rule.eviction.redis is not None
    }
    kept = [
        name
        for name, rule in rules.items()
        if not isinstance(rule, CacheRule) or rule.guarantee == "required"
    ]
    if words:
        word, name = next(iter(words.items()))
        said["maxmemory-policy"] = word, f"namespaces.{name}.eviction.redis"
        if len(words) > 1:
            obstacles["maxmemory-policy"] = f"namespaces want several: {', '.join(sorted(words))}"
        elif kept and word != "noeviction":
            obstacles["maxmemory-policy"] = (
                f"it would evict from {', '.join(kept)}, which must not lose anything"
            )
    return said, obstacles


def _value(name: str, text: str) -> str | None:
    """Write a value as the server tells it back; None: it is none."""
    if name not in _BYTES:
        return text if _NUMBER.fullmatch(text) else None
    if name == "maxmemory" and text == "0":
        return text
    try:
        return str(parse_size(_as_here(text)))
    except ValueError:
        return None


def _as_here(text: str) -> str:
    """Redis' own units are twos' powers with a b (``256mb``), and thousands without (``256m``)."""
    found = re.fullmatch(r"([0-9]+) ?([kmg])(b?)", text.lower())
    if found is None:
        return text
    return f"{found[1]}{found[2].upper()}{'iB' if found[3] else 'B'}"
