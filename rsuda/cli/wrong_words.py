"""Say in one sentence what is wrong with a command line, where the parser itself refuses it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import typer

from rsuda.core.errors import InputError, unknown

# typer brings a parser of its own since 0.21 and uses click's before, so the class is found by its child
UsageError: Any = typer.BadParameter.__base__
_KINDS = {"list[str]": "TEXT", "str": "TEXT", "path": "PATH", "int": "N", "float": "NUMBER"}


@contextmanager
def one_sentence(command: str, options: Sequence[Any], context: Any) -> Iterator[None]:
    """Raise InputError, with the right word, for what the parser of a command refuses in the block.

    Args:
        command: its name; empty for the program itself.
        options: its parameters, as typer makes them.
        context: of the parser.
    """
    try:
        yield
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the page of help
            raise
        raise InputError(_sentence(error, f"rsuda {command}".strip(), options, context)) from None


def with_kind(option: Any, context: Any) -> str:
    """Spell an option's flags and what it takes, such as '-o, --out PATH'; typer itself writes the types of Python."""
    name = re.sub(r"<(.*?)>", lambda match: _KINDS.get(match[1], match[1].upper()), option.get_help_record(context)[0])
    return re.sub(r"((?:FLOAT|INTEGER),)+\w+(?:\.\.\.)?", f"{option.nargs} NUMBERS", name)


def unknown_command(name: str, commands: Collection[str], rest: Sequence[str] = ()) -> InputError:
    """Build the error for an unknown command, which may be a file; ``rest`` are the words behind it."""
    if name.lower() in ("help", "version"):
        of = next((word for word in rest if word in commands), None)
        flag = "--version" if name.lower() == "version" else "--help"
        return InputError(f"rsuda has no command '{name}': use rsuda {f'{of} ' if of else ''}{flag}")
    if os.path.exists(name):
        return InputError(
            f"{name} is a file or folder, and a command comes first: write rsuda info {name}, or rsuda --help"
        )
    return unknown("command of rsuda", name, commands)


def check_values(words: Sequence[str], options: Sequence[Any], context: Any) -> None:
    """Raise InputError where an option stands in the place of another's value: the parser would take it as that value."""
    flags = {flag: option for option in options for flag in (*option.opts, *option.secondary_opts)}
    for before, word in pairwise(words):
        if before == "--":
            return
        option = flags.get(before)
        if option is not None and _takes_value(option) and word.partition("=")[0] in flags:
            raise InputError(f"{before} needs a value before {word}: {_with_value(option, context)}")


def _sentence(error: Any, program: str, options: Sequence[Any], context: Any) -> str:
    flags = {flag: option for option in options for flag in (*option.opts, *option.secondary_opts)}
    name = getattr(error, "option_name", None)
    if name is not None and hasattr(error, "possibilities"):
        return _unknown_option(name, program, flags)
    option = flags.get(name, getattr(error, "param", None))
    if hasattr(error, "param_type") and option is not None:
        return f"{program} needs {_needed(option)}"
    if name is not None and option is not None:
        if not _takes_value(option):
            return f"{name} takes no value: write {name} alone, or leave it out"
        return f"{name} needs {'a value' if option.nargs == 1 else f'{option.nargs} values'}: {_with_value(option, context)}"
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _unknown_option(name: str, program: str, flags: Collection[str]) -> str:
    near = get_close_matches(name, [flag for flag in flags if flag.startswith("--")], n=1, cutoff=0.6)
    positive = f"--{name.removeprefix('--no-')}"
    if not near and positive in flags:
        near = [positive]
    if program == "rsuda" and not near:
        return f"rsuda has no option {name}: options stand after a command, as in rsuda predict SCENE.tif {name}"
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{program} has no option {name}: {hint}{program} --help lists all"


def _takes_value(option: Any) -> bool:
    return option.param_type_name == "option" and not getattr(option, "is_flag", False)


def _with_value(option: Any, context: Any) -> str:
    """Spell how to write an option: what it takes, or the names of several values that its help begins with."""
    names = (option.help or "").split()[: option.nargs]
    if option.nargs > 1 and all(name.isupper() for name in names):
        return f"write {max(option.opts, key=len)} {' '.join(names)}"
    return f"write {with_kind(option, context).rpartition(', ')[2]}, or leave it out"


def _needed(option: Any) -> str:
    """Name a missing argument or option, and what it is."""
    text = (option.help or "").strip().rstrip(".")
    name = max(option.opts, key=len) if option.param_type_name == "option" else str(option.name).upper()
    return f"{name}: {text[:1].lower() + text[1:]}" if text else name
