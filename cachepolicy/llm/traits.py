"""What the cache is told of calls of language models: the parts of this room, together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachepolicy.llm.admission import judge, judge_stream
from cachepolicy.llm.failures import classify
from cachepolicy.llm.requests import RequestReader, never_drawn
from cachepolicy.llm.usage import usage_of, usage_of_stream
from cachepolicy.runtime.traits import Traits

if TYPE_CHECKING:
    from cachepolicy.codec.vectors import Precision
    from cachepolicy.flow.collation import Collation

LLM: Final = Traits(
    kind="llm_cache",
    usage=usage_of,
    usage_of_stream=usage_of_stream,
    reader=RequestReader,
    failures=classify,
    judge=judge,
    judge_stream=judge_stream,
)
"""Of a function that answers with what a model said."""


def embedding(precision: Precision) -> Traits:
    """Return the traits of a function that embeds texts, whose vectors are kept with a precision."""

    def collation(annotation: object, one: bool, name: str) -> Collation:  # noqa: FBT001 - as the traits say
        from cachepolicy.llm.embeddings import collation_of  # loaded with the first plan

        return collation_of(annotation, one, name, precision)

    return Traits(kind="embedding", reader=never_drawn, failures=classify, collation=collation)
