"""What the demo asks, and what the local server answers when no real model is there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SYSTEM_MESSAGE = (
    "You advise a team that runs LLM features in production. Answer in two or three plain sentences."
)

# A real provider sees the questions only; the answers make the local server worth listening to.
ANSWERS: Mapping[str, str] = MappingProxyType(
    {
        "When is an LLM answer safe to cache?": (
            "When the same request may get the same answer: deterministic settings, no live data in the "
            "prompt, and nobody's private context that another user could be served. "
            "Refuse answers that are empty, filtered or cut off, and give every entry an end."
        ),
        "What belongs in a chat's cache key?": (
            "Everything that shapes the output: model, all messages, tools, response format and sampling "
            "settings. Leave out what only travels along, such as timeouts, trace headers and user labels. "
            "Encode it canonically, so that equal requests meet whatever order their fields came in."
        ),
        "How long should an answer be kept?": (
            "As long as it stays true: days for stable knowledge, minutes for anything drawn from live data. "
            "Start with the shortest time that still gives a useful hit rate, and add a little jitter, "
            "so that entries written together do not expire together."
        ),
        "How do we prevent a cache stampede?": (
            "Let one caller ask the model while the others wait for its answer: one call per key, "
            "first within the process, then across processes with a short lease. "
            "A cancelled or crashed leader must hand over, never fail the ones that wait."
        ),
        "What if Redis goes down?": (
            "The call should succeed without the cache, a fraction of a second later at most. "
            "Give each cache operation a deadline, stop asking after a few failures, try again soon after, "
            "and make the degraded state visible in metrics and traces."
        ),
        "How do we measure what we save?": (
            "Count hits per tier, and for each hit the tokens, the money and the seconds that its answer "
            "cost when it was made. Report a hit as no billable tokens, or dashboards will charge you twice."
        ),
    }
)
QUESTIONS = tuple(ANSWERS)
