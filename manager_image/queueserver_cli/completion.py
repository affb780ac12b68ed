"""Completion of `qserver` commands in a shell: a script made from the table of commands, which starts no Python."""

from __future__ import annotations

from dataclasses import dataclass, field

from queueserver_cli.arguments import Argument, Choice, Destination, File, Flags, NamedWords, Source
from queueserver_cli.grammar import COMMANDS, Command

SHELLS = ("bash", "zsh")

_ZSH_HEAD = """\
#compdef qserver
autoload -U +X bashcompinit && bashcompinit
"""

_SCRIPT = """\
# Completion of qserver for bash and zsh. Load it with: source <(qserver --completion bash)
_qserver() {
    local current="${COMP_WORDS[COMP_CWORD]}" word said="" skip="" words="" files=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [ -n "$skip" ]; then skip=""; continue; fi
        case "$word" in
            -a|--zmq-control-addr|--address|--zmq-encoding|-k|--lock-key|--completion) skip=yes ;;
            -*) ;;
            *) said="${said:+$said }$word" ;;
        esac
    done
    COMPREPLY=()
    if [ -n "$skip" ]; then return; fi
    case "$said" in
@CASES@
    esac
    case "$current" in
        -*) words="@OPTIONS@" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [ -n "$files" ]; then COMPREPLY+=($(compgen -f -- "$current")); fi
}
complete -F _qserver qserver
"""

_OPTIONS = "-h -a --zmq-control-addr --zmq-encoding -k --lock-key --completion"


@dataclass
class _Next:
    """What may follow some words: fixed words, and the name of a file."""

    words: list[str] = field(default_factory=list)
    files: bool = False

    def add(self, *words: str) -> None:
        self.words += [word for word in words if word not in self.words]


def script(shell: str) -> str:
    """The script for one of `SHELLS`."""
    exact: dict[str, _Next] = {}
    after: dict[str, _Next] = {}
    for command in COMMANDS:
        _add(command, exact, after)
    cases = [f'        "{said}") {_assignments(found)} ;;' for said, found in exact.items()]
    for said, found in sorted(after.items(), key=lambda entry: -len(entry[0])):
        cases.append(f'        "{said} "*) {_assignments(found)} ;;')
    head = _ZSH_HEAD if shell == "zsh" else ""
    return head + _SCRIPT.replace("@CASES@", "\n".join(cases)).replace("@OPTIONS@", _OPTIONS)


def _add(command: Command, exact: dict[str, _Next], after: dict[str, _Next]) -> None:
    words = command.words.split()
    for count, word in enumerate(words):
        exact.setdefault(" ".join(words[:count]), _Next()).add(word)
    here = exact.setdefault(command.words, _Next())
    first = True
    for argument in command.arguments:
        if first:
            here.add(*_first_words(argument))
            here.files = here.files or isinstance(argument, File)
        if not first or isinstance(argument, Flags | NamedWords):
            after.setdefault(command.words, _Next()).add(*_first_words(argument))
        if isinstance(argument, Choice):
            for choice in argument.choices:
                start, _, rest = choice.partition(" ")
                if rest:
                    exact.setdefault(f"{command.words} {start}", _Next()).add(rest)
        first = first and argument.usage.startswith("[")


def _first_words(argument: Argument) -> list[str]:
    if isinstance(argument, Choice):
        return list(dict.fromkeys(choice.split()[0] for choice in argument.choices))
    if isinstance(argument, Flags):
        return list(argument.flags)
    if isinstance(argument, NamedWords):
        return list(argument.names)
    if isinstance(argument, Source):
        return ["front", "back"]
    if isinstance(argument, Destination):
        return ["front", "back", "before", "after"]
    return ["queue-stop"] if argument.usage == "INSTRUCTION" else []


def _assignments(found: _Next) -> str:
    files = "; files=yes" if found.files else ""
    return f'words="{" ".join(found.words)}"{files}'
