"""``cachepolicy explain``: the policy in effect, each value with its place, and what calls do under it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace

from cachepolicy.cli.arguments import chosen_policy, policy_arguments
from cachepolicy.cli.asking import call_arguments, who_asks
from cachepolicy.cli.explain_calls import layers
from cachepolicy.cli.explain_commands import steady
from cachepolicy.cli.explain_differ import difference
from cachepolicy.cli.explain_kinds import namespace_layer
from cachepolicy.cli.explain_live import asked
from cachepolicy.cli.explain_parts import Difference, Explanation, Layer
from cachepolicy.cli.explain_show import as_json, as_text
from cachepolicy.cli.rehearsal import Rehearsal, rehearsal
from cachepolicy.cli.targets import Arguments, Target, arguments_of, find, is_function, passed
from cachepolicy.decorators.binding import Binding
from cachepolicy.errors import CachePolicyError
from cachepolicy.policy import LoadedPolicy, namespace
from cachepolicy.runtime import current


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.against and not options.call:
        parser.error("--against needs --call")
    if options.call and not is_function(options.target):
        parser.error("--call is of a function: expected module:function")
    told = _of_function(options) if is_function(options.target) else _of_namespace(options)
    if options.live:
        told = replace(told, layers=asked(told.layers, options))
    print(as_json(told) if options.json else as_text(told), end="")
    return 0


def _of_namespace(options: Namespace) -> Explanation:
    loaded = chosen_policy(options)
    namespace(loaded.policy, options.target)
    name = options.target
    found = _twice(loaded, lambda rehearsed: [namespace_layer(name, loaded, rehearsed)])
    return Explanation(f"namespace {name}", loaded.source, loaded.environment, found)


def _of_function(options: Namespace) -> Explanation:
    call = None if options.call is None else arguments_of(options.call)
    against = None if options.against is None else arguments_of(options.against)
    target = find(options.target)
    loaded = in_effect(options)
    with who_asks(options):
        found = _twice(loaded, lambda rehearsed: layers(target, call, loaded, rehearsed))
        apart = None
        if call is not None and against is not None:
            with rehearsal(loaded):
                apart = _apart(target, call, against, reveal=options.reveal)
    return Explanation(target.name, loaded.source, loaded.environment, found, apart)


def _twice(loaded: LoadedPolicy, explain: Callable[[Rehearsal], list[Layer]]) -> list[Layer]:
    """Explain in two rehearsals, so that what chance chooses is known, and told as such."""
    found: list[list[Layer]] = []
    for _ in range(2):
        with rehearsal(loaded) as rehearsed:
            found.append(explain(rehearsed))
    return list(map(steady, *found))


def _apart(target: Target, call: Arguments, against: Arguments, *, reveal: bool) -> Difference:
    for behind in target.layers:
        if isinstance(behind, Binding):
            return difference(behind, passed(target, call), passed(target, against), reveal=reveal)
    raise CachePolicyError(f"{target.name}: --against: it is not cached, so its calls have no keys")


def in_effect(options: Namespace) -> LoadedPolicy:
    """Return the policy that is named, or the one that the program itself has configured, or the default."""
    if options.policy is not None or options.environment is not None:
        return chosen_policy(options)
    return current.current().loaded


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="cachepolicy explain",
        description="Tell the policy in effect, each value with its file and line, and what calls do under "
        "it: their keys, the commands that they make (of a rehearsal: neither Redis nor the function is "
        "asked), and what stays when memory is full.",
        epilog="Exit code: 0 told, 1 there is no such thing, or the policy is wrong, 2 the command line is.",
    )
    parser.add_argument("target", metavar="NAMESPACE|module:function", help="what is to be explained")
    call_arguments(parser)
    parser.add_argument("--against", metavar="CALL", help="another: why do their keys differ?")
    parser.add_argument("--live", action="store_true", help="ask the servers what they evict, too")
    parser.add_argument("--reveal", action="store_true", help="show what differs, and not only its hash")
    policy_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    return parser
