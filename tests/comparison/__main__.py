"""``python -m tests.comparison``: put the probes to each, and write docs/llm-comparison.md."""

from __future__ import annotations

import logging
import warnings
from importlib.metadata import version

from tests.comparison import clients, subjects
from tests.comparison.page import PAGE, page
from tests.comparison.probing import behaviour_of, keys_of


def main() -> None:
    """Put the probes to this library and its peers."""
    warnings.simplefilter("ignore")  # peers have theirs
    logging.disable(logging.CRITICAL)
    names = ("cachepolicy", "litellm", "langchain-core")
    keys = [keys_of(make()) for make in (subjects.of_cachepolicy, subjects.of_litellm, subjects.of_langchain)]
    kept = [behaviour_of(make()) for make in (clients.CachePolicy, clients.LiteLLM, clients.LangChain)]
    PAGE.write_text(
        page(
            {name: version(name).partition(".dev")[0] for name in names},
            {row: [each[row] for each in keys] for row in keys[0]},
            {row: [each[row] for each in kept] for row in kept[0]},
        )
    )


if __name__ == "__main__":
    main()
