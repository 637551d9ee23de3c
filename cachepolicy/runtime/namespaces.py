"""A namespace of the policy, as code that invalidates by tag, by key or as a whole sees it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from cachepolicy.errors import ForeignKey, UnkeyableArgument
from cachepolicy.keys.layout import WHOLE, tag_id, tag_of
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Work, verb

if TYPE_CHECKING:
    from cachepolicy.policy.rules.cache import CacheRule
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.homes import Home
    from cachepolicy.telemetry.savings import Account, Savings


class _Unsaid(Enum):
    """No value was given: None is one."""

    UNSAID = "no value"


_UNSAID: Final = _Unsaid.UNSAID


def namespace(name: str) -> Namespace:
    """Return what can be done about a namespace of kind ``cache``; its policy is looked up with each verb.

    >>> answers = namespace("llm")
    >>> await answers.purge_tag("model", "gpt-4o")
    >>> answers.purge_tag.sync("model", "gpt-4o")  # where nothing is awaited
    """
    return Namespace(name)


class Namespace:
    """A namespace: each verb is awaited, or run in this thread by ``.sync``.

    Nothing that is purged is served again; what is expired may serve as ``stale`` in the policy says. Either
    wins over loads that are under way. A verb costs Redis one command, however many entries it concerns.

    Every verb raises:
        UnknownNamespace: the policy does not declare it.
        PolicyError: it is of another kind than ``cache``.
        StoreError: Redis could not be told. This process serves nothing old all the same, and tells Redis
            when it is back.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def __repr__(self) -> str:
        return f"namespace({self.name!r})"

    @verb
    def purge_tag(self, tag: str, value: object = _UNSAID, /) -> Work[None]:
        """Put an end to all entries with a tag.

        Args:
            tag: the name of an argument that is a tag; without ``value``, one given by ``control(tags=…)``.
            value: of the argument, as it is passed in a call.

        Raises:
            UnkeyableArgument: no tag can be made of it.
        """
        return self._tag(tag, value, purge=True)

    @verb
    def expire_tag(self, tag: str, value: object = _UNSAID, /) -> Work[None]:
        """Put all entries with a tag out of date; arguments and errors as of ``purge_tag``."""
        return self._tag(tag, value, purge=False)

    @verb
    def purge_key(self, key: str, /) -> Work[bool]:
        """Put an end to an entry; tell whether there was one.

        Args:
            key: the whole key in Redis, as ``.key(…)`` of a decorated function returns it.

        Raises:
            ForeignKey: it is none of this namespace's entries.
        """
        return self._key(key, purge=True)

    @verb
    def expire_key(self, key: str, /) -> Work[bool]:
        """Put an entry out of date; arguments and errors as of ``purge_key``."""
        return self._key(key, purge=False)

    @verb
    def purge_all(self) -> Work[None]:
        """Put an end to all entries of the namespace."""
        return self._tags(WHOLE, purge=True)

    @verb
    def expire_all(self) -> Work[None]:
        """Put all entries of the namespace out of date."""
        return self._tags(WHOLE, purge=False)

    def savings(self) -> dict[Account, Savings]:
        """Return what its functions were spared in this process since the policy was loaded.

        By model and tenant; the difference of two readings is what was spared in between.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is of another kind than ``cache``.
        """
        runtime = current.current()
        runtime.cache(self.name, "", repr(self))
        return runtime.books.savings(self.name)

    def _opened(self) -> tuple[Runtime, CacheRule, Home]:
        runtime = current.current()
        rule = runtime.cache(self.name, "", repr(self))
        return runtime, rule, runtime.home(self.name, rule)

    def _tag(self, tag: str, value: object, *, purge: bool) -> Work[None]:
        _, rule, _ = self._opened()
        if value is _UNSAID:
            if tag in rule.tags:
                raise UnkeyableArgument(f"{self!r}: {tag!r} is an argument; say its value too: ({tag!r}, …)")
            return self._tags(tag_id("", tag), purge=purge)
        try:
            of_argument = tag_id(tag, value)
        except UnkeyableArgument as error:
            raise UnkeyableArgument(f"{self!r}: tag {tag!r}: {error}") from None
        return self._tags(of_argument, purge=purge)

    def _tags(self, tag: bytes, *, purge: bool) -> Work[None]:
        from cachepolicy.flow.invalidate import invalidate_tags  # loaded with the first plan
        from cachepolicy.runtime.endpoints import deadline_of

        runtime, rule, home = self._opened()
        deadline = deadline_of(runtime.loaded.policy, rule)
        flow = invalidate_tags(home.site, home.versions, [tag], deadline, purge=purge)
        return Work(runtime, home.site, flow)

    def _key(self, key: str, *, purge: bool) -> Work[bool]:
        from cachepolicy.flow.invalidate import invalidate_key  # loaded with the first plan
        from cachepolicy.runtime.endpoints import deadline_of

        runtime, rule, home = self._opened()
        prefix = home.versions.prefix
        if not key.startswith(prefix) or key == prefix or tag_of(prefix, key) is not None:
            raise ForeignKey(
                f"{self!r}: the key of an entry begins with {prefix!r}; pass what .key() returns"
            )
        deadline = deadline_of(runtime.loaded.policy, rule)
        flow = invalidate_key(
            home.site, runtime.flights, home.local, key, deadline, purge=purge, quota=home.quota
        )
        return Work(runtime, home.site, flow)
