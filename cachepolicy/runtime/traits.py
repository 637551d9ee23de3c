"""What is special about the calls of one kind of function, as far as the engine asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Traits:
    """One kind of function. What is not said is as for any function.

    Attributes:
        kind: the key segment before the digest: ``cache``, ``llm_cache``.
    """

    kind: str = "cache"


PLAIN: Final = Traits()
"""Of any function."""
