"""What a plan knows of streams, from a decorator and the rule of its namespace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cachepolicy.clock import Clock
from cachepolicy.codec import pace as pacing
from cachepolicy.codec import recording
from cachepolicy.codec.pace import Pace
from cachepolicy.codec.serialize import ABSENT, Form, Serializer, fingerprint_of
from cachepolicy.codec.streamed import Split, Streamed, kind_of
from cachepolicy.flow.plan import Plan
from cachepolicy.flow.streaming import Streaming, opener, straight
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime import terms
from cachepolicy.runtime.decoration import Decoration


def own_plan(plan: Plan, serializer: Serializer, decoration: Decoration, rule: CacheRule) -> Plan:
    """Return the plan of a function's calls, where none of them says whether it is answered in parts."""
    kind = _kind(decoration)
    return _streaming(plan, kind, serializer, decoration, rule) if isinstance(kind, Streamed) else plan


def other_plan(plan: Plan, decoration: Decoration, rule: CacheRule) -> Plan | None:
    """Return the plan of those calls that are answered in parts, where others are answered whole."""
    kind = _kind(decoration)
    if not isinstance(kind, Split):
        return None
    chunks = terms.serializer_of(decoration, kind.streamed.chunk)
    return _streaming(plan, kind.streamed, chunks, decoration, rule)


def _kind(decoration: Decoration) -> Streamed | Split | None:
    """Say which kind of stream a decorated function returns; None: none."""
    try:
        annotation = terms.returned(decoration.function)
    except (NameError, TypeError, AttributeError):  # told where the serializer is chosen
        annotation = ABSENT
    return kind_of(decoration.function, annotation, is_async=decoration.is_async)


def _streaming(
    plan: Plan, kind: Streamed, chunks: Serializer, decoration: Decoration, rule: CacheRule
) -> Plan:
    """Return the plan of a function that answers in parts.

    Args:
        plan: of a function that answers whole.
        kind: of its streams.
        chunks: how one chunk is written.
        decoration: what the decorator was told.
        rule: of the namespace.
    """
    streaming = Streaming(
        kind,
        chunks,
        opener(plan.function, kind),
        straight(plan.function, kind),
    )
    pace = Pace(None if rule.replay.pace == "recorded" else rule.replay.pace, rule.replay.longest)
    load = _replay(kind, chunks, pace, plan.clock)
    colour = "async " if kind.is_async else ""
    serializer = Serializer(
        fingerprint_of(f"{colour}stream {chunks.schema.hex()}"), chunks.dump, {Form.STREAM: load}
    )
    codec = replace(plan.codec, serializer=terms.readable(serializer, plan.admission.errors))
    judge = decoration.traits.judge_stream
    admission = replace(plan.admission, judge=None if judge is None else judge(rule.admit))
    accounting = replace(plan.accounting, usage=decoration.traits.usage_of_stream)
    return replace(
        plan,
        codec=codec,
        admission=admission,
        accounting=accounting,
        streaming=streaming,
        share=False,  # an iterator is of use to one caller
    )


def _replay(kind: Streamed, chunks: Serializer, pace: Pace, clock: Clock) -> Callable[[bytes], Any]:
    """Return what makes a stream of a recording."""
    play: Callable[..., Any] = pacing.play_async if kind.is_async else pacing.play
    slowly: Callable[..., Any] = pacing.play_slowly_async if kind.is_async else pacing.play_slowly
    sleep = clock.sleep_async if kind.is_async else clock.sleep

    def load(payload: bytes) -> Any:
        found = recording.unpack(chunks, payload)
        pauses = pace.pauses(found)
        played = play(found.chunks) if pauses is None else slowly(found.chunks, pauses, sleep)
        return kind.present(played, None)

    return load
