"""One process of several that share a cache: it does as it is told, a line at a time, and says what came.

``python -m tests.support.member POLICY``; told by its input:

::

    ask            call the function; prints the answer
    truth N        what loads return that begin from now on
    hold           have the next load take until another line comes: ``go``
    purge | expire the tag of the call
    loads          prints how many there were
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Self

from cachepolicy import cached, close, configure, namespace


def _say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    """Do as the input says."""
    configure(json.loads(sys.argv[1]))
    state = {"truth": 0, "held": 0, "loads": 0}

    @cached("answers", key="q:{question}", tags=("model",))
    def answer(question: str, model: str) -> int:
        state["loads"] += 1
        number, held = state["truth"], state["held"]
        state["held"] = 0
        _say("began")
        if held:
            sys.stdin.readline()
        return number

    answers = namespace("answers")
    for line in sys.stdin:
        word, _, value = line.strip().partition(" ")
        if word == "ask":
            _say(answer("why?", "small"))
        elif word == "purge":
            answers.purge_tag.sync("model", "small")
            _say("done")
        elif word == "purge_key":
            answers.purge_key.sync(answer.key("why?", "small"))
            _say("done")
        elif word == "loads":
            _say(state["loads"])
        elif word == "hold":
            state["held"] = 1
        elif word == "truth":
            state["truth"] = int(value)
    close()


class Member:
    """The other end of such a process."""

    def __init__(self, policy: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.support.member", json.dumps(policy)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Return the next line that it says."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self) -> int:
        """Have it call the function."""
        self.tell("ask")
        said = self.hear()
        return int(self.hear() if said == "began" else said)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=20)
        assert self._process.returncode == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self.close()
        finally:
            self._process.kill()


if __name__ == "__main__":
    main()
