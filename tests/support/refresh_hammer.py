"""A process that uses what it is told: ``python -m tests.support.refresh_hammer POLICY WHAT ARGUMENTS``.

It prints a line when it is ready, begins when it is told a line, and prints what became of it as JSON.
"""

from __future__ import annotations

import json
import sys

from cachepolicy import Preferences, TokenBlacklist, TokenReused, close, configure


def refresh(family: str, jti: str) -> object:
    """Use a refresh token; return the next one, or the name of the error."""
    try:
        token = TokenBlacklist().use_refresh.sync(family, jti)
    except TokenReused as reused:
        return type(reused).__name__
    return None if token is None else token.jti


def prefer(name: str, times: str) -> object:
    """Set paths of one's own, and count together with others."""
    preferences = Preferences()
    for number in range(int(times)):
        preferences.set.sync("u", {f"{name}.n{number}": number})
        preferences.increment.sync("u", "count")
    return name


def main(policy: str, what: str, *arguments: str) -> None:
    """Do as told."""
    configure(json.loads(policy))
    TokenBlacklist().is_revoked.sync("warm")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    done = {"refresh": refresh, "prefer": prefer}[what](*arguments)
    sys.stdout.write(json.dumps(done) + "\n")
    sys.stdout.flush()
    close()


if __name__ == "__main__":
    main(*sys.argv[1:])
