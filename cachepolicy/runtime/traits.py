"""What is special about the calls of one kind of function, as far as the engine asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cachepolicy.flow.failure import Failure, any_failure
from cachepolicy.runtime.reading import Reader, Told, as_given

if TYPE_CHECKING:  # loaded with the first policy
    from cachepolicy.flow.collation import Collation
    from cachepolicy.flow.plan import AfterOrigin
    from cachepolicy.policy.rules.cache import Admit
    from cachepolicy.telemetry.names import Reason
    from cachepolicy.telemetry.usage import Usage


MakeCollation = Callable[[object, bool, str], "Collation"]


@dataclass(frozen=True, slots=True)
class Traits:
    """One kind of function. What is not said is as for any function.

    Attributes:
        kind: the key segment before the digest: ``cache``, ``llm_cache``.
        usage: takes a result and the model that its call names; returns what the result took of a model.
        usage_of_stream: the same of a stream that came to its end, by its chunks.
        after_origin: hears of each call of the function itself.
        reader: makes what reads the calls of a function; raises DecorationError.
        failures: says what an error comes from: may an old answer stand in for it, is it an answer itself?
        judge: makes, of what the policy admits, what says why a result is not kept; None: every one is.
        judge_stream: the same of a stream, by its chunks.
        collation: says how the results of a function over many items are put together; takes its return
            annotation, whether it takes one item and no sequence of them, and its name.
    """

    kind: str = "cache"
    usage: Callable[[object, str], Usage | None] | None = None
    usage_of_stream: Callable[[Any, str], Usage | None] | None = None
    after_origin: AfterOrigin | None = None
    reader: Callable[[Told], Reader] = as_given
    failures: Callable[[BaseException], Failure] = any_failure
    judge: Callable[[Admit], Callable[[object], Reason | None]] | None = None
    judge_stream: Callable[[Admit], Callable[[Any], Reason | None]] | None = None
    collation: MakeCollation | None = None


PLAIN: Final = Traits()
"""Of any function."""
