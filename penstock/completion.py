"""Completion for the shells, made from the table of options."""

from __future__ import annotations

from collections.abc import Callable

from penstock.options import Option, table
from penstock.words import COMMANDS

SHELLS = ("bash", "zsh", "fish")
FILE_TYPES = ("path", "log")


def _options() -> list[Option]:
    return [option for option in table().values() if option.on_command_line]


def _is_file(option: Option) -> bool:
    return option.type in FILE_TYPES or option.items == "path"


def _names(option: Option) -> list[str]:
    """Return how an option is spelled, aliases included."""
    short = [f"-{option.short}"] if option.short else []
    return [*short, f"--{option.name}", *(f"--{alias}" for alias in option.aliases)]


def bash() -> str:
    """Return a script for bash."""
    cases = []
    for option in _options():
        pattern = "|".join(_names(option))
        if option.choices and option.takes_value:
            words = " ".join(option.choices)
            cases.append(f'    {pattern}) COMPREPLY=($(compgen -W "{words}" -- "$cur")); return ;;')
        elif _is_file(option):
            cases.append(f'    {pattern}) COMPREPLY=($(compgen -f -- "$cur")); return ;;')
        elif option.takes_value:
            cases.append(f"    {pattern}) return ;;")
    words = " ".join(f"--{option.name}" for option in _options())
    return "\n".join(
        [
            "_penstock() {",
            '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"',
            "  COMPREPLY=()",
            '  case "$prev" in',
            *cases,
            f'    completion) COMPREPLY=($(compgen -W "{" ".join(SHELLS)}" -- "$cur")); return ;;',
            "  esac",
            '  case "$cur" in',
            f'    -*) COMPREPLY=($(compgen -W "{words}" -- "$cur")) ;;',
            f'    *) COMPREPLY=($(compgen -W "{" ".join(COMMANDS)}" -f -- "$cur")) ;;',
            "  esac",
            "}",
            "complete -o filenames -F _penstock penstock",
        ]
    )


def _zsh_text(text: str) -> str:
    """Return text as it stands in a specification of _arguments."""
    for char in "\\[]:":
        text = text.replace(char, "\\" + char)
    return text.replace("'", "'\\''")


def _zsh_option(option: Option) -> list[str]:
    value = ""
    if option.takes_value:
        action = f"({' '.join(option.choices)})" if option.choices else " "
        value = (
            f":{_zsh_text(option.metavar or 'value')}:{'_files' if _is_file(option) else action}"
        )
    many = "*" if option.repeat else ""
    return [f"    '{many}{name}[{_zsh_text(option.summary)}]{value}'" for name in _names(option)]


def zsh() -> str:
    """Return a script for zsh."""
    specs = [line for option in _options() for line in _zsh_option(option)]
    first = f"    '1:command or module:({' '.join(COMMANDS)})'"
    return "\n".join(
        [
            "#compdef penstock",
            "_penstock() {",
            "  _arguments -s \\",
            *(f"{spec} \\" for spec in [*specs, first]),
            "    '*:argument:_files'",
            "}",
            "compdef _penstock penstock",
        ]
    )


def _fish_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _fish_option(option: Option) -> str:
    parts = ["complete -c penstock"]
    if option.short:
        parts.append(f"-s {option.short}")
    parts += [f"-l {name}" for name in (option.name, *option.aliases)]
    if option.takes_value:
        parts.append("-r" if _is_file(option) else "-x")
    if option.choices:
        parts.append(f"-a '{' '.join(option.choices)}'")
    return " ".join([*parts, f"-d '{_fish_text(option.summary)}'"])


def fish() -> str:
    """Return a script for fish."""
    first = "complete -c penstock -n __fish_use_subcommand"
    commands = [
        f"{first} -a {name} -d '{_fish_text(command.summary)}'"
        for name, command in COMMANDS.items()
    ]
    return "\n".join([*commands, *map(_fish_option, _options())])


SCRIPTS: dict[str, Callable[[], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
