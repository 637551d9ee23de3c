"""What is held while a call runs: tokens that are reserved, a place among those that run at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

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


class _Charge(NamedTuple):
    """A call that was charged: where, to whom, and by what."""

    runtime: Runtime
    claim: Claim
    admission: Admission
    requests: int

    def work(self, flow: Flow[Any]) -> Work[Any]:
        """Have a flow run where it was charged."""
        return Work(self.runtime, self.claim.limiter.site, flow)

    def ended(self, error: BaseException | None) -> Work[None]:
        """End it: what failed is given back as the rule says; what nobody settled stands as estimated."""
        return self.work(self.runtime.limits.flows.end(self.admission, error))


class _Desk(NamedTuple):
    """Where a call is to be charged, and to whom."""

    runtime: Runtime
    claim: Claim

    def admit(self, most_wait: int) -> Flow[Admission]:
        """Charge it."""
        return self.runtime.limits.flows.admit([self.claim], most_wait, reserve=True)


class Reservation:
    """A call that was charged by an estimate.

    Attributes:
        decision: what the rule said.
    """

    def __init__(self, charge: Any) -> None:  # a _Charge: what it is made of is no part of the door
        self._charge: Final[_Charge] = charge
        self.decision: Final[Decision] = self._charge.runtime.limits.flows.told(self._charge.admission)

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
        charge = self._charge
        flow = charge.runtime.limits.flows.settle(charge.admission, charge.requests, usage, total)
        return charge.work(flow)

    @verb
    def refund(self) -> Work[bool]:
        """Give back everything, the request too; tell whether this did it: it is done once."""
        charge = self._charge
        return charge.work(charge.runtime.limits.flows.refund(charge.admission, everything=True))


class Holding:
    """A call that is about to be charged: a block that it runs in, of either colour.

    ``async with`` and ``with`` end it, however the block ends. Without a block, ``await`` it, or call
    ``sync()``, and settle what is returned.

    Entering raises:
        RateLimitExceeded: a limit denies it.
    """

    def __init__(self, begin: Any, requests: int, most_wait: int) -> None:  # begin() gives a _Desk
        self._begin: Callable[[], _Desk] = begin
        self._requests = requests
        self._most_wait = most_wait
        self._held: _Charge | None = None

    def sync(self) -> Reservation:
        """Charge it in this thread."""
        return Reservation(self._charge())

    def __await__(self) -> Generator[Any, Any, Reservation]:
        return self._reserved().__await__()

    def _charge(self) -> _Charge:
        desk = self._begin()
        runtime, claim = desk
        admission = runtime.engine.run(
            desk.admit(self._most_wait), runtime.stores.sync_io(claim.limiter.site)
        )
        return _Charge(runtime, claim, admission, self._requests)

    async def _acharge(self) -> _Charge:
        desk = self._begin()
        runtime, claim = desk
        admission = await runtime.engine.arun(
            desk.admit(self._most_wait), runtime.stores.async_io(claim.limiter.site)
        )
        return _Charge(runtime, claim, admission, self._requests)

    async def _reserved(self) -> Reservation:
        return Reservation(await self._acharge())

    def __enter__(self) -> Reservation:
        self._held = self._charge()
        return Reservation(self._held)

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self._held is not None:
            runtime, site, flow = self._held.ended(error)
            runtime.engine.run(flow, runtime.stores.sync_io(site))

    async def __aenter__(self) -> Reservation:
        self._held = await self._acharge()
        return Reservation(self._held)

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self._held is not None:
            runtime, site, flow = self._held.ended(error)
            await runtime.engine.arun(flow, runtime.stores.async_io(site))


def holding(begin: Callable[[], tuple[Runtime, Claim]], requests: int, most_wait: int) -> Holding:
    """Return the block of a call that is charged where, and to whom, ``begin`` says."""
    return Holding(lambda: _Desk(*begin()), requests, most_wait)


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
