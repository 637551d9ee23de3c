"""What compression leaves of answers of about 2 KB, and what reading them back costs.

The answers are those of ``tests.support.answers``, with the docstrings of the standard library for more
of the same: technical prose in English, no paragraph twice. The dictionary is trained on one half and
everything is measured on the other. Traffic of one application is more alike than this.
"""

from __future__ import annotations

import ast
import json
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from cachepolicy.codec import dictionary
from cachepolicy.codec.codec import Codec, Times
from cachepolicy.codec.envelope import fingerprint, unseal
from cachepolicy.codec.serialize import ABSENT, read, serializer_for
from tests.benchmarks.harness import OURS, Row, Table, timed
from tests.support.answers import answers, completion, paragraphs

DECODING = "decoding a 2 KB answer"
DECODING_WITH = "decoding a 2 KB answer, with a dictionary"
TITLES = (DECODING, DECODING_WITH)
JSON = "json.loads"
WITHOUT = "2 KB answers as they are stored, without a dictionary"
WITH = "2 KB answers as they are stored, with a dictionary"

_LEVEL = 3
_DICTIONARY = 16 * 1024
_NO_TESTS = {"test", "tests", "idlelib", "site-packages", "pydoc_data", "encodings", "turtledemo"}
_TIMES = Times(1_700_000_000.0, 1_700_003_600.0, 1_700_090_000.0, 1.25)
_KEY = "app:llm:llm_cache:0123"


def tables() -> Iterator[Table]:
    """Compare reading an answer (decompressed, and made an object of) with reading it as JSON."""
    for title, codec in {DECODING: _codecs()[WITHOUT], DECODING_WITH: _codecs()[WITH]}.items():
        _, held_out = _halves()
        texts = [json.dumps(each).encode() for each in held_out]
        stored = [codec.seal(codec.dump(each), _KEY, _TIMES) for each in held_out]
        bodies = [unseal(each, fingerprint(_KEY)) for each in stored]
        rows = [
            Row(JSON, timed("loads(turn())", loads=json.loads, turn=cycle(texts).__next__)),
            Row(OURS, timed("decode(*turn())", decode=_decoder(codec), turn=cycle(bodies).__next__)),
            Row(
                "the same, checked and opened",
                timed(
                    "read(open(turn(), key)[1])",
                    read=read,
                    open=codec.unseal,
                    key=_KEY,
                    turn=cycle(stored).__next__,
                ),
            ),
        ]
        yield Table(title, f"chat completions of {_mean():,} bytes on average, as dicts", rows)


@lru_cache(1)
def shares() -> Mapping[str, float]:
    """Return what is stored of an answer, envelope included, as a share of the payload before compression."""
    _, held_out = _halves()
    found: dict[str, float] = {}
    for title, codec in _codecs().items():
        dumped = [codec.dump(each) for each in held_out]
        stored = sum(len(codec.seal(each, _KEY, _TIMES)) for each in dumped)
        found[title] = stored / sum(len(each.payload) for each in dumped)
    return found


def _decoder(codec: Codec) -> Any:
    loaders = codec.serializer.loaders

    def decode(header: Any, packed: bytes) -> object:
        return loaders[header.serializer](codec.unpack(header, packed))

    return decode


def _mean() -> int:
    codec, (_, held_out) = _codecs()[WITHOUT], _halves()
    return sum(len(codec.dump(each).payload) for each in held_out) // len(held_out)


@lru_cache(1)
def _codecs() -> Mapping[str, Codec]:
    learnt, _ = _halves()
    serializer = serializer_for(ABSENT)
    trained = dictionary.train([serializer.dump(each).payload for each in learnt], _DICTIONARY)
    made = dictionary.together([dictionary.load(trained, _LEVEL)], writing=True)
    plain = Codec(serializer, threshold=1024, level=_LEVEL, limit=2**20)
    return {
        WITHOUT: plain,
        WITH: Codec(serializer, threshold=1024, level=_LEVEL, limit=2**20, dictionaries=made),
    }


@lru_cache(1)
def _halves() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    everything = [completion(text) for text in answers(paragraphs([*topics.values(), *_docstrings()]))]
    half = len(everything) // 2
    return everything[:half], everything[half:]


def _docstrings() -> Iterator[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(library.rglob("*.py")):
        if _NO_TESTS.isdisjoint(file.relative_to(library).parts):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield ast.get_docstring(node) or ""
