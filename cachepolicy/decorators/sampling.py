"""Which of several answers a call gets that asks for chance, as the policy says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from cachepolicy.errors import PolicyError
from cachepolicy.flow.control import Control
from cachepolicy.keys.layout import drawn_by

if TYPE_CHECKING:
    from cachepolicy.policy.rules.cache import CacheRule


class Sampling(NamedTuple):
    """What is done with calls that ask for chance.

    Attributes:
        namespace: whose policy says so.
        keeps: whether their answers are kept at all.
        variants: how many of each; None: one, as of any call.
    """

    namespace: str
    keeps: bool
    variants: int | None

    def draw(self, key: str, control: Control, random: Callable[[], float]) -> int:
        """Return which variant a call gets: the one that is asked for, or that a seed or chance draws.

        Raises:
            PolicyError: one is asked for that is not kept.
        """
        count, asked = self.variants or 1, control.variant
        if asked is not None:
            if asked >= count:
                raise PolicyError(
                    f"control(variant={asked}): namespace {self.namespace!r} keeps {count}: 0 to {count - 1}"
                )
            return asked
        return int(random() * count) if control.seed is None else drawn_by(control.seed, key, count)

    @property
    def is_as_for_any(self) -> bool:
        """Whether these calls are answered as any are."""
        return self.keeps and self.variants is None


def sampling_of(namespace: str, rule: CacheRule) -> Sampling:
    """Return what a namespace's policy says."""
    said = rule.sampling.temperature_above_zero
    return Sampling(namespace, said.mode != "bypass", said.variants if said.mode == "variants" else None)
