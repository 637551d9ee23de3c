"""What is heard of changes at one site, and what follows from it.

::

    Redis ── push ──▶ watch ──▶ Hearing ──┬─▶ L1 of the namespace: drop, or verify what we wrote ourselves
                                          ├─▶ versions of its tags: trusted no longer
                          ├─▶ loads under way: nobody joins them any more
                                          └─▶ callers who wait for another process's load
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

from cachepolicy.clock import Clock
from cachepolicy.errors import StoreError
from cachepolicy.flow.signal import Signal
from cachepolicy.flow.single_flight import Flights
from cachepolicy.flow.versions import Versions
from cachepolicy.keys.layout import tag_of
from cachepolicy.tiers.coherence import Watch
from cachepolicy.tiers.listener import NullWatch
from cachepolicy.tiers.local import LocalCache
from cachepolicy.tiers.notices import Names


class Expected(Signal):
    """A change of one key that callers wait for."""

    def __init__(self, lock: threading.Lock, now: float) -> None:
        super().__init__(lock)
        self.renewed = now  # when its lease was last known to be held, monotonic
        self.heard = True  # once set: of the key itself, and not only that anything may have happened


class Echo:
    """What is heard of a key while this process stores it: perhaps before it knows that it has.

    Attributes:
        tail: how the value ends that was last heard of; empty where none was.
    """

    __slots__ = ("__weakref__", "tail")

    def __init__(self) -> None:
        self.tail = b""


class _Namespace:
    """What is kept of one namespace in this process."""

    def __init__(self, local: LocalCache | None, versions: Versions, flights: Flights) -> None:
        self.local = local
        self.flights = flights
        self.versions = versions


class Hearing:
    """The listener of one site's watch; also what this process itself changes is told here."""

    def __init__(self, clock: Clock, names: Names) -> None:
        self.names = names
        self.watch: Watch | NullWatch = NullWatch()
        self._clock = clock
        self._was_live = False
        self._lock = threading.Lock()
        self._namespaces: dict[str, _Namespace] = {}
        self._expected: weakref.WeakValueDictionary[str, Expected] = weakref.WeakValueDictionary()
        self._echoes: weakref.WeakValueDictionary[str, Echo] = weakref.WeakValueDictionary()

    @property
    def live(self) -> bool:
        """Tell whether changes by other processes are heard of."""
        return self.watch.live

    @property
    def verifies(self) -> bool:
        """Tell whether Redis can be asked what is stored there in the end."""
        return not isinstance(self.watch, NullWatch)

    def add(self, local: LocalCache | None, versions: Versions, flights: Flights) -> None:
        """Have a namespace's L1, versions and loads follow the changes of its keys."""
        self._namespaces[versions.prefix] = _Namespace(local, versions, flights)

    def expect(self, key: str) -> Expected:
        """Return what will be set when a key changes, or its lease ends."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is None or expected.is_set:
                expected = Expected(self._lock, self._clock.monotonic())
                self._expected[key] = expected
            return expected

    def storing(self, key: str) -> Echo:
        """Return where it is noted what is heard of a key, for as long as the caller holds it."""
        with self._lock:
            echo = self._echoes.get(key)
            if echo is None:
                echo = self._echoes[key] = Echo()
            return echo

    def purged(self, prefix: str, tags: Sequence[bytes]) -> None:
        """Let go of what depends on tags: this process gave them a new version."""
        namespace = self._namespaces[prefix]
        for tag in tags:
            self._untag(namespace, tag)

    def unsaid(self, notices: Sequence[bytes], fault: StoreError) -> None:
        """Take note that a change was not made, and what it would have told not said."""
        if not fault.sent:
            for notice in notices:
                self.watch.unsaid(notice)

    def wake(self, key: str) -> None:
        """Wake who waits for a key: this process itself stored it, or ended its lease."""
        expected = self._expected.get(key)
        if expected is not None:
            expected.set()

    # what the watch tells

    def changed(self, key: str) -> bool:
        """A key has changed; tell whether what this process stored under it is to be verified."""
        namespace = self._of(key)
        wants_verifying = False
        if namespace is not None:
            tag = tag_of(namespace.versions.prefix, key)
            if tag is not None:
                self._untag(namespace, tag)
            else:
                namespace.flights.shut(key)
                if namespace.local is not None:
                    wants_verifying = namespace.local.changed(key) or key in self._echoes
        self.wake(key)
        return wants_verifying

    def verified(self, key: str, tail: bytes | None) -> None:
        """Keep what this process stored under a key only where Redis still holds the same."""
        echo = self._echoes.get(key)
        if echo is not None:
            echo.tail = tail or b""
        namespace = self._of(key)
        if namespace is not None and namespace.local is not None:
            namespace.local.verified(key, tail)

    def renewed(self, key: str) -> None:
        """The holder of a lease goes on."""
        expected = self._expected.get(key)
        if expected is not None:
            expected.renewed = self._clock.monotonic()

    def released(self, key: str) -> None:
        """A lease ended without a value."""
        self.wake(key)

    def lost(self) -> None:
        """Changes may have gone unheard: whatever is held is let go of.

        What was filled before the first connection is not: it lasts for ``local.blind_ttl`` only, for a fill
        is trusted by what was heard before it was read.
        """
        was_live, self._was_live = self._was_live, True
        for echo in [reference() for reference in self._echoes.valuerefs()]:
            if echo is not None:  # before L1 is emptied: what comes into it later is to be verified
                echo.tail = b""
        for namespace in list(self._namespaces.values()):
            namespace.versions.distrust()
            if namespace.local is not None and was_live:
                namespace.local.flush()
        for expected in [reference() for reference in self._expected.valuerefs()]:
            if expected is not None:
                expected.heard = False
                expected.set()

    def close(self) -> None:
        """Hear no more; L1 is emptied."""
        self.watch.close()
        self.lost()
        self._was_live = False

    def retire(self) -> None:
        """Hear no more, for good: what calls under way bring into L1 lasts for ``local.blind_ttl`` only."""
        self.close()
        self.watch = NullWatch(live=False)

    def after_fork(self) -> None:
        """Leave the connection to the parent; what this process holds may have changed unheard."""
        self._lock = threading.Lock()
        self._expected = weakref.WeakValueDictionary()
        self._echoes = weakref.WeakValueDictionary()
        self._was_live = False
        self.watch.after_fork()
        for namespace in self._namespaces.values():
            namespace.versions.after_fork()
            if namespace.local is not None and self.verifies:
                namespace.local.flush()

    def _of(self, key: str) -> _Namespace | None:
        app, _, rest = key.partition(":")
        name, _, _ = rest.partition(":")
        return self._namespaces.get(f"{app}:{name}:")

    def _untag(self, namespace: _Namespace, tag: bytes) -> None:
        namespace.versions.forget(tag)
        if namespace.local is not None:
            namespace.local.untag(tag)
        namespace.flights.shut_tagged(namespace.versions.prefix, tag)
