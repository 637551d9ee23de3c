"""``cachepolicy completion``: what a shell needs to complete the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from cachepolicy.cli.arguments import chosen_policy, policy_arguments
from cachepolicy.cli.completion_shells import SHELLS
from cachepolicy.cli.completion_words import Wants, commands
from cachepolicy.errors import PolicyError
from cachepolicy.policy import LoadedPolicy

_NAMES = (str(Wants.NAMESPACE), str(Wants.ENVIRONMENT))


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(argv)
    if options.what in SHELLS:
        print(SHELLS[options.what](commands()), end="")
        return 0
    try:
        loaded = chosen_policy(options)
    except PolicyError:  # somebody is typing, and wants names, not what is wrong: `check` tells that
        return 1
    print("".join(f"{name}\n" for name in _names(options.what, loaded)), end="")
    return 0


def _names(what: str, loaded: LoadedPolicy) -> Sequence[str]:
    return list(loaded.policy.namespaces if what == Wants.NAMESPACE else loaded.environments)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="cachepolicy completion",
        description="Print what a shell needs to complete commands, options, and names of the policy. "
        'bash: eval "$(cachepolicy completion bash)"; zsh: source <(cachepolicy completion zsh); '
        "fish: cachepolicy completion fish | source. With namespaces or environments, print those names.",
    )
    parser.add_argument("what", metavar="SHELL", choices=(*SHELLS, *_NAMES), help="bash, zsh or fish")
    policy_arguments(parser)
    return parser
