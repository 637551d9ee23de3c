"""``cachepolicy acl``: the rules of a Redis user who may do what the policy needs, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cachepolicy.cli import fail
from cachepolicy.cli.arguments import checked, chosen_policy, policy_arguments
from cachepolicy.cli.plain import printable
from cachepolicy.policy import Policy, namespace
from cachepolicy.runtime.permissions import Grant, for_app, for_namespace, servers
from cachepolicy.tiers.endpoint import Endpoint

_PASSWORD: Final = ">PASSWORD"  # noqa: S105 - it stands for one
_USER: Final = re.compile(r"[!-~]{1,64}", re.ASCII)  # Redis splits its rules at spaces
_WITH_SENTINELS: Final = "its sentinels are asked with +sentinel|get-master-addr-by-name"


@dataclass(frozen=True, slots=True)
class User:
    """One user, and the server that is to know it."""

    name: str
    server: str
    grant: Grant
    password: str
    note: str = ""

    @property
    def rules(self) -> str:
        """What follows its name: with nothing else it begins from nothing."""
        return " ".join(["reset", "on", self.password, *self.grant.words])


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0, or 1: there is no such policy, namespace, or password."""
    options = _parse(argv)
    loaded = chosen_policy(options)
    if options.namespace is not None:
        namespace(loaded.policy, options.namespace)  # or say that there is none
    if options.user is not None and options.each:
        return fail("cachepolicy acl: --user names one user, and --each makes several")
    users = list(_users(loaded.policy, options))
    if options.hash and any(each.password == _PASSWORD for each in users):
        return fail("cachepolicy acl: --hash takes the password from the policy, and it has none")
    print(_FORMATS[options.format](users), end="")
    if options.format != "json":
        for note in _notes(users):
            print(printable(note), file=sys.stderr)
    return 0


def _users(policy: Policy, options: Namespace) -> Iterator[User]:
    for endpoint, names in servers(policy).items():
        if options.each or options.namespace is not None:
            for name in names:
                if options.namespace in {None, name}:
                    own = f"{policy.app}-{name}"
                    yield _user(options.user or own, endpoint, for_namespace(policy, name), options)
        else:
            shared = _username(endpoint) or policy.app
            yield _user(options.user or shared, endpoint, for_app(policy, names), options)


def _user(name: str, endpoint: Endpoint, grant: Grant, options: Namespace) -> User:
    password = endpoint.password or (None if endpoint.in_memory else endpoint.address.password)
    digest = f"#{hashlib.sha256(password.encode()).hexdigest()}" if password and options.hash else _PASSWORD
    note = _WITH_SENTINELS if endpoint.url.startswith("redis+sentinel") else ""
    return User(name, ":".join(filter(None, endpoint.server())), grant, digest, note)


def _username(endpoint: Endpoint) -> str | None:
    """Return the user of the policy; that of everybody is nobody's own."""
    name = endpoint.username or endpoint.address.username
    return name if name != "default" and name is not None and _USER.fullmatch(name) else None


def _notes(users: Sequence[User]) -> Iterator[str]:
    """Say what the rules themselves cannot."""
    several = len({each.server for each in users}) > 1
    for each in users:
        if several:
            yield f"{each.name} is for {each.server}: {', '.join(each.grant.namespaces)}"
        if each.note:
            yield f"{each.name}: {each.note}"
    if any(each.password == _PASSWORD for each in users):
        yield "write a password in place of PASSWORD, or let --hash write the policy's as Redis keeps it"


def _as_commands(users: Sequence[User]) -> str:
    return "".join(f"ACL SETUSER {each.name} {each.rules}\n" for each in users)


def _as_file(users: Sequence[User]) -> str:
    return "".join(f"user {each.name} {each.rules}\n" for each in users)


def _as_json(users: Sequence[User]) -> str:
    told = [
        {
            "user": each.name,
            "server": each.server,
            "namespaces": each.grant.namespaces,
            "keys": each.grant.keys,
            "channels": each.grant.channels,
            "commands": each.grant.commands,
        }
        for each in users
    ]
    return json.dumps({"users": told}, indent=2) + "\n"


_FORMATS: Final[Mapping[str, Callable[[Sequence[User]], str]]] = MappingProxyType(
    {"redis": _as_commands, "file": _as_file, "json": _as_json}
)


def _name(text: str) -> str:
    if _USER.fullmatch(text) is None:
        raise ValueError("expected up to 64 visible characters of ASCII")
    return text


def _parse(argv: Sequence[str]) -> Namespace:
    parser = ArgumentParser(
        prog="cachepolicy acl",
        description="Write the rules of a Redis user who may do what the policy needs, and nothing else: "
        "one user for each Redis of the policy, or for a namespace. Nothing is asked of a server, and no "
        "password is shown. Exit code: 0 fine, 1 the policy is wrong or has no such namespace, 2 the "
        "command line is.",
    )
    policy_arguments(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--namespace", metavar="NAME", help="for this one alone")
    which.add_argument("--each", action="store_true", help="for each namespace by itself")
    parser.add_argument("--user", metavar="NAME", type=checked(_name), help="what it is called")
    parser.add_argument(
        "--format", choices=tuple(_FORMATS), default="redis", help="commands, lines of an ACL file, or JSON"
    )
    parser.add_argument("--hash", action="store_true", help="the policy's password, as its SHA-256")
    return parser.parse_args(argv)
