"""``cachepolicy schema``: the JSON Schema of policies.yaml, for editors."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from cachepolicy.policy.schema import text


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    ArgumentParser(
        prog="cachepolicy schema",
        description="Print the JSON Schema (draft 2020-12) of policies.yaml. Kept beside a policy as "
        "policies.schema.json, editors find it by the first line of the policy: "
        "# yaml-language-server: $schema=policies.schema.json",
    ).parse_args(argv)
    print(text(), end="")
    return 0
