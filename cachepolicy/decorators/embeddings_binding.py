"""A function under ``@embeddings_cached``: a text may come alone, and results are more than a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from cachepolicy.decorators.bound import Bound
from cachepolicy.decorators.item_keys import ItemKeys
from cachepolicy.decorators.many import Asked, ManyBinding, Values
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.telemetry.names import Reason

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.plan import Plan


class EmbeddingsBinding(ManyBinding):
    """What stands behind one such function."""

    def _items(self, values: Values) -> Sequence[object]:
        given = values[self.at]
        return [given] if _is_one(given) else super()._items(values)

    def _together(self, some: list[Any], asked: Asked) -> object:
        return some[0] if _is_one(asked.values[self.at]) else super()._together(some, asked)

    def _given(self, result: object, asked: Asked) -> object:  # noqa: ARG002 - as it is, whatever was asked
        return result

    def _keys(self, bound: Bound, values: Values, items: Sequence[object]) -> ItemKeys | None:
        collation = bound.plan.collation
        if collation is not None and collation.takes_one and not _is_one(values[self.at]):
            kind = type(values[self.at]).__qualname__
            raise UnkeyableArgument(
                f"{self.decoration.name}(): it returns one vector, so it takes one text, and not a {kind}"
            )
        return super()._keys(bound, values, items)

    def _held(self, plan: Plan, keys: ItemKeys | None) -> object:
        parts: Any = super()._held(plan, keys)
        collation = plan.collation
        if not parts or collation is None or not collation.agree(parts):
            return None
        return collation.collate(parts, ())

    def _respond_many(self, bound: Bound, asked: Asked) -> Flow[Any]:
        collation = bound.plan.collation
        if not asked.items and collation is not None and collation.needs_items:
            return self._past(bound, asked, Reason.ASKED)
        return super()._respond_many(bound, asked)


def _is_one(given: object) -> bool:
    """Tell whether this is one text: as it is, or as its tokens."""
    if type(given) is str:
        return True
    if not isinstance(given, (list, tuple)):
        return False
    first: object = next(iter(cast("list[object]", given)), None)
    return type(first) is int
