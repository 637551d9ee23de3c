"""What should happen: policies.yaml, read strictly into frozen rules. Reads the file, and does nothing else.

::

    load.py         text → tree with places            (the only file that knows YAML)
    mapping.py      dicts → the same tree
    overlay.py      extends < file < environment       tree → tree
    interpolate.py  ${NAME}, ${file:…}                 tree → tree
    rules/          tree → frozen models, with the units of units.py
    problems.py     what is wrong, told with its place and the nearest valid word
    effective.py    all of it, in order

    written.py      values as the file would write them, without secrets
    diff.py         what differs between two policies, and what it does to a process: effects*.py, judges.py
    lints/          what is valid and probably not meant
    schema.py       the JSON Schema of the file, for editors
"""

from __future__ import annotations

from cachepolicy.policy.effective import (
    LoadedPolicy,
    default_source,
    find,
    load,
    load_each,
    namespace,
    shipped,
)
from cachepolicy.policy.rules import NamespaceRule, Policy
from cachepolicy.policy.tree import Provenance

__all__ = [
    "LoadedPolicy",
    "NamespaceRule",
    "Policy",
    "Provenance",
    "default_source",
    "find",
    "load",
    "load_each",
    "namespace",
    "shipped",
]
