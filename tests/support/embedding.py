"""A model of embeddings that needs no provider: a text has always the same vector."""

from __future__ import annotations

import random
import struct

DIMENSIONS = 8


def vector_of(text: object, dimensions: int = DIMENSIONS) -> list[float]:
    """Return the text's vector, of single precision, as OpenAI's SDK gives them."""
    dice = random.Random(repr(text))
    numbers = [dice.gauss(0.0, 0.5) for _ in range(dimensions)]
    return list(struct.unpack(f"{dimensions}f", struct.pack(f"{dimensions}f", *numbers)))


def wide_vector_of(text: object) -> list[float]:
    """Return a vector that single precision does not hold."""
    dice = random.Random(repr(text))
    return [dice.gauss(0.0, 0.5) for _ in range(DIMENSIONS)]
