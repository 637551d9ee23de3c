"""What answers spared that were not made again: tokens, money, time, by model and tenant.

Sums are whole numbers of tokens; money is what they cost at the end, so a million hits add no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from cachepolicy.telemetry.prices import Prices, money
from cachepolicy.telemetry.usage import Usage

OTHER: Final = "other"
"""Stands for all models or tenants beyond those that are told apart."""

MOST_ACCOUNTS: Final = 1000
_MOST_MODELS: Final = 100  # beyond MOST_ACCOUNTS, by the model alone


class Account(NamedTuple):
    """Who was spared something: the model that was not asked, the tenant on whose behalf.

    Attributes:
        model: as the provider named it; empty where nobody did.
        tenant: of the scope; None where the namespace's answers belong to no tenant.
    """

    model: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Savings:
    """What answers from the cache spared.

    Attributes:
        calls: that were answered so.
        input_tokens: that were not sent again.
        output_tokens: that were not made again.
        cost: what these tokens cost by the policy's prices; None where no price is known.
        currency: of the cost; None where there is none.
        seconds: that the function would have taken again.
        unpriced_tokens: those of models without a price: no part of the cost.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    currency: str | None = None
    seconds: float = 0.0
    unpriced_tokens: int = 0


NOTHING: Final = Savings()


class Accounts:
    """Which accounts are told apart; the first ones are, for good: a counter must not change its name."""

    def __init__(self, most: int = MOST_ACCOUNTS) -> None:
        self._most = most
        self._known: set[Account] = set()
        self._models: set[str] = set()

    def admitted(self, account: Account) -> Account:
        """Return the account that counts: itself, else its model's for other tenants, else all others'."""
        if account in self._known:
            return account
        if len(self._known) < self._most:
            self._known.add(account)
            return account
        if account.model in self._models or len(self._models) < _MOST_MODELS:
            self._models.add(account.model)
            return Account(account.model, OTHER)
        return Account(OTHER, OTHER)


class Sums:
    """The sums of one account."""

    __slots__ = ("cache_write", "cached_input", "calls", "input", "output", "seconds")

    def __init__(self) -> None:
        self.calls = self.input = self.output = self.cached_input = self.cache_write = 0
        self.seconds = 0.0

    def add(self, times: int, seconds: float, usage: Usage | None) -> None:
        """Add an answer that was given so many times."""
        self.calls += times
        self.seconds += times * seconds
        if usage is not None:
            self.input += times * usage.input
            self.output += times * usage.output
            self.cached_input += times * usage.cached_input
            self.cache_write += times * usage.cache_write

    def merge(self, other: Sums) -> None:
        """Add all that another has."""
        self.add(1, other.seconds, other.usage(""))
        self.calls += other.calls - 1

    def usage(self, model: str) -> Usage:
        """Return all tokens as those of one answer."""
        return Usage(model, self.input, self.output, self.cached_input, self.cache_write)


class Ledger:
    """The sums of one function or namespace, by account. A lost update under threads is accepted."""

    __slots__ = ("_accounts", "_sums")

    def __init__(self, accounts: Accounts | None = None) -> None:
        self._accounts = Accounts() if accounts is None else accounts
        self._sums: dict[Account, Sums] = {}

    def add(self, times: int, seconds: float, usage: Usage | None, tenant: str | None) -> None:
        """Add an answer that was given so many times.

        Args:
            times: how often.
            seconds: that the function took for it.
            usage: of tokens; None: not known.
            tenant: on whose behalf.
        """
        self._of(Account("" if usage is None else usage.model, tenant)).add(times, seconds, usage)

    def merge(self, other: Ledger) -> None:
        """Add all that another has."""
        for account, sums in other:
            self._of(account).merge(sums)

    def _of(self, account: Account) -> Sums:
        account = self._accounts.admitted(account)
        sums = self._sums.get(account)
        return self._sums.setdefault(account, Sums()) if sums is None else sums

    def __iter__(self) -> Iterator[tuple[Account, Sums]]:
        return iter(list(self._sums.items()))


def total(entries: Iterable[tuple[Account, Sums]], prices: Prices) -> Savings:
    """Add up accounts, at these prices."""
    whole, amount, unpriced, is_priced = Sums(), 0, 0, False
    for account, sums in entries:
        whole.merge(sums)
        usage = sums.usage(account.model)
        price = prices.of(account.model)
        if price is None:
            unpriced += usage.input + usage.output
        else:
            is_priced = True
            amount += price.of(usage)
    return Savings(
        calls=whole.calls,
        input_tokens=whole.input,
        output_tokens=whole.output,
        cost=money(amount) if is_priced else None,
        currency=prices.currency if is_priced else None,
        seconds=whole.seconds,
        unpriced_tokens=unpriced,
    )


def by_account(ledger: Ledger, prices: Prices) -> dict[Account, Savings]:
    """Return what each account was spared, at these prices."""
    return {account: total([(account, sums)], prices) for account, sums in ledger}
