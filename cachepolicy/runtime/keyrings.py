"""The keys of a policy, made ready when it is taken into use: what is wrong with them is told then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachepolicy.errors import PolicyError, Problem
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules import CacheRule, Encryption, SessionsRule, TempRule
from cachepolicy.policy.tree import problem

if TYPE_CHECKING:
    from cachepolicy.codec.encrypt import Keyring


def keyrings(loaded: LoadedPolicy) -> dict[str, Keyring]:
    """Make the keyring of each namespace whose values are to be encrypted.

    Raises:
        PolicyError: the package that encrypts is not installed, or two keys have the same id.
    """
    asked = {
        name: rule.encryption
        for name, rule in loaded.policy.namespaces.items()
        if isinstance(rule, CacheRule | SessionsRule | TempRule) and rule.encryption.enabled
    }
    problems: list[Problem] = []
    made: dict[str, Keyring] = {}
    for name, rule in asked.items():
        try:
            made[name] = _keyring(rule)
        except ImportError:
            message = "needs the package cryptography: pip install 'cachepolicy[encryption]'"
            problems.append(_problem(loaded, name, message))
        except ValueError as wrong:
            problems.append(_problem(loaded, name, str(wrong)))
    if problems:
        raise PolicyError(problems)
    return made


def _keyring(rule: Encryption) -> Keyring:
    from cachepolicy.codec.encrypt import keyring  # loads OpenSSL, and comes with an extra

    return keyring(rule.key_bytes())


def _problem(loaded: LoadedPolicy, namespace: str, message: str) -> Problem:
    path = f"namespaces.{namespace}.encryption"
    return problem(loaded.provenance[path], path, message)
