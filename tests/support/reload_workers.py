"""A server that reloads, and whose workers are forked: a script that says nothing if all is well.

Arguments: the policy's file. It is edited while a worker that was forked before, and one that was forked
amid reloads, make calls; all of them go by what it says then.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from cachepolicy import cached, configure
from cachepolicy.runtime import current

warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # 3.12 warns of forking beside threads
file = Path(sys.argv[1])
configure(file)


@cached("answers")
def answer(question: int) -> int:
    """Answer at once."""
    return question


def work() -> int:
    """Call until the last edit is in force; tell whether it ever was."""
    end = time.monotonic() + 30
    made = 0
    while time.monotonic() < end:
        made += 1
        answer(made)
        rule: Any = current.current().loaded.policy.namespaces["answers"]
        if rule.ttl.default == 5 * 3600:
            return 0
    return 1


def fork() -> int:
    """Start a worker; return its process id."""
    pid = os.fork()
    if pid == 0:
        sys.exit(work())
    return pid


answer(0)
workers = [fork()]
text = file.read_text()
for hours in (2, 3, 4, 5):
    new = file.with_suffix(".new")
    new.write_text(text.replace("ttl: 1h", f"ttl: {hours}h"))
    new.replace(file)
    current.reload()
    workers.append(fork())
failed = [pid for pid in workers if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
sys.exit(f"{len(failed)} of {len(workers)} workers did not follow" if failed or work() else 0)
