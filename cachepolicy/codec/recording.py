"""A recorded stream as bytes: its chunks, and how long each let its reader wait.

::

    offset  size  field (big-endian)
         0     4  n: how many chunks
         4     n  how each is written, as an envelope says it of a whole value
       4+n    4n  ms that each took to come
      4+5n    4n  length of each
      4+9n     …  the chunks, one after the other
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from cachepolicy.codec.serialize import Serialized, Serializer
from cachepolicy.errors import Corruption, CorruptValue

_COUNT: Final = struct.Struct(">I")
OVERHEAD: Final = 9
"""Bytes that a chunk takes besides its own."""
_LONGEST: Final = 2**32 - 1


class Recording(NamedTuple):
    """Chunks, and the seconds that each took to come."""

    chunks: Sequence[object]
    pauses: Sequence[float]


def pack(chunks: Sequence[Serialized], pauses: Sequence[float]) -> bytes:
    """Lay chunks out one after the other."""
    count = len(chunks)
    return b"".join(
        (
            _COUNT.pack(count),
            bytes([chunk.form for chunk in chunks]),
            struct.pack(f">{count}I", *[min(round(pause * 1000), _LONGEST) for pause in pauses]),
            struct.pack(f">{count}I", *[len(chunk.payload) for chunk in chunks]),
            *[chunk.payload for chunk in chunks],
        )
    )


def unpack(serializer: Serializer, payload: bytes) -> Recording:
    """Return fresh chunks.

    Args:
        serializer: of one chunk.
        payload: what ``pack`` laid out.

    Raises:
        CorruptValue: it is nothing that ``pack`` laid out, or a chunk does not decode.
    """
    loaders = serializer.loaders
    try:
        (count,) = _COUNT.unpack_from(payload)
        at = _COUNT.size + count
        forms = payload[_COUNT.size : at]
        numbers = struct.unpack_from(f">{2 * count}I", payload, at)
        at += 8 * count
        chunks = []
        for form, length in zip(forms, numbers[count:], strict=True):
            end = at + length
            chunks.append(loaders[form](payload[at:end]))
            at = end
    except CorruptValue:
        raise
    except Exception:  # noqa: BLE001 - a chunk's validators are user code; the caller counts
        raise CorruptValue(Corruption.PAYLOAD) from None
    if at != len(payload):
        raise CorruptValue(Corruption.PAYLOAD)
    return Recording(chunks, [number / 1000 for number in numbers[:count]])
