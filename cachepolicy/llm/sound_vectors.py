"""Which vectors are kept: those that point somewhere."""

from __future__ import annotations

import base64
import math
from array import array
from typing import Any


def is_sound(vector: Any) -> bool:
    """Tell whether a vector is kept: it has numbers, all of them finite, and not all zero.

    Zeros throughout have no direction; providers and proxies give them where they failed.
    """
    numbers = array("f", base64.b64decode(vector)) if type(vector) is str else vector
    if not isinstance(numbers, (list, array)):
        numbers = numbers.tolist()
    return any(numbers) and all(map(math.isfinite, numbers))
