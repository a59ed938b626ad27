"""The application that the commands join, and its entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rsuda import __version__
from rsuda.errors import RsudaError, printable

ORDER = (
    "adapt", "predict", "evaluate", "report", "suggest", "export", "info", "domains", "methods", "benchmark",
)  # fmt: skip


class InOrder(TyperGroup):
    """Commands in the order in which they are used, whatever module joined first."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    cls=InOrder,
    no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Segmentation of aerial and satellite imagery with unsupervised domain adaptation.",
)  # fmt: skip


def main(words: Sequence[str] | None = None, name: str | None = None) -> None:
    """Entry point. What a user can fix is one sentence on stderr and exit code 2; a bug keeps its traceback.

    Args:
        words: of the command line; those of the process by default.
        name: what the program is called in its help.
    """
    try:
        app(words, prog_name=name, standalone_mode=True)
    except RsudaError as error:
        print(f"Error: {printable(error)}", file=sys.stderr)
        raise SystemExit(2) from None


def _version(asked: bool) -> None:
    if asked:
        print(f"rsuda {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def log() -> None:
    """Notes of the package to stderr; details to a run's log file."""
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("rsuda").setLevel(logging.DEBUG)
    for handler in logging.getLogger().handlers:  # the run's log file takes the details too
        handler.setLevel(logging.INFO if sys.stderr.isatty() else logging.DEBUG)
