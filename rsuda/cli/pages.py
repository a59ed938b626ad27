"""Lay out the pages of --help, and understand words that other programs use for the same."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from rsuda.cli.habits import check_words, command_of_today, words_of_today
from rsuda.cli.numbers import read_numbers
from rsuda.cli.options import MAIN
from rsuda.cli.wrong_words import check_values, one_sentence, unknown_command, with_kind
from rsuda.core.errors import InputError

ORDER = (
    "sample-tiles",
    "init",
    "gap",
    "adapt",
    "config",
    "predict",
    "polygonize",
    "evaluate",
    "calibrate",
    "report",
    "sample",
    "assess",
    "change",
    "suggest",
    "export",
    "card",
    "push",
    "serve",
    "qgis",
    "info",
    "domains",
    "methods",
    "benchmark",
)
LAST = ("Machine", "Several devices or machines", "Cluster")  # groups of options
_COLUMN = 30  # widest first column


class Stopped(BaseException):
    """End a command on Ctrl-C. Of a KeyboardInterrupt typer would make 'Aborted' and exit code 1.

    Args:
        command: its name.
        sentence: how the work goes on, where it is known.
    """

    def __init__(self, command: str, sentence: str) -> None:
        super().__init__(sentence)
        self.command, self.sentence = command, sentence


class Page(TyperCommand):
    """A command whose help groups its options, and which reads flags of other programs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        flags = {flag for option in self.params for flag in (*option.opts, *option.secondary_opts)}
        words = words_of_today(args, flags)
        check_words(str(self.name), words, flags)
        check_values(words, self.params, ctx)
        read_numbers(self.callback, self.params)
        ctx.allow_extra_args = True  # they get a sentence of their own
        with one_sentence(str(self.name), self.params, ctx):
            surplus: list[str] = super().parse_args(ctx, words)
        if surplus and not ctx.resilient_parsing:
            raise InputError(self._surplus(surplus[0]))
        return surplus

    def _surplus(self, word: str) -> str:
        """Say which arguments the command takes, for one more than these."""
        arguments = [_placeholder(param) for param in self.params if param.param_type_name == "argument"]
        takes = " ".join(arguments) or "no argument"
        options = [
            param for param in self.params if param.param_type_name == "option" and not getattr(param, "is_flag", False)
        ]
        names = [max(option.opts, key=len) for option in options]
        first = "--out" if "--out" in names else names[0] if names else ""
        advice = f"options have names, such as {first}" if first else "leave it out"
        return f"rsuda {self.name} takes {takes}, and '{word}' is one more: {advice}"

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(str(self.name), str(error)) from None

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        self.help = (self.help or "").replace("``", "")  # docstrings mark commands, which a terminal does not show
        super().format_help_text(ctx, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        return ["[OPTIONS]", *map(_placeholder, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None:
                argument = option.param_type_name == "argument"
                group = "Arguments" if argument else getattr(option, "rich_help_panel", None) or MAIN
                name = _placeholder(option) if argument else with_kind(option, ctx)
                groups.setdefault(group, []).append((name, record[1]))
        for group in sorted(groups, key=lambda group: LAST.index(group) if group in LAST else -1):
            _write(formatter, group, groups[group], [name for rows in groups.values() for name, _ in rows])


class Pages(TyperGroup):
    """All commands, in the order of their use, each with a whole sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        with one_sentence("", self.params, ctx):
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, *rest = args
        if name not in self.commands and not ctx.resilient_parsing:  # not while the shell completes a word
            command_of_today(name, self.commands)
            raise unknown_command(name, self.commands, rest)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, _first_sentence(self.commands[name])) for name in self.list_commands(ctx)]
        _write(formatter, "Commands", rows, [name for name, _ in rows])


class Application(typer.Typer):
    """An application whose commands have pages."""

    def command(self, name: str | None = None, **options: Any) -> Any:
        return super().command(name, **{"cls": Page, **options})


def _write(formatter: Any, heading: str, rows: list[tuple[str, str]], names: list[str]) -> None:
    """Write rows under a heading; the first column is as wide as that of all ``names``."""
    width = min(_COLUMN, max(map(len, names)))
    with formatter.section(heading):
        formatter.write_dl([(name.ljust(width), text) for name, text in rows], col_max=_COLUMN)


def _placeholder(argument: Any) -> str:
    """Name an argument in the usage: in capitals, in brackets where it may be missing."""
    if argument.metavar:
        return str(argument.metavar)
    name = str(argument.name).upper() + "..." * (argument.nargs == -1)
    return name if argument.required else f"[{name}]"


def _first_sentence(command: Any) -> str:
    paragraph = " ".join((command.help or "").partition("\n\n")[0].split()).replace("``", "")
    return re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0]
