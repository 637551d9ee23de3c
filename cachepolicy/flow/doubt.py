"""Whether what a flow asked of Redis may have been done, although the flow failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cachepolicy.errors import StoreError
from cachepolicy.flow.effects import Flow

T = TypeVar("T")


def watched(flow: Flow[T], doubt: Callable[[], None]) -> Flow[T]:
    """Run a flow; call ``doubt`` for each command that may have been carried out, and has no reply.

    A flow that tries again tells of its last attempt only, and the one before may be the one that was done.
    """
    try:
        effect = next(flow)
        while True:
            try:
                result = yield effect
            except BaseException as error:  # noqa: BLE001 - handed to the flow, which decides
                _tell(error, doubt)
                effect = flow.throw(error)
            else:
                for one in result if isinstance(result, list) else ():
                    _tell(one, doubt)
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # a flow's StopIteration carries its result


def _tell(outcome: object, doubt: Callable[[], None]) -> None:
    if isinstance(outcome, StoreError) and outcome.sent:
        doubt()
