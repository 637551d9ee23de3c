"""All servers of a policy, asked once, from the command line."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.flow.drive import run
from cachepolicy.flow.health import Spot
from cachepolicy.flow.inquiry import Inquiry, Rights, ask_server, inquire, rights
from cachepolicy.keys.layout import prefix
from cachepolicy.policy import LoadedPolicy
from cachepolicy.runtime.compose import Runtime
from cachepolicy.runtime.health_servers import Watched, watched
from cachepolicy.runtime.permissions import for_namespace
from cachepolicy.tiers import commands
from cachepolicy.tiers.certificate import Certificate, certificate
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.notices import Names

PATIENCE: Final = 5.0
"""Seconds for each round of questions."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One Redis of the policy, and what it answered.

    Attributes:
        watched: which, and what lies there.
        found: by server.
        rights: by namespace; empty where nobody answered.
        mixed: namespaces whose database is not apart from database 0.
        certificates: by host, where connections are encrypted.
    """

    watched: Watched
    found: tuple[Inquiry, ...]
    rights: Mapping[str, Rights]
    mixed: frozenset[str]
    certificates: Mapping[str, Certificate]

    @property
    def answered(self) -> bool:
        """Whether a server could be spoken with."""
        return any(each.fault is None for each in self.found)


class Inquirer:
    """Asks the servers of one policy. It is closed in the end.

    Args:
        loaded: the policy.
        clock: the source of time.
    """

    def __init__(self, loaded: LoadedPolicy, clock: Clock = SYSTEM) -> None:
        self._loaded = loaded
        self.runtime: Final = Runtime(loaded, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.runtime.close()

    def all(self) -> Iterator[Asked]:
        """Ask every Redis of the policy that is more than a part of this process."""
        for each in watched(self._loaded.policy, self.runtime.site):
            if not each.endpoint.in_memory:
                yield self._one(each)

    def tell(self, spot: Spot, *asked: commands.Command[Any]) -> list[Any]:
        """Ask, or tell, the server of a site something."""
        return run(ask_server(spot, asked, PATIENCE), self.runtime.stores.sync_io(spot.site))

    def _one(self, each: Watched) -> Asked:
        certificates = dict(self._certificates(each))
        if each.spot is None:
            return Asked(each, (), {}, frozenset(), certificates)
        io = self.runtime.stores.sync_io(each.spot.site)
        found = tuple(run(inquire(each.spot, PATIENCE), io))
        asked = Asked(each, found, {}, frozenset(), certificates)
        if not asked.answered:
            return asked
        may = {name: self._rights(name) for name in each.rules}
        mixed = frozenset(name for name in each.rules if not self._is_apart(name))
        return Asked(each, found, may, mixed, certificates)

    def _spot(self, name: str, db: int | None = None) -> Spot:
        policy = self._loaded.policy
        rule = policy.namespaces[name]
        if db is not None:
            rule = rule.model_copy(update={"db": db})
        return Spot(self.runtime.site(name, rule), prefix(policy.app, name))

    def _rights(self, name: str) -> Rights:
        policy, spot = self._loaded.policy, self._spot(name)
        channel = Names.of(policy.app).canary(secrets.token_bytes(8))
        flow = rights(spot, for_namespace(policy, name).commands, channel, PATIENCE)
        return run(flow, self.runtime.stores.sync_io(spot.site))

    def _is_apart(self, name: str) -> bool:
        """Tell whether what is written in the database of a namespace is not seen in database 0."""
        rule, spot = self._loaded.policy.namespaces[name], self._spot(name)
        place = spot.site.place
        if rule.db == 0 or place.endpoint.databases == "prefix" or place.endpoint.is_cluster:
            return True  # nobody counts on numbers
        if place.isolates is False:  # the first connection has proved it
            return False
        key = f"{spot.prefix}canary:{secrets.token_hex(8)}"
        self.tell(spot, commands.put(key, b"1", PATIENCE))
        (seen,) = self.tell(self._spot(name, 0), commands.get(key))
        self.tell(spot, commands.unlink(key))
        return bool(seen != b"1")

    def _certificates(self, each: Watched) -> Iterator[tuple[str, Certificate]]:
        if each.endpoint.encryption() is None:
            return
        for host in each.endpoint.address.hosts:
            yield f"{host[0]}:{host[1]}", certificate(Place(each.endpoint, 0), host, PATIENCE)
