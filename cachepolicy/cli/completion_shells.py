"""Completion as each shell wants it written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cachepolicy.cli.completion_words import Taken, Typed, Wants

_BASH: Final = r"""
# cachepolicy: completion for bash. To use it: eval "$(cachepolicy completion bash)"
_cachepolicy_names() {
    local at chosen=()
    for ((at = 1; at < COMP_CWORD - 1; at++)); do
        case "${COMP_WORDS[at]}" in
            --policy | --environment) chosen+=("${COMP_WORDS[at]}" "${COMP_WORDS[at + 1]}") ;;
        esac
    done
    "${COMP_WORDS[0]}" completion "$1" "${chosen[@]}" 2>/dev/null
}

_cachepolicy_is() {
    local cur="${COMP_WORDS[COMP_CWORD]}" what
    for what in "$@"; do
        case "$what" in
            file)
                compopt -o filenames 2>/dev/null
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
                ;;
            *)
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY \
                    < <(compgen -W "$(_cachepolicy_names "$what")" -- "$cur")
                ;;
        esac
    done
}

_cachepolicy_of() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_cachepolicy() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD - 1]}"
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _cachepolicy_of "@COMMANDS@ --help --version"
        return
    fi
    case "${COMP_WORDS[1]}" in
@CASES@
    esac
}
complete -F _cachepolicy cachepolicy
"""
_ZSH: Final = """\
#compdef cachepolicy
# cachepolicy: completion for zsh. To use it: source <(cachepolicy completion zsh), after compinit
_cachepolicy_names() {
    local -a chosen found
    local at
    for ((at = 2; at < CURRENT - 1; at++)); do
        case "$words[at]" in
            --policy | --environment) chosen+=("$words[at]" "$words[at+1]") ;;
        esac
    done
    found=(${(f)"$("${_cachepolicy_program:-cachepolicy}" completion "$1" "${chosen[@]}" 2>/dev/null)"})
    compadd -a found
}

_cachepolicy_namespaces() { _cachepolicy_names namespaces }
_cachepolicy_environments() { _cachepolicy_names environments }
_cachepolicy_either() { _cachepolicy_names environments; _files }

_cachepolicy() {
    local -a commands
    if ((CURRENT == 2)); then
        commands=(
@COMMANDS@
        )
        _describe command commands
        return
    fi
    local _cachepolicy_program="$words[1]" command="$words[2]"
    shift words
    ((CURRENT--))
    case "$command" in
@CASES@
    esac
}
compdef _cachepolicy cachepolicy
"""
_FISH: Final = """\
# cachepolicy: completion for fish. To use it: cachepolicy completion fish | source
function __cachepolicy_names
    set -l words (commandline -opc)
    set -l chosen
    for at in (seq 2 (count $words))
        if contains -- $words[$at] --policy --environment; and test $at -lt (count $words)
            set -a chosen $words[$at] $words[(math $at + 1)]
        end
    end
    $words[1] completion $argv[1] $chosen 2>/dev/null
end

complete -c cachepolicy -f
"""


def bash(commands: Sequence[Typed]) -> str:
    """Write it for bash."""
    cases = "\n".join(line for command in commands for line in _bash_case(command))
    names = " ".join(command.name for command in commands)
    return _BASH.lstrip().replace("@COMMANDS@", names).replace("@CASES@", cases)


def _bash_case(command: Typed) -> Iterator[str]:
    options = [taken for taken in command.taken if taken.flags]
    yield f"        {command.name})"
    with_word = [taken for taken in options if taken.takes]
    if with_word:
        yield '            case "$prev" in'
        for taken in with_word:
            yield f"                {' | '.join(taken.flags)}) {_bash_words(taken)}return ;;"
        yield "            esac"
    flags = " ".join(flag for taken in options for flag in taken.flags)
    yield f'            if [[ $cur == -* ]]; then _cachepolicy_of "{flags}"; return; fi'
    for taken in command.taken:
        if not taken.flags and (taken.choices or _guessed(taken)):
            yield f"            {_bash_words(taken).removesuffix('; ')}"
            break
    yield "            ;;"


def _bash_words(taken: Taken) -> str:
    if taken.choices:
        return f'_cachepolicy_of "{" ".join(taken.choices)}"; '
    guessed = _guessed(taken)
    return f"_cachepolicy_is {' '.join(guessed)}; " if guessed else ""


def _guessed(taken: Taken) -> list[str]:
    return [str(each) for each in taken.wants if each is not Wants.NOTHING]


def zsh(commands: Sequence[Typed]) -> str:
    """Write it for zsh."""
    names = "\n".join(f"            {_quoted(f'{each.name}:{each.summary}')}" for each in commands)
    cases = "\n".join(line for command in commands for line in _zsh_case(command))
    return _ZSH.replace("@COMMANDS@", names).replace("@CASES@", cases)


def _zsh_case(command: Typed) -> Iterator[str]:
    yield f"        {command.name})"
    specs = [spec for taken in command.taken for spec in _zsh_specs(taken)]
    yield f"            _arguments {' '.join(specs)}" if specs else "            _files"
    yield "            ;;"


def _zsh_specs(taken: Taken) -> Iterator[str]:
    said = taken.help.replace("[", "(").replace("]", ")").replace(":", "\\:").replace("%%", "%")
    action = f":word:{_zsh_words(taken)}"
    if not taken.flags:
        yield _quoted(f"*{action}")
    for flag in taken.flags:
        yield _quoted(f"{flag}[{said}]{action if taken.takes else ''}")


def _zsh_words(taken: Taken) -> str:
    if taken.choices:
        return f"({' '.join(taken.choices)})"
    guessed = _guessed(taken)
    if not guessed:
        return " "
    return (
        "_files"
        if guessed == ["file"]
        else "_cachepolicy_either"
        if len(guessed) > 1
        else f"_cachepolicy_{guessed[0]}"
    )


def fish(commands: Sequence[Typed]) -> str:
    """Write it for fish."""
    return _FISH + "".join(f"{line}\n" for command in commands for line in _fish_lines(command))


def _fish_lines(command: Typed) -> Iterator[str]:
    yield f"complete -c cachepolicy -n __fish_use_subcommand -a {command.name} -d {_quoted(command.summary)}"
    only = f"complete -c cachepolicy -n '__fish_seen_subcommand_from {command.name}'"
    for taken in command.taken:
        words = _fish_words(taken)
        if not taken.flags:
            if words:
                yield f"{only} {words}"
            continue
        names = " ".join(
            f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in taken.flags
        )
        said = _quoted(taken.help.replace("%%", "%"))
        kind = "-r" if Wants.FILE in taken.wants else "-x"  # of -x fish offers no files
        takes = f" {kind} {words}".rstrip() if taken.takes else ""
        yield f"{only} {names}{takes} -d {said}"


def _fish_words(taken: Taken) -> str:
    if taken.choices:
        return f"-a {_quoted(' '.join(taken.choices))}"
    guessed = _guessed(taken)
    parts = [f"-a '(__cachepolicy_names {each})'" for each in guessed if each != Wants.FILE]
    return " ".join((*parts, *(["-F"] if Wants.FILE in guessed else [])))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SHELLS: Final[Mapping[str, Callable[[Sequence[Typed]], str]]] = MappingProxyType(
    {"bash": bash, "zsh": zsh, "fish": fish}
)
