"""A process that serves from its own memory until it hears that it must not.

``python -c "from tests.support.greeter import main; main()" POLICY`` says ``ready`` once it answers from L1
and hears of changes, and ``heard`` when it had to ask its function again.
"""

from __future__ import annotations

import sys

from cachepolicy import Tier, cached, configure, observe
from cachepolicy.runtime import current
from tests.support.waiting import until

_CALLS: list[str] = []


@cached("llm", tags=("name",))
def greet(name: str) -> str:
    """Greet, and note that it was called."""
    _CALLS.append(name)
    return f"hello {name}"


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _is_in_l1() -> bool:
    with observe() as seen:
        greet("ada")
    return seen[0].tier is Tier.L1


def main() -> None:
    """Serve until something changes."""
    configure(sys.argv[1])
    greet("ada")
    home = current.current().home("llm", greet.policy.rule)
    until(lambda: home.site.hearing.live, "word of changes")
    until(_is_in_l1, "an answer of L1")
    _say("ready")
    calls = len(_CALLS)
    until(lambda: greet("ada") and len(_CALLS) > calls, "word of an invalidation")
    _say("heard")


__all__ = ["greet", "main"]
