"""`jax-ssl completion`: a script by which a shell completes the words of a command.

It is made from the argument parser, with the names of the library's pages written out,
so that a shell asks nothing of Python while somebody types. Settings of a config
(`--config.SECTION.KEY=`) are not completed.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence

from jax_ssl import __version__
from jax_ssl.core.own_pages import own_pages

# Names of values that are paths, and of those that may be a page of the library.
PATHS = ("DIR", "FILE", "FILE|RUN", "FILE.png", "PATH", "RUN", "NAMES")
PAGES = ("--config", "what")


@dataclasses.dataclass(frozen=True)
class Argument:
    """What a shell has to know of an argument.

    Attributes:
        name: "--config", or of a positional one its place in the parser, "runs".
        text: what it is.
        takes: whether a value follows, as --name=value or as the next word.
        values: all that the value can be, or what it probably is.
        path: whether it may be a path.
        many: whether it may be given several times.
    """

    name: str
    text: str
    takes: bool
    values: tuple[str, ...]
    path: bool
    many: bool

    @property
    def word(self) -> str:
        """As it is offered: "--config=", "--extend"."""
        return f"{self.name}=" if self.takes else self.name


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: its name, what it does, its options and its positional arguments."""

    name: str
    text: str
    flags: tuple[Argument, ...]
    rest: tuple[Argument, ...]


def completion(options: argparse.Namespace) -> int:
    """Prints the script for the shell that is named."""
    print(script(options.shell, options.parser, list(own_pages())), end="")
    return 0


def script(shell: str, parser: argparse.ArgumentParser, pages: Sequence[str]) -> str:
    """The script for a shell.

    Args:
        shell: "bash", "zsh" or "fish".
        parser: of the program, with commands.
        pages: names that --config takes.
    """
    return SHELLS[shell](read(parser, pages), tuple(pages))


