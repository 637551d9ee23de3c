"""What commands read their arguments with."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import Final, TypeVar

from cachepolicy.policy import LoadedPolicy, default_source, load

T = TypeVar("T")


_WHICH: Final = "which of its environments (default: $CACHEPOLICY_ENV)"


def policy_arguments(parser: ArgumentParser, *, file: bool = False, environment: str = _WHICH) -> None:
    """Let a command say which policy it means: ``--policy FILE`` and ``--environment NAME``.

    Args:
        parser: the command's.
        file: whether the file may also stand alone, without ``--policy``; a command that has another
            positional argument cannot have this one.
        environment: what is said of ``--environment``.
    """
    which = parser.add_mutually_exclusive_group()
    words = "the policy (default: the one that a program started here would use)"
    if file:
        which.add_argument("policy", nargs="?", metavar="FILE", default=SUPPRESS, help=words)
    which.add_argument("--policy", metavar="FILE", help="the same" if file else words)
    parser.add_argument("--environment", metavar="NAME", help=environment)


def chosen_policy(options: Namespace) -> LoadedPolicy:
    """Load the policy that :func:`policy_arguments` has read.

    Raises:
        PolicyError: it is wrong; the message has every problem, with its place.
    """
    return load(options.policy or default_source(), environment=options.environment)


def checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """Have argparse say what was expected, in the words of the ValueError."""

    def told(text: str) -> T:
        try:
            return read(text)
        except ValueError as wrong:
            raise ArgumentTypeError(str(wrong)) from None

    return told
