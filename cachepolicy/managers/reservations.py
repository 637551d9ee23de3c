"""What is held while a call runs: tokens that are reserved, a place among those that run at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from cachepolicy.errors import UnkeyableArgument
from cachepolicy.llm.usage import usage_of
from cachepolicy.runtime.manage import Work, verb
from cachepolicy.telemetry.usage import Usage

if TYPE_CHECKING:
    from cachepolicy.flow.admitting import Admission
    from cachepolicy.flow.decision import Decision
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.limiter import Claim
    from cachepolicy.runtime.compose import Runtime


class Reservation:
    """A call that was charged by an estimate.

    Attributes:
        decision: what the rule said.
    """

    def __init__(self, runtime: Runtime, claim: Claim, admission: Admission, requests: int) -> None:
        self.decision: Final[Decision] = runtime.limits.flows.told(admission)
        self._runtime: Final = runtime
        self._claim: Final = claim
        self._admission: Final = admission
        self._requests: Final = requests

    def __repr__(self) -> str:
        return f"Reservation({self.decision.rule!r})"

    @verb
    def settle(self, used: object) -> Work[bool]:
        """Charge what was used instead of the estimate; tell whether this did it: it is done once.

        Args:
            used: tokens, as a number or a ``Usage``; or an answer that says what it took.

        Raises:
            UnkeyableArgument: it does not say.
        """
        usage, total = _usage(used, self)
        flow = self._runtime.limits.flows.settle(self._admission, self._requests, usage, total)
        return self._work(flow)

    @verb
    def refund(self) -> Work[bool]:
        """Give back everything, the request too; tell whether this did it: it is done once."""
        return self._work(self._runtime.limits.flows.refund(self._admission, everything=True))

    def ended(self, error: BaseException | None) -> Work[None]:
        """End it: what failed is given back as the rule says; what nobody settled stands as estimated."""
        return self._work(self._runtime.limits.flows.end(self._admission, error))

    def _work(self, flow: Flow[Any]) -> Work[Any]:
        return Work(self._runtime, self._claim.limiter.site, flow)


class Holding:
    """A call that is about to be charged: a block that it runs in, of either colour.

    ``async with`` and ``with`` end it, however the block ends. Without a block, ``await`` it, or call
    ``sync()``, and settle what is returned.

    Entering raises:
        RateLimitExceeded: a limit denies it.
    """

    def __init__(self, begin: Callable[[], tuple[Runtime, Claim]], requests: int, most_wait: int) -> None:
        self._begin = begin
        self._requests = requests
        self._most_wait = most_wait
        self._held: Reservation | None = None

    def sync(self) -> Reservation:
        """Charge it in this thread."""
        runtime, claim = self._begin()
        flow = runtime.limits.flows.admit([claim], self._most_wait, reserve=True)
        admission = runtime.engine.run(flow, runtime.stores.sync_io(claim.limiter.site))
        return Reservation(runtime, claim, admission, self._requests)

    def __await__(self) -> Generator[Any, Any, Reservation]:
        return self._reserved().__await__()

    async def _reserved(self) -> Reservation:
        runtime, claim = self._begin()
        flow = runtime.limits.flows.admit([claim], self._most_wait, reserve=True)
        admission = await runtime.engine.arun(flow, runtime.stores.async_io(claim.limiter.site))
        return Reservation(runtime, claim, admission, self._requests)

    def __enter__(self) -> Reservation:
        self._held = self.sync()
        return self._held

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self._held is not None:
            runtime, site, flow = self._held.ended(error)
            runtime.engine.run(flow, runtime.stores.sync_io(site))

    async def __aenter__(self) -> Reservation:
        self._held = await self._reserved()
        return self._held

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self._held is not None:
            runtime, site, flow = self._held.ended(error)
            await runtime.engine.arun(flow, runtime.stores.async_io(site))


def _usage(used: object, who: object) -> tuple[Usage, int | None]:
    """Return what was used, and how many tokens that is together where only that was said."""
    if type(used) is int and used >= 0:
        return Usage("", 0, used), used
    usage = used if isinstance(used, Usage) else usage_of(used)
    if usage is None or (usage is not used and not any(usage[1:])):
        raise UnkeyableArgument(
            f"{who!r}.settle: expected tokens, a Usage, or an answer that says what it took"
        )
    return usage, None
