"""The commands of ``python -m cachepolicy``.

Each is a module of this room with ``main(argv) -> int``, imported only when it is asked for: a command
that needs an extra must not keep the others from running. To add one, write it and name it in ``COMMANDS``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cachepolicy.cli.plain import printable


@dataclass(frozen=True, slots=True)
class Command:
    """What the list of commands says about one, and the extra whose packages it imports."""

    summary: str
    extra: str | None = None


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "acl": Command("the rules of a Redis user who may do what the policy needs, and nothing else"),
        "check": Command("tell all that is wrong with a policy, and all that is probably not meant"),
        "completion": Command("what bash, zsh or fish needs to complete the command line"),
        "demo": Command(
            "ask a model the same questions twice and from two processes, and see what the cache saves",
            extra="demo",
        ),
        "dictionary": Command("train a compression dictionary on what a namespace holds"),
        "diff": Command("what differs between two environments or two files, and what each difference does"),
        "doctor": Command("what is wrong here and how to mend it: the policy, this machine, the servers"),
        "explain": Command("the policy in effect, value by value, and what calls do under it"),
        "init": Command("write a commented policies.yaml for a new project"),
        "inspect": Command("what lies in Redis under a key, or for a call, a user, a file"),
        "invalidate": Command("put an end to a call's entry, to all with a tag, or to a whole namespace"),
        "schema": Command("the JSON Schema of policies.yaml, for editors"),
        "stats": Command("what the caches of all processes do together: hit rates, savings, limits, faults"),
        "top": Command("watch it live: hit rates, latency, savings, denials, breakers, memory"),
    }
)


def fail(sentence: str) -> int:
    """Say on stderr why a command could not do its work; return its exit code."""
    print("\n".join(map(printable, sentence.splitlines())), file=sys.stderr)
    return 1
