"""Words that must be seen nowhere: planted where secrets and prompts are, looked for in all that leaves."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from urllib.parse import quote

SECRET = "canary-7f3a9c!secret"
"""Of passwords, tokens, people, names: never seen."""

PROMPT = "canary-2b8d4e!prompt"
"""Of arguments and results: seen only where the policy says ``content: true``."""


def seen(words: Iterable[str], where: Iterable[bytes]) -> list[str]:
    """Tell each word that is in any of the bytes, in whatever form, and what is around it."""
    texts = list(where)
    found = []
    for word in words:
        places = ((text, text.find(form)) for form in forms(word) for text in texts)
        around = next((text[max(0, at - 120) : at + 80] for text, at in places if at >= 0), None)
        if around is not None:
            found.append(f"{word}: {around!r}")
    return found


def forms(word: str) -> Iterator[bytes]:
    """Give a word as it may have been written: as it is, in hex, for a URL, in base64 at any place."""
    plain = word.encode()
    yield plain
    yield word.upper().encode()
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    yield quote(word, safe="").encode()
    yield "".join(f"%{byte:02X}" for byte in plain).encode()
    for before in range(3):  # what stands before it shifts its bits
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            # The characters at both ends hold bits of their neighbours, too.
            yield alphabet(b"\0" * before + plain)[4 if before else 0 : -4]


def shown(value: object) -> bytes:
    """Write down all that a value says of itself."""
    return f"{value} {value!r} {getattr(value, '__dict__', '')!r}".encode()
