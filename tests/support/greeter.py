"""A process that serves from its own memory until it hears that it must not.

``python -c "from tests.support.greeter import main; main()" POLICY`` says ``ready`` once it answers from L1
and hears of changes, and ``heard`` when it had to ask its function again.
"""

from __future__ import annotations

import sys
import time

from cachepolicy import cached, configure, observe
from cachepolicy.runtime import current

_CALLS: list[str] = []


@cached("llm", tags=("name",))
def greet(name: str) -> str:
    """Greet, and note that it was called."""
    _CALLS.append(name)
    return f"hello {name}"


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until something changes."""
    configure(sys.argv[1])
    greet("ada")
    home = current.current().home("llm", greet.policy.rule)
    until = time.monotonic() + 20
    while not home.site.hearing.live and time.monotonic() < until:
        time.sleep(0.01)
    greet("ada")
    with observe() as seen:
        greet("ada")
    _say("ready" if seen[0].tier.value == "l1" else "not in L1")
    calls = len(_CALLS)
    while len(_CALLS) == calls and time.monotonic() < until:
        greet("ada")
        time.sleep(0.002)
    _say("heard" if len(_CALLS) > calls else "deaf")


__all__ = ["greet", "main"]
