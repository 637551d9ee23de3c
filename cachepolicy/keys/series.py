"""The one spelling of a series' labels: no two series have the same, whatever is in a name or a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MARK: Final = b"s"  # tells series from what else stands beside them
_LAX: Final = "surrogatepass"  # text that is not Unicode is counted too


def spell(labels: Iterable[tuple[str, str]]) -> bytes:
    """Return the spelling of labels, which are in the order of their names."""
    return _MARK + b"".join([_framed(text) for label in labels for text in label])


def read(spelling: bytes) -> tuple[tuple[str, str], ...] | None:
    """Return the labels that are spelled so; None where it is no series' spelling."""
    if not spelling.startswith(_MARK):
        return None
    texts, at = [], len(_MARK)
    while at < len(spelling):
        colon = spelling.index(b":", at)
        end = colon + 1 + int(spelling[at:colon])
        texts.append(spelling[colon + 1 : end].decode(errors=_LAX))
        at = end
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _framed(text: str) -> bytes:
    content = text.encode(errors=_LAX)
    return b"%d:%b" % (len(content), content)
