"""The one source of chance: jitter, spread, who volunteers.

It is the system's, which has no state: threads that draw behind an application's back do not disturb what it
has seeded, its seed does not make its processes draw alike, and neither does a fork.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

chance: Final[Callable[[], float]] = random.SystemRandom().random
"""Draws from 0 to 1."""
