"""What functions were spared under one policy, namespace by namespace, and at which prices."""

from __future__ import annotations

import weakref
from typing import Final

from cachepolicy.flow.accounting import ledger
from cachepolicy.flow.plan import Accounting, Plan
from cachepolicy.keys.signature import place_of
from cachepolicy.policy import Policy
from cachepolicy.runtime.decoration import Decoration
from cachepolicy.telemetry import metrics
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.prices import Price, Prices
from cachepolicy.telemetry.saved import Terms
from cachepolicy.telemetry.savings import Account, Accounts, Ledger, Savings, by_account
from cachepolicy.tiers.local import Table

_ACCOUNTS: Final[dict[str, Accounts]] = {}  # by namespace, for the process: metrics outlive a policy


class Books:
    """What was spared under one policy.

    Args:
        policy: says the prices.
    """

    def __init__(self, policy: Policy) -> None:
        prices = {
            model: Price(
                price.input,
                price.output,
                price.input if price.cached_input is None else price.cached_input,
                price.input if price.cache_write is None else price.cache_write,
            )
            for model, price in policy.prices.items()
        }
        self.terms: Final = Terms(Prices(policy.currency or "", prices), policy.telemetry.tenants)
        self._plans: weakref.WeakSet[Plan] = weakref.WeakSet()
        self._gone: dict[str, Ledger] = {}

    def inherit(self, before: Books) -> None:
        """Tell on what others told of."""
        self._plans, self._gone = before._plans, before._gone

    def accounting(self, decoration: Decoration) -> Accounting:
        """Say how a function's answers are accounted."""
        traits = decoration.traits
        return Accounting(
            usage=traits.usage,
            model_at=place_of(decoration.function, "model"),
            model=decoration.reader.model,
            prices=self.terms.prices,
            accounts=accounts_of(decoration.namespace),
            after_origin=traits.after_origin,
        )

    def open(self, plan: Plan, *, exported: bool) -> None:
        """Count a function in, in metrics too where it is ``exported``; its sums are kept when it is gone."""
        self._plans.add(plan)
        gone = self._gone.setdefault(plan.namespace, Ledger(plan.accounting.accounts))
        weakref.finalize(plan, _close, gone, plan.counters, plan.table).atexit = False
        if exported:
            accounts = plan.accounting.accounts
            metrics.export(plan.namespace, plan.counters, plan.table, plan, self.terms, accounts)

    def savings(self, namespace: str) -> dict[Account, Savings]:
        """Return what a namespace's functions were spared in this process, by account."""
        book = Ledger(accounts_of(namespace))
        book.merge(self._gone.get(namespace, Ledger()))
        for plan in list(self._plans):
            if plan.namespace == namespace:
                book.merge(ledger(plan))
        return by_account(book, self.terms.prices)


def accounts_of(namespace: str) -> Accounts:
    """Return which accounts of a namespace are told apart in this process."""
    return _ACCOUNTS.setdefault(namespace, Accounts())


def _close(gone: Ledger, counters: Counters, table: Table) -> None:
    gone.merge(counters.saved)
    table.add_savings(gone)
