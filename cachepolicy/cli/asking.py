"""The policy in use by a command that asks a real Redis, and how it asks."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from cachepolicy.cli.explain_calls import keys_of
from cachepolicy.cli.targets import Arguments, Target, passed
from cachepolicy.decorators.binding import Binding
from cachepolicy.errors import CachePolicyError, StoreError
from cachepolicy.flow.resilience import Budget, ask_all
from cachepolicy.flow.stores import Site
from cachepolicy.keys.layout import prefix
from cachepolicy.keys.scope import scope
from cachepolicy.runtime import current
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers.commands import Command

T = TypeVar("T")

_PATIENCE: Final = 5.0  # seconds: somebody waits who has asked for it
_LEASES: Final = "~lease:{"


def call_arguments(parser: ArgumentParser) -> None:
    """Let a command name a call, and who makes it, where answers belong to a tenant or a user."""
    parser.add_argument("--call", metavar="CALL", help="""a call, with literals only: 'answer("hi", n=3)'""")
    parser.add_argument("--tenant", metavar="ID", help="whose call it is, where answers belong to a tenant")
    parser.add_argument("--user", metavar="ID", help="whose call it is, where answers belong to a user")


@contextmanager
def who_asks(options: Namespace) -> Iterator[None]:
    """Say who asks, as ``scope`` does."""
    with scope(tenant=options.tenant, user=options.user):
        yield


@contextmanager
def in_use(options: Namespace) -> Iterator[Runtime]:
    """Use the policy that is named, or the one that the program itself has configured, or the default."""
    if options.policy is not None or options.environment is not None:
        current.configure(options.policy, options.environment)
    try:
        yield current.current()
    finally:
        current.close()


def ask(runtime: Runtime, site: Site, commands: Sequence[Command[Any]]) -> list[Any]:
    """Ask several things in one round trip; each has a result or an error of its own.

    Raises:
        StoreError: none of them could be asked.
    """
    flow = ask_all(site.guard, commands, Budget(site.clock, _PATIENCE))
    results: list[Any] = runtime.engine.run(flow, runtime.stores.sync_io(site))
    if results and all(isinstance(result, StoreError) for result in results):
        raise results[0]
    return results


def ask_one(runtime: Runtime, site: Site, command: Command[T]) -> T:
    """Ask one thing. Raises StoreError."""
    result: T = ask(runtime, site, [command])[0]
    return result


def namespace_of(runtime: Runtime, key: str) -> str:
    """Return the namespace that a key belongs to; a lease belongs to that of its entry.

    Raises:
        CachePolicyError: it belongs to none.
    """
    policy = runtime.loaded.policy
    plain = key.removeprefix(f"{policy.app}:{_LEASES}")
    for name in policy.namespaces:
        if plain.startswith(prefix(policy.app, name)):
            return name
    begins = ", ".join(prefix(policy.app, name) for name in policy.namespaces) or "no namespace"
    raise CachePolicyError(f"no key of this policy, whose keys begin with {begins}")


def site_of(runtime: Runtime, name: str) -> Site:
    """Return where a namespace lies.

    Raises:
        CachePolicyError: in the memory of a process, where no other can look.
    """
    site = runtime.site(name, runtime.loaded.policy.namespaces[name])
    if site.place.endpoint.in_memory:
        raise CachePolicyError(
            f"{runtime.loaded.source} says memory:// for {name}: it lies in the process that uses it, and is "
            "seen by no other"
        )
    return site


def entries_of(target: Target, call: Arguments) -> tuple[Binding, list[str]]:
    """Return what stands behind a cached function, and the keys of a call's entries.

    Raises:
        CachePolicyError: it is not cached, takes no such call, or no entry belongs to it.
    """
    for behind in target.layers:
        if isinstance(behind, Binding):
            keys = keys_of(behind, passed(target, call))
            if not keys:
                raise CachePolicyError(f"{target.name}: no entry belongs to this call")
            return behind, list(dict.fromkeys(keys))
    raise CachePolicyError(f"{target.name}: it is not cached, so its calls have no entries")
