"""``python -m tests.golden.make``: write the envelopes that later releases must still read.

Run once per format version, never to make a failing test pass: a file that no longer reads is a cache that a
deployment empties.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

from cachepolicy.codec import dictionary, encrypt
from cachepolicy.codec.codec import Codec, Times
from cachepolicy.codec.serialize import ABSENT, serializer_for
from tests.support.answers import completion

HERE = Path(__file__).parent
KEY = "app:llm:llm_cache:0123"
TIMES = Times(created=1_700_000_000.125, fresh_until=1_700_003_600.5, stale_until=1_700_090_000.0, cost=1.25)
CASES: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {
        "v2-text": (ABSENT, "an answer"),
        "v2-bytes": (ABSENT, b"\x00\x01\xff"),
        "v2-msgpack": (ABSENT, {"choices": [{"message": {"role": "assistant", "content": "hi"}}], "n": 1.5}),
        "v2-msgpack-zstd": (ABSENT, {"text": "again and " * 200}),
        "v2-dictionary-zstd": (ABSENT, completion("A dictionary knows what answers have in common.")),
        "v2-json": (tuple[int, str], (1, "a")),
        "v2-none": (ABSENT, None),
    }
)
ENCRYPTED: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {
        "v2-encrypted": (ABSENT, "an answer"),
        "v2-encrypted-zstd": (ABSENT, {"text": "again and " * 200}),
    }
)
SECRET = bytes(range(32))
DICTIONARY = dictionary.load((HERE / "answers.dict").read_bytes(), 3)
"""Trained once, on the pages of docs/ put as answers; no other one reads what is written with it."""


def codec_of(annotation: Any, *secrets: bytes, with_dictionary: bool = False) -> Codec:
    """Return the codec that the files are written with; it reads those with a dictionary in any case."""
    return Codec(
        serializer_for(annotation),
        threshold=1024,
        level=3,
        limit=2**20,
        keyring=encrypt.keyring(secrets) if secrets else None,
        dictionaries=dictionary.together([DICTIONARY], writing=with_dictionary),
    )


def encrypted(name: str) -> bytes:
    """Return the bytes of an encrypted case; its nonce is not random, as nowhere else."""
    annotation, value = ENCRYPTED[name]
    codec = codec_of(annotation, SECRET)
    with mock.patch("cachepolicy.codec.encrypt.os.urandom", return_value=b"twelve bytes"):
        return codec.seal(codec.dump(value), KEY, TIMES)


def main() -> None:
    """Write every case that has no file yet."""
    for name in ENCRYPTED:
        file = HERE / f"{name}.bin"
        if not file.exists():
            file.write_bytes(encrypted(name))
    for name, (annotation, value) in CASES.items():
        file = HERE / f"{name}.bin"
        if not file.exists():
            codec = codec_of(annotation, with_dictionary="dictionary" in name)
            file.write_bytes(codec.seal(codec.dump(value), KEY, TIMES))


if __name__ == "__main__":
    main()
