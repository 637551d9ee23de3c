"""A process that reads a file when it is told to: ``python -m tests.support.blob_reader URL ID [CLAIM]``."""

from __future__ import annotations

import hashlib
import sys

from cachepolicy import BlobMissing, TempStore, close, configure
from tests.support.temping import temp_policy


def main(url: str, blob_id: str, claim: str | None = None) -> None:
    """Read, and print the SHA-256 of what was read, or that nothing was."""
    configure(temp_policy(url, redis={"deadline": "20s"}))
    store = TempStore()
    store.usage.sync()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    try:
        told = hashlib.sha256(store.read.sync(blob_id, claim=claim)).hexdigest()
    except BlobMissing:
        told = "missing"
    sys.stdout.write(f"{told}\n")
    sys.stdout.flush()
    close()


if __name__ == "__main__":
    main(*sys.argv[1:])
