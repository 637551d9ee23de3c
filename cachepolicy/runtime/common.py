"""What outlives a policy, as long as each takes another's place by ``reload``."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

from cachepolicy.flow.single_flight import Flight, Flights
from cachepolicy.flow.stores import Stores


@dataclass(frozen=True, slots=True)
class Common:
    """What runtimes share.

    Attributes:
        stores: all that is open.
        flights: loads under way.
        refreshing: what is computed anew in the background, by key.
        said: warnings that were logged.
    """

    stores: Stores
    flights: Flights = field(default_factory=Flights)
    refreshing: weakref.WeakValueDictionary[str, Flight] = field(default_factory=weakref.WeakValueDictionary)
    said: set[tuple[str, str]] = field(default_factory=set)
