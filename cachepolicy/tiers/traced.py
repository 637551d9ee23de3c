"""Stores whose every command has a span: put around a leaf where the policy asks for it, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from cachepolicy.errors import StoreError
from cachepolicy.telemetry.db_spans import ClientSpan, ClientSpans
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.ports import AsyncStore, SyncStore

T = TypeVar("T")


class _Spans:
    """The spans of one leaf."""

    def __init__(self, place: Place, store: SyncStore | AsyncStore) -> None:
        self._place = place
        self._store = store
        self._client = ClientSpans()

    def one(self, command: Command[Any]) -> ClientSpan | None:
        """Begin the span of a command."""
        name = _name(command)
        script = str(command.words[1]) if name == "EVALSHA" else ""
        return self._client.begin(name, self._db, self._server(command), script=script)

    def several(self, commands: Sequence[Command[Any]]) -> ClientSpan | None:
        """Begin the span of commands that go together."""
        if len(commands) == 1:
            return self.one(commands[0])
        names = {_name(command) for command in commands}
        name = f"PIPELINE {names.pop()}" if len(names) == 1 else "PIPELINE"
        servers = {self._server(command) for command in commands}
        server = servers.pop() if len(servers) == 1 else None
        return self._client.begin(name, self._db, server, size=len(commands))

    @property
    def _db(self) -> int:
        return 0 if self._place.isolates is False else self._place.db

    def _server(self, command: Command[Any]) -> tuple[str, int] | None:
        address = self._place.endpoint.address
        match address.scheme:
            case "redis" | "rediss":
                return address.hosts[0]
            case "redis+cluster":
                name, _, port = self._store.node(command.key).rpartition(":")
                return (name.strip("[]"), int(port)) if port.isdigit() else None
            case "unix":
                return address.path, 0
            case _:  # sentinels say who the master is, and it may change
                return None


class TracedSync:
    """``SyncStore`` with a span for each command, around another.

    Args:
        place: the database.
        store: its leaf.
    """

    def __init__(self, place: Place, store: SyncStore) -> None:
        self._store = store
        self._spans = _Spans(place, store)
        self.node = store.node
        self.spread = store.spread
        self.close = store.close

    def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        span = self._spans.one(command)
        try:
            result = self._store.execute(command, timeout)
        except BaseException as error:
            _end(span, error)
            raise
        _end(span, None)
        return result

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip."""
        span = self._spans.several(commands)
        try:
            results = self._store.execute_all(commands, timeout)
        except BaseException as error:
            _end(span, error)
            raise
        _end(span, _first(results))
        return results


class TracedAsync:
    """The same for ``AsyncStore``."""

    def __init__(self, place: Place, store: AsyncStore) -> None:
        self._store = store
        self._spans = _Spans(place, store)
        self.node = store.node
        self.spread = store.spread
        self.aclose = store.aclose

    async def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        span = self._spans.one(command)
        try:
            result = await self._store.execute(command, timeout)
        except BaseException as error:
            _end(span, error)
            raise
        _end(span, None)
        return result

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip."""
        span = self._spans.several(commands)
        try:
            results = await self._store.execute_all(commands, timeout)
        except BaseException as error:
            _end(span, error)
            raise
        _end(span, _first(results))
        return results


def _name(command: Command[Any]) -> str:
    return str(command.words[0])


def _first(results: Sequence[object]) -> StoreError | None:
    return next((result for result in results if isinstance(result, StoreError)), None)


def _end(span: ClientSpan | None, error: BaseException | None) -> None:
    if span is None:
        return
    if error is None:
        span.end()
    elif isinstance(error, StoreError):
        span.end(str(error.fault), error.code)
    else:
        span.end(type(error).__name__)
