"""What the stand-ins of all providers share: scripted answers, faults, counts, streams, start and close."""

from __future__ import annotations

import json
import secrets
import threading
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Self

from cachepolicy.clock import SYSTEM
from cachepolicy.testing.loopback import LoopbackServer, Pause, Piece, Request, Response
from cachepolicy.testing.replies import Answer, Fault, Reply, WireError
from cachepolicy.testing.request_checks import read_object
from cachepolicy.testing.wire import AskedT, Stamp, Wire

NO_ANSWERS: Mapping[str, Answer] = MappingProxyType({})


class ProviderServer(ABC):
    """One server on a free loopback port, from ``start`` (or ``with``) to ``close``; threads may share it.

    Args:
        answers: what to say to each question; the question is the last text of role ``user``.
        think: seconds an answer takes, 15 % more or less by question; the same question always takes as long.
        pace: seconds between two chunks of a stream.
        api_key: the only key to accept; any, when not given.
        models: the names to serve, each with the dated name it resolves to; the provider's, when not given.

    Attributes:
        answers: what to say to each question; may be changed while it runs.
        pace: seconds between two chunks of a stream; may be changed while it runs.
    """

    wire: ClassVar[str]
    path: ClassVar[str] = ""
    known: ClassVar[Mapping[str, str]]

    def __init__(
        self,
        *,
        answers: Mapping[str, Answer] = NO_ANSWERS,
        think: float = 1.0,
        pace: float = 0.0,
        api_key: str | None = None,
        models: Mapping[str, str] | None = None,
    ) -> None:
        self.answers: dict[str, Answer] = dict(answers)
        self.pace: float = pace
        self._think = think
        self._api_key = api_key
        self._models = dict(self.known if models is None else models)
        self._changed = threading.Condition()
        self._requests = 0
        self._received: list[dict[str, Any]] = []
        self._hang_ups = 0
        self._turns: dict[str, int] = {}
        self._faults: deque[Fault] = deque()
        self._released = threading.Event()
        self._http: LoopbackServer | None = None

    @property
    def base_url(self) -> str:
        """What a client of the provider's SDK takes as its ``base_url``."""
        if self._http is None:
            raise RuntimeError("the server is not running: call start(), or use it in a with statement")
        return f"http://127.0.0.1:{self._http.server_port}{self.path}"

    @property
    def requests(self) -> int:
        """How often a model was asked for something, refused and failed requests included."""
        return self._requests

    @property
    def received(self) -> list[dict[str, Any]]:
        """The bodies of those requests, as they came; what is no JSON object is left out."""
        with self._changed:
            return list(self._received)

    @property
    def hang_ups(self) -> int:
        """How many clients hung up before their answer was theirs whole."""
        return self._hang_ups

    def wait_for(self, requests: int, timeout: float = 20.0) -> bool:
        """Wait until so many requests came; False when they did not in ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._requests >= requests, timeout)

    def wait_for_hang_ups(self, hang_ups: int = 1, timeout: float = 20.0) -> bool:
        """Wait until so many clients hung up early; False when they did not in ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._hang_ups >= hang_ups, timeout)

    def fail_with(
        self, status: int, times: int = 1, *, retry_after: float | None = None, code: str | None = None
    ) -> None:
        """Answer the next ``times`` requests with an error; further failures queue up behind."""
        self._plan(Fault(status, code=code, retry_after=retry_after), times)

    def break_off(self, after: int, times: int = 1, *, status: int | None = None) -> None:
        """Break the next ``times`` streams off after so many chunks; a shorter stream ends well.

        Args:
            after: how many server-sent events come before; what is no stream fails at once.
            times: how many streams.
            status: break off with the ``error`` event that says this status; without one, hang up.
        """
        self._plan(Fault(status, after), times)

    def release(self) -> None:
        """Let streams that wait by ``hold_after`` go on, those to come included."""
        self._released.set()

    def start(self) -> Self:
        """Listen; when this returns, the server answers."""
        if self._http is not None:
            raise RuntimeError("the server is already running")
        self._http = LoopbackServer(self._respond, self._hung_up)
        self._http.start()
        return self

    def close(self) -> None:
        """Stop at once, dropping whoever still waits for an answer. Closing twice is fine."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _headers(self) -> dict[str, str]:
        """Make the headers of one response."""

    @abstractmethod
    def _error(self, error: WireError) -> dict[str, Any]:
        """Say an error as this wire format does."""

    @abstractmethod
    def _route(self, request: Request) -> Response:
        """Answer one request, or raise WireError."""

    def _respond(self, request: Request) -> Response:
        headers = {"Content-Type": "application/json", **self._headers()}
        try:
            response = self._route(request)
        except WireError as error:
            if error.retry_after is not None:
                headers["retry-after"] = f"{error.retry_after:g}"
            return Response(error.status, json.dumps(self._error(error)).encode(), headers)
        return Response(response.status, response.body, {**headers, **response.headers}, response.think)

    def _asked(self, body: bytes) -> tuple[dict[str, Any], Fault | None]:
        """Count a request, keep what it says, and fail it if told to; a fault in mid-stream is handed on."""
        with self._changed:
            self._requests += 1
            fault = self._faults.popleft() if self._faults else None
            try:
                data = read_object(body)
                self._received.append(data)
            finally:
                self._changed.notify_all()
        if fault is not None and (fault.after is None or not data.get("stream")):
            fault.strike()
        return data, fault

    def _reply_to(self, question: str) -> Reply:
        """Look up what to say; without an answer to give, say honestly that there is none."""
        answer = self.answers.get(question)
        if answer is not None and not isinstance(answer, str | Reply):
            with self._changed:
                turn = self._turns.get(question, 0)
                self._turns[question] = turn + 1
            answer = answer[min(turn, len(answer) - 1)]
        if isinstance(answer, Reply):
            return answer
        return Reply(
            text=answer
            or f"No model thinks here: this is a local server that speaks {self.wire} wire format, "
            f"and it was given no answer to the question “{question}”."
        )

    def _converse(
        self, body: bytes, wire: Wire[AskedT], broken: Callable[[WireError, int], bytes]
    ) -> Response:
        """Answer a conversation in ``wire``; ``broken`` makes the event that says an error in mid-stream."""
        data, fault = self._asked(body)
        asked = wire.parse(data)
        model, reply = self._resolve(asked.model), self._reply_to(asked.question)
        stamp = Stamp(f"{wire.prefix}{secrets.token_hex(12)}", model, int(SYSTEM.wall()))
        if not asked.stream:
            return self._whole(wire.whole(asked, reply, stamp), asked.question)
        frames = wire.events(asked, reply, stamp)
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        pieces = self._pieces(frames, reply, fault, broken)
        return Response(200, pieces, headers, self._thinking(asked.question))

    def _whole(self, answer: Mapping[str, Any], question: str) -> Response:
        """Answer in one piece, after thinking."""
        return Response(200, json.dumps(answer).encode(), think=self._thinking(question))

    def _pieces(
        self,
        frames: Iterable[bytes],
        reply: Reply,
        fault: Fault | None,
        broken: Callable[[WireError, int], bytes],
    ) -> Iterator[Piece]:
        """Time the frames of a stream, and break it off if told to."""
        pace = self.pace if reply.pace is None else reply.pace
        for number, frame in enumerate(frames):
            if fault is not None and number == fault.after:
                try:
                    fault.strike()
                except WireError as error:
                    yield broken(error, number)
                    return
            if number == reply.hold_after:
                yield Pause(until=self._released)
            if number and pace:
                yield Pause(pace)
            yield frame

    def _resolve(self, model: str) -> str:
        """Name the dated model that serves ``model``; a dated one serves itself."""
        if model in self._models:
            return self._models[model]
        if model in self._models.values():
            return model
        text = f"The model `{model}` does not exist or you do not have access to it."
        raise WireError(404, text, code="model_not_found")

    def _check_key(self, key: str) -> bool:
        return self._api_key is None or secrets.compare_digest(key.encode(), self._api_key.encode())

    def _thinking(self, question: str) -> float:
        share = zlib.crc32(question.encode(errors="replace")) / 0xFFFFFFFF
        return self._think * (0.85 + 0.3 * share)

    def _plan(self, fault: Fault, times: int) -> None:
        with self._changed:
            self._faults.extend([fault] * times)

    def _hung_up(self) -> None:
        with self._changed:
            self._hang_ups += 1
            self._changed.notify_all()


def bearer_token(request: Request) -> str:
    """Read the bearer token that a request carries; empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
