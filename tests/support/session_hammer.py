"""A process that works with one user's sessions: ``session_hammer POLICY NAME TURNS TOKEN``.

It prints a line when it is ready, begins when it is told a line, and prints what it saw as JSON. All
processes count in the session of TOKEN, each under its own name; they make, use, rotate and end others.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

from cachepolicy import SessionManager, close, configure


def main(policy: str, name: str, turns: str, token: str) -> None:
    """Work, and count what should not be."""
    configure(json.loads(policy))
    sessions = SessionManager()
    sessions.get_session.sync(token)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    seen: dict[str, Any] = {"lost": 0, "resurrected": 0, "foreign": 0, "most": 0, "made": 0}
    ended: list[str] = []
    for turn in range(1, int(turns) + 1):
        shared = sessions.update_session.sync(token, {name: turn})
        seen["lost"] += shared is None or shared.data[name] != turn
        own, _ = sessions.create_session.sync("u1", {"of": name})
        seen["made"] += 1
        rotated = sessions.rotate.sync(own)
        found = sessions.get_session.sync(own)
        seen["foreign"] += found is not None and found.data != {"of": name}
        seen["most"] = max(seen["most"], len(sessions.list_sessions.sync("u1")))
        if rotated is not None and random.random() < 0.5:
            sessions.end_session.sync(own)
            ended += [own, rotated.token]
            sessions.update_session.sync(own, {"of": "ended"})
        seen["resurrected"] += sum(
            sessions.get_session.sync(one) is not None for one in random.sample(ended, min(3, len(ended)))
        )
    close()
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
