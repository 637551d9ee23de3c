"""What differs between two policies, by meaning, and what each difference does to a running process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cachepolicy.policy.effective import LoadedPolicy
from cachepolicy.policy.effects import EFFECTS, REMOVED, line_of
from cachepolicy.policy.judges import INSIDE, LIVE, Compared, Effect, Verdict
from cachepolicy.policy.rules.base import Rule
from cachepolicy.policy.tree import BUILT_IN, Provenance, join
from cachepolicy.policy.written import SECRET, written

__all__ = ["ANOTHER_SECRET", "EFFECTS", "Change", "Effect", "diff"]

ANOTHER_SECRET: Final = "(another secret)"  # noqa: S105 - the words that stand for one


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs.

    ``before`` and ``after`` are written as a policy would; ``~`` is a setting, or a named thing, that is not
    there. Where they hold different secrets, they say so and show none. ``why`` says what follows from the
    change, where something does. ``place`` is where the new value stands (of what is gone: the old one did).
    """

    path: str
    before: str
    after: str
    effect: Effect
    why: str
    place: Provenance


def diff(before: LoadedPolicy, after: LoadedPolicy) -> tuple[Change, ...]:
    """Compare two policies, setting by setting, defaults included.

    Args:
        before: what a running process has.
        after: what it would have.

    Returns:
        All that differs, in the order of the rules; empty when they mean the same, however they are written.
    """
    return tuple(_Walk(before, after).rules("", before.policy, after.policy))


@dataclass(frozen=True, slots=True)
class _Walk:
    """Goes through two policies side by side."""

    before: LoadedPolicy
    after: LoadedPolicy

    def rules(self, path: str, old: Rule, new: Rule) -> Iterator[Change]:
        """Compare two rules of one class, field by field."""
        for name in type(new).model_fields:
            was, is_ = getattr(old, name), getattr(new, name)
            if was != is_:
                yield from self.field(join(path, name), (type(new), name), was, is_)

    def field(self, path: str, field: tuple[type[Rule], str], old: object, new: object) -> Iterator[Change]:
        """Tell of a field that differs: of what is in it, where it is a rule or rules by name."""
        line = line_of(*field)
        if line is INSIDE and isinstance(old, Rule) and isinstance(new, Rule):
            yield from self.rules(path, old, new)
        elif line is INSIDE and isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from self.named(path, field, old, new)
        elif isinstance(line, Verdict):
            yield self.change(path, field, old, new, line)
        elif callable(line):
            yield self.change(
                path, field, old, new, line(Compared(old, new, self.before.policy, self.after.policy))
            )
        else:  # a rule that is there on one side only
            yield self.change(path, field, old, new, LIVE)

    def named(
        self, path: str, field: tuple[type[Rule], str], old: Mapping[str, Rule], new: Mapping[str, Rule]
    ) -> Iterator[Change]:
        """Compare rules by name."""
        for name in dict.fromkeys((*old, *new)):
            was, is_ = old.get(name), new.get(name)
            place = join(path, name)
            if was is None or is_ is None:
                verdict = REMOVED.get(field, LIVE) if is_ is None else LIVE
                yield self.change(place, field, was, is_, verdict)
            elif type(was) is not type(is_):
                kind = join(place, "kind")
                yield from self.field(
                    kind, (type(is_), "kind"), getattr(was, "kind", ""), getattr(is_, "kind", "")
                )
            else:
                yield from self.rules(place, was, is_)

    def change(
        self, path: str, field: tuple[type[Rule], str], old: object, new: object, verdict: Verdict
    ) -> Change:
        """Make the report of one difference."""
        was, is_ = written(*field, old), written(*field, new)
        if was == is_:  # what differs is secret
            is_ = ANOTHER_SECRET if is_ == SECRET else f"{is_} {ANOTHER_SECRET}"
        place = (self.after if new is not None else self.before).provenance.get(path, BUILT_IN)
        return Change(path, was, is_, verdict.effect, verdict.why, place)
