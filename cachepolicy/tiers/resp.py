"""Commands as bytes of the Redis protocol. Replies are hiredis' to parse.

Packed in Python: hiredis' packer crashes the interpreter when a signal handler raises in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import hiredis

Word = bytes | str | int

INCOMPLETE: Final = object()
"""What the parser gives while a reply is not whole."""


def pack(words: Iterable[Word]) -> bytes:
    """Lay out one command."""
    parts = [b""]
    for word in words:
        content = word if isinstance(word, bytes) else str(word).encode()
        parts += (b"$%d\r\n" % len(content), content, b"\r\n")  # a large one is copied once, at the end
    parts[0] = b"*%d\r\n" % (len(parts) // 3)
    return b"".join(parts)


def layout(name: str, *after: Word) -> Callable[[str], bytes]:
    """Return what lays out ``name key after…``; all but the key is laid out once."""
    return layout_around((name,), after)


def layout_around(before: Sequence[Word], after: Sequence[Word]) -> Callable[[str], bytes]:
    """Return what lays out ``before… key after…``, no word of which is empty; all but the key once."""
    whole = pack((*before, "", *after))
    begin, end = whole.split(b"$0\r\n\r\n")

    def lay_out(key: str) -> bytes:
        content = key.encode()
        return b"%b$%d\r\n%b\r\n%b" % (begin, len(content), content, end)

    return lay_out


def layout_before(before: Sequence[Word], count: int) -> Callable[[Sequence[bytes]], bytes]:
    """Return what lays out ``before… rest…``, the rest being so many words; all before it once."""
    begin = pack((*before, *[""] * count)).split(b"$0\r\n\r\n", 1)[0]
    form = begin.replace(b"%", b"%%") + b"$%d\r\n%b\r\n" * count

    def lay_out(rest: Sequence[bytes]) -> bytes:
        return form % tuple([part for word in rest for part in (len(word), word)])

    return lay_out


def parser() -> hiredis.Reader:
    """Return a parser of replies: errors come as ``ReplyError``, pushes as ``PushNotification``."""
    return hiredis.Reader(notEnoughData=INCOMPLETE)
