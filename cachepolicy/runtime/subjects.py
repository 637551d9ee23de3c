"""Who is counted: nobody is ever counted together with all others that are not known."""

from __future__ import annotations

from cachepolicy.errors import UnkeyableArgument


def subject_of(subject: object) -> object:
    """Return a subject as it is keyed.

    Raises:
        UnkeyableArgument: it is not known who that is: None, or an empty or blank text, or one of several is.
    """
    kind = type(subject)
    if kind is str:
        if not subject or subject.isspace():  # type: ignore[attr-defined] # a str it is
            raise UnkeyableArgument(_UNKNOWN)
        return subject
    if kind is int:
        return subject
    if isinstance(subject, tuple | list):
        if not subject:
            raise UnkeyableArgument(_UNKNOWN)
        return tuple([subject_of(each) for each in subject])
    if subject is None or (isinstance(subject, str | bytes) and not subject.strip()):
        raise UnkeyableArgument(_UNKNOWN)
    return subject


_UNKNOWN = "who is counted is not known: it is None or empty, and unknown callers never share a limit"
