"""``cachepolicy invalidate``: put an end to entries; processes that hold them hear of it."""

from __future__ import annotations

import ast
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any, Final

from cachepolicy.cli.arguments import policy_arguments
from cachepolicy.cli.asking import ask, call_arguments, entries_of, in_use, namespace_of, site_of, who_asks
from cachepolicy.cli.invalidate_count import Counted, count
from cachepolicy.cli.plain import counted, printable
from cachepolicy.cli.targets import arguments_of, find, is_function
from cachepolicy.errors import CachePolicyError
from cachepolicy.keys.layout import WHOLE, tag_id
from cachepolicy.runtime.compose import Runtime
from cachepolicy.runtime.namespaces import namespace
from cachepolicy.tiers import inspecting

_YES: Final = frozenset({"y", "yes"})


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = _parser()
    options = parser.parse_args(argv)
    _check(parser, options)
    if options.target is not None:
        call, target = arguments_of(options.call), find(options.target)
        with in_use(options) as runtime, who_asks(options):
            binding, keys = entries_of(target, call)
            told = _keys(runtime, binding.decoration.namespace, keys, options)
    else:
        with in_use(options) as runtime:
            if options.key is not None:
                told = _keys(runtime, namespace_of(runtime, options.key), [options.key], options)
            else:
                told = _tagged(runtime, options)
    print(json.dumps(told, indent=2, ensure_ascii=True) if options.json else _text(told))
    return 0


def _check(parser: ArgumentParser, options: Namespace) -> None:
    """See that the command line says one thing."""
    ways = [options.target is not None, options.key is not None, options.namespace is not None]
    if sum(ways) != 1:
        parser.error("expected one of module:function --call '…', --key KEY, --namespace NAME")
    if options.target is not None and (options.call is None or not is_function(options.target)):
        parser.error("expected module:function and --call 'f(…)'")
    if options.tag is not None and options.namespace is None:
        parser.error("--tag needs --namespace")


def _keys(runtime: Runtime, name: str, keys: Sequence[str], options: Namespace) -> dict[str, Any]:
    """Put an end to entries by their keys."""
    site, answers = site_of(runtime, name), namespace(name)
    runtime.cache(name, "", f"--key: namespace {name}")
    if options.dry_run:
        lengths = ask(runtime, site, [inspecting.kind(key) for key in keys])
        there = sum(kind not in (inspecting.NOTHING, None) for kind in lengths)
    else:
        end = answers.expire_key if options.expire else answers.purge_key
        there = sum(end.sync(key) for key in keys)
    what = f"the entry of {counted(len(keys), 'key')}"
    return _told(name, what, Counted(there, is_all=True), options)


def _tagged(runtime: Runtime, options: Namespace) -> dict[str, Any]:
    """Put an end to all entries of a namespace, or to those with a tag."""
    name: str = options.namespace
    rule, answers = runtime.cache(name, "", "--namespace"), namespace(name)
    site = site_of(runtime, name)
    words: tuple[Any, ...] = ()
    if options.tag is None:
        what, tag = "all entries", WHOLE
    else:
        words = _tag(options.tag, literal=options.literal)
        what = f"entries with tag {options.tag}"
        tag = tag_id(words[0], words[1]) if len(words) == 2 else tag_id("", words[0])
        if len(words) == 2 and words[0] not in rule.tags:
            near = ", ".join(rule.tags) or "none"
            print(
                printable(f"{words[0]} is no tag of the policy (tags: {near}); a decorator's may be"),
                file=sys.stderr,
            )
    number = None if options.no_count else count(runtime, site, name, tag)
    if not options.dry_run:
        if options.tag is None:
            _confirm(options, number)
            (answers.expire_all if options.expire else answers.purge_all).sync()
        else:
            (answers.expire_tag if options.expire else answers.purge_tag).sync(words[0], *words[1:])
    return _told(name, what, number, options)


def _tag(text: str, *, literal: bool) -> tuple[Any, ...]:
    """Read ``model=gpt-4o``, or a tag that code made up."""
    name, equals, value = text.partition("=")
    if not equals:
        return (text,)
    if not literal:
        return (name, value)
    try:
        return (name, ast.literal_eval(value))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise CachePolicyError("--tag: --literal: expected a literal, such as user=7") from None


def _confirm(options: Namespace, number: Counted | None) -> None:
    """Ask before a whole namespace goes."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise CachePolicyError(
            f"a whole namespace goes: say --yes, or --tag for a part of {options.namespace}"
        )
    some = "all entries" if number is None else f"{number} entries"
    print(f"Invalidate {some} of namespace {options.namespace}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in _YES:
        raise CachePolicyError("nothing was done")


def _told(name: str, what: str, number: Counted | None, options: Namespace) -> dict[str, Any]:
    return {
        "namespace": name,
        "what": what,
        "entries": None if number is None else number.number,
        "all_counted": None if number is None else number.is_all,
        "how": "expired" if options.expire else "purged",
        "done": not options.dry_run,
    }


def _text(told: dict[str, Any]) -> str:
    verb = told["how"] if told["done"] else f"would be {told['how']}"
    some = "" if told["all_counted"] is None else f": {Counted(told['entries'], told['all_counted'])}"
    return printable(f"namespace {told['namespace']}: {told['what']} {verb}{some}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="cachepolicy invalidate",
        description="Put an end to the entry of a call or a key, to all entries with a tag, or to all of a "
        "namespace. All processes hear of it; loads that are under way store nothing.",
        epilog="Exit code: 0 done, 1 it could not be, or you said no, 2 the command line is wrong.",
    )
    parser.add_argument("target", nargs="?", metavar="module:function", help="whose entry, with --call")
    call_arguments(parser)
    parser.add_argument("--key", metavar="KEY", help="the whole key of an entry")
    parser.add_argument("--namespace", metavar="NAME", help="all of its entries, or those with --tag")
    parser.add_argument(
        "--tag", metavar="NAME=VALUE", help="an argument and its value; or a tag that code gave, alone"
    )
    parser.add_argument("--literal", action="store_true", help="the value is Python: user=7 is a number")
    parser.add_argument(
        "--expire",
        action="store_true",
        help="put out of date only: it may serve as `stale` in the policy says",
    )
    parser.add_argument("--dry-run", action="store_true", help="say how many, and do nothing")
    parser.add_argument("--no-count", action="store_true", help="do not walk the namespace to count entries")
    parser.add_argument("--yes", action="store_true", help="do not ask before a whole namespace goes")
    policy_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    return parser
