"""``python -m cachepolicy dictionary train NAMESPACE``: a compression dictionary made of stored values."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cachepolicy.cli.arguments import checked, chosen_policy, policy_arguments
from cachepolicy.cli.dictionary_samples import Shares, measure, payloads
from cachepolicy.clock import SYSTEM
from cachepolicy.codec import dictionary
from cachepolicy.errors import CachePolicyError
from cachepolicy.policy import LoadedPolicy, namespace
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.units import format_size, parse_size
from cachepolicy.runtime.compose import Runtime
from cachepolicy.runtime.dictionaries import files

FEWEST: Final = 100
"""Fewer values than these tell too little of those to come."""
_SIZES: Final = range(1024, 112 * 1024 + 1)
_HELD_OUT: Final = 5  # one in so many is measured, and not trained on


def main(argv: Sequence[str]) -> int:
    """Run the command; ``argv`` begins with ``train``."""
    options = _parse(argv)
    runtime = Runtime(chosen_policy(options), SYSTEM)
    try:
        train(runtime, options)
    finally:
        runtime.close()
    return 0


def train(runtime: Runtime, options: Namespace) -> None:
    """Sample, train, measure on what was not trained on, write the file, and say what to do with it.

    Raises:
        CachePolicyError: there is too little to train on, or the file cannot be written.
    """
    name: str = options.namespace
    rule = _cache(runtime.loaded, name)
    samples = payloads(runtime, name, rule, options.samples)
    if len(samples) < FEWEST:
        raise CachePolicyError(
            f"namespace {name} has {len(samples)} values of {dictionary.SHORTEST} bytes to "
            f"{format_size(dictionary.TOO_LONG)} in Redis; a dictionary needs at least {FEWEST}"
        )
    held_out = samples[::_HELD_OUT]
    learnt = [payload for number, payload in enumerate(samples) if number % _HELD_OUT]
    try:
        raw = dictionary.train(learnt, options.size)
        made = dictionary.load(raw, rule.compression.level)
    except ValueError as wrong:
        raise CachePolicyError(f"namespace {name}: {wrong}") from None
    output: Path = options.output or Path(f"{name}-{made.id.hex()}.dict")
    _write(output, raw)
    shares = measure(held_out, rule, made)
    print(_report(name, made.id, output, len(raw), (len(learnt), len(held_out)), shares))
    print(_lines(runtime.loaded, name, output))


def _cache(loaded: LoadedPolicy, name: str) -> CacheRule:
    rule = namespace(loaded.policy, name)
    if not isinstance(rule, CacheRule):
        raise CachePolicyError(f"namespace {name} is of kind {rule.kind}: only those of kind cache compress")
    return rule


def _write(output: Path, raw: bytes) -> None:
    """Write the file, for its owner's eyes only: it holds pieces of values."""
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(raw)
    except FileExistsError:
        raise CachePolicyError(
            f"{output} exists: values may have been compressed with it, so it is not replaced"
        ) from None
    except OSError as wrong:
        raise CachePolicyError(f"{output} cannot be written: {wrong.strerror}") from None


def _report(
    name: str, identity: bytes, output: Path, size: int, counts: tuple[int, int], shares: Shares
) -> str:
    learnt, held_out = counts
    verdict = "" if shares.with_it < shares.without else "\nIt saves nothing here: leave it out."
    return (
        f"{output}: {format_size(size)}, id {identity.hex()}, trained on {learnt:,} values of {name}\n"
        f"On {held_out:,} others, of {shares.mean:,.0f} bytes on average, compression leaves\n"
        f"  {shares.without:.0%} without a dictionary\n"
        f"  {shares.with_it:.0%} with this one{verdict}\n"
        f"The file holds pieces of stored values: keep it as confidential as they are.\n"
    )


def _lines(loaded: LoadedPolicy, name: str, output: Path) -> str:
    """Write what the policy needs: the new one first, and those it has, to read what they have written."""
    folder = Path(loaded.source).absolute().parent
    paths = [output, *(file for _, file, _ in files(loaded, name))]
    listed = ", ".join(_quoted(os.path.relpath(path.absolute(), folder)) for path in paths)
    return (
        f"Where every process can read it, add to {loaded.source}:\n\n"
        f"namespaces:\n  {name}:\n    compression:\n      dictionary: [{listed}]"
    )


def _quoted(path: str) -> str:
    """Write a path as YAML's plain or quoted text."""
    plain = all(character.isalnum() or character in "._/-" for character in path) and path[:1].isalpha()
    return path if plain else "'" + path.replace("'", "''") + "'"


def _parse(argv: Sequence[str]) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(prog="cachepolicy dictionary", description="Compression dictionaries.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    trains = commands.add_parser(
        "train",
        help="make one of the values that a namespace has in Redis",
        description="Train a zstd dictionary on values of a namespace, measure it on others, and write it to "
        "a file. It holds pieces of those values.",
    )
    trains.add_argument("namespace", metavar="NAMESPACE", help="of kind cache")
    policy_arguments(trains)
    trains.add_argument("--output", type=Path, metavar="PATH", help="default: NAMESPACE-ID.dict, here")
    trains.add_argument(
        "--samples",
        type=checked(_samples),
        default=2000,
        metavar="N",
        help="values read, at most (%(default)s)",
    )
    trains.add_argument(
        "--size", type=checked(_size), default=16 * 1024, metavar="SIZE", help="of the dictionary (16KiB)"
    )
    return parser.parse_args(argv)


def _size(text: str) -> int:
    size = parse_size(text)
    if size not in _SIZES:
        raise ValueError("expected a size from 1KiB to 112KiB")
    return size


def _samples(text: str) -> int:
    if not text.isdecimal() or not FEWEST <= int(text) <= 100_000:
        raise ValueError(f"expected a number from {FEWEST} to 100000")
    return int(text)