def read(parser: argparse.ArgumentParser, pages: Sequence[str]) -> list[Command]:
    """The commands of a parser."""
    (group,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    texts = {action.dest: action.help or "" for action in group._choices_actions}
    found = []
    for name, inner in group.choices.items():
        arguments = [(a, _argument(a, pages)) for a in inner._actions]
        flags = tuple(one for action, one in arguments if action.option_strings)
        rest = tuple(one for action, one in arguments if not action.option_strings)
        found.append(Command(name, texts.get(name, ""), flags, rest))
    return found


def _argument(action: argparse.Action, pages: Sequence[str]) -> Argument:
    name = action.option_strings[-1] if action.option_strings else action.dest
    values = tuple(map(str, action.choices or (pages if name in PAGES else ())))
    return Argument(
        name=name,
        text=action.help or "",
        takes=action.nargs != 0,
        values=values,
        path=name in PAGES or action.metavar in PATHS,
        many=action.nargs == "+" or isinstance(action, argparse._AppendAction),
    )


def _head(shell: str) -> str:
    return (
        f"{shell} completion of jax-ssl {__version__}, by: jax-ssl completion {shell}"
    )


def _bash(commands: Sequence[Command], pages: tuple[str, ...]) -> str:
    """Of bash 3.2 and later; where "=" breaks words and where it does not."""
    cases, rests, flags = [], [], []
    for command in commands:
        for flag in command.flags:
            if flag.takes:
                words = "$pages" if flag.values == pages else " ".join(flag.values)
                said = f' words="{words}"' if words else ""
                cases.append(f'        "{command.name} {flag.name}"){said} ;;')
        named = " ".join(flag.word for flag in command.flags)
        flags.append(f'                {command.name}) words="{named}" ;;')
        values = {value for one in command.rest for value in one.values}
        if values:
            words = "$pages" if values == set(pages) else " ".join(sorted(values))
            rests.append(f'                {command.name}) words="{words}" ;;')
    names = " ".join(command.name for command in commands)
    lines = [
        f"# {_head('bash')}",
        "_jax_ssl() {",
        '    local current="${COMP_WORDS[COMP_CWORD]}" before="" flag="" start=""',
        '    local command="${COMP_WORDS[1]}" words=""',
        f'    local pages="{" ".join(pages)}"',
        '    [ "$COMP_CWORD" -gt 0 ] && before="${COMP_WORDS[COMP_CWORD-1]}"',
        '    if [ "$current" = "=" ]; then',
        '        flag="$before" current=""',
        '    elif [ "$before" = "=" ]; then',
        '        flag="${COMP_WORDS[COMP_CWORD-2]}"',
        "    else",
        '        case "$current" in',
        '            --*=*) flag="${current%%=*}" start="${current%%=*}=" ;;',
        '            *) flag="$before" ;;',
        "        esac",
        '        current="${current#"$start"}"',
        "    fi",
        "    COMPREPLY=()",
        '    case "$command $flag" in',
        *cases,
        "        *)",
        '            case "$current" in',
        '            -*) case "$command" in',
        *flags,
        "            esac ;;",
        '            *) case "$command" in',
        *rests,
        "            esac ;;",
        "            esac",
        f'            [ "$COMP_CWORD" -eq 1 ] && words="{names} --version --help" ;;',
        "    esac",
        "    local word=\"\" IFS=$' \\t\\n'",
        '    for word in $(compgen -W "$words" -- "$current"); do',
        '        COMPREPLY+=("$start$word")',
        "    done",
        '    case "${COMPREPLY[0]}" in *=) compopt -o nospace 2>/dev/null ;; esac',
        "    return 0",
        "}",
        "# Where there is nothing to offer, files are.",
        "complete -o default -F _jax_ssl jax-ssl",
    ]
    return "\n".join(lines) + "\n"


def _zsh(commands: Sequence[Command], pages: tuple[str, ...]) -> str:
    def quoted(text: str, special: str = "") -> str:
        for each in ("\\", *special):
            text = text.replace(each, f"\\{each}")
        return text.replace("'", "'\\''")

    def value(one: Argument) -> str:
        if one.values == pages:
            return "_jax_ssl_pages"
        if one.values:
            return f"({' '.join(one.values)})"
        return "_files" if one.path else " "

    cases = []
    for command in commands:
        specs = []
        for one in command.flags:
            start = "*" if one.many else ""
            spec = f"{start}{one.word}[{quoted(one.text, '[]:')}]"
            specs.append(spec + (f":value:{value(one)}" if one.takes else ""))
        for one in command.rest:
            specs.append(f"{'*' if one.many else ''}:{one.name}:{value(one)}")
        inner = "".join(f" \\\n                '{spec}'" for spec in specs)
        cases.append(f"        {command.name})\n            _arguments{inner} ;;")
    lines = [
        "#compdef jax-ssl",
        f"# {_head('zsh')}",
        "_jax_ssl_pages() {",
        f"    local -a pages=({' '.join(pages)})",
        "    compadd -a pages",
        "    _files -g '*.py'",
        "}",
        "_jax_ssl() {",
        "    local -a commands=(",
        *(f"        '{each.name}:{quoted(each.text, ':')}'" for each in commands),
        "    )",
        "    if (( CURRENT == 2 )); then",
        "        _describe command commands",
        "        compadd -- --version --help",
        "        return",
        "    fi",
        "    shift words",
        "    (( CURRENT-- ))",
        "    case $words[1] in",
        *cases,
        "    esac",
        "}",
        "# Read by a file in $fpath, or by: source <(jax-ssl completion zsh)",
        'if [ "$funcstack[1]" = "_jax_ssl" ]; then',
        '    _jax_ssl "$@"',
        "else",
        "    compdef _jax_ssl jax-ssl",
        "fi",
    ]
    return "\n".join(lines) + "\n"


def _fish(commands: Sequence[Command], pages: tuple[str, ...]) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def words(values: Sequence[str]) -> str:
        return '"$pages"' if values == pages else quoted(" ".join(values))

    lines = [
        f"# {_head('fish')}",
        f"set -l pages {quoted(' '.join(pages))}",
        "complete -c jax-ssl -e",
        "set -l first 'test (count (commandline -opc)) -eq 1'",
        "complete -c jax-ssl -n $first -f -l version -d 'the version'",
    ]
    for command in commands:
        text = quoted(command.text)
        lines.append(f"complete -c jax-ssl -n $first -f -a {command.name} -d {text}")
        here = f"complete -c jax-ssl -n '__fish_seen_subcommand_from {command.name}'"
        for one in command.flags:
            words_of = f" -a {words(one.values)}" if one.values else ""
            takes = (" -r -F" if one.path else " -x") if one.takes else ""
            name = one.name.removeprefix("--")
            lines.append(f"{here} -l {name}{takes}{words_of} -d {quoted(one.text)}")
        for one in command.rest:
            if one.values:
                lines.append(f"{here} -f -a {words(one.values)}")
    return "\n".join(lines) + "\n"


SHELLS: dict[str, Callable[[Sequence[Command], tuple[str, ...]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
