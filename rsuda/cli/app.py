"""The application that the commands join, and its entry point."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rsuda.core.display import printable
from rsuda.core.errors import RsudaError
from rsuda.core.version import __version__

ORDER = (
    "adapt",
    "config",
    "predict",
    "evaluate",
    "report",
    "suggest",
    "export",
    "info",
    "domains",
    "methods",
    "benchmark",
)
AFTERWARDS = {
    "adapt": ": rsuda adapt --out RUN --resume goes on from the last checkpoint, if there was one",
    "predict": ": run the same command again to continue after the last finished strip",
    "benchmark": ": the same command goes on",
}


class Terminated(BaseException):
    """SIGTERM came. Not an Exception, so that nobody takes it for an error of a scene or a run."""


class InOrder(TyperGroup):
    """Commands in the order in which they are used, whatever module joined first."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    cls=InOrder,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Segmentation of aerial and satellite imagery with unsupervised domain adaptation.",
)


def main(words: Sequence[str] | None = None, name: str | None = None) -> None:
    """Entry point. What a user can fix is one sentence on stderr and exit code 2; a bug keeps its traceback. SIGTERM is
    one line and exit code 143.

    Args:
        words: of the command line; those of the process by default.
        name: what the program is called in its help.
    """
    try:
        with _terminable():
            app(words, prog_name=name, standalone_mode=True)
    except RsudaError as error:
        print(f"Error: {printable(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except Terminated:
        command = next((word for word in (sys.argv[1:] if words is None else words) if word in ORDER), "")
        print(f"Terminated{AFTERWARDS.get(command, '')}.", file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the block as an exception would: half-written files are removed, locks let go. A second one, or one that a
    forked process gets, ends it at once. Whoever handles or ignores the signal already keeps it.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    process, came = os.getpid(), False

    def ended(*_: object) -> None:
        nonlocal came
        if came or os.getpid() != process:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        came = True
        raise Terminated

    signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _version(show: bool) -> None:
    if show:
        print(f"rsuda {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def log(quiet: bool = False) -> None:
    """Notes of the package to stderr, unless ``quiet``; details to a run's log file."""
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("rsuda").setLevel(logging.ERROR if quiet else logging.DEBUG)
    for handler in logging.getLogger().handlers:  # the run's log file takes the details too
        handler.setLevel(logging.INFO if sys.stderr.isatty() else logging.DEBUG)
        handler.addFilter(_worth_telling)


def _worth_telling(record: Any) -> bool:
    """Not what rasterio 1.4.0 raises too, nor that pyogrio 0.9 has written as many records as it should."""
    raised = record.name.startswith("rasterio") and "GDAL signalled an error" in record.getMessage()
    return not raised and not (record.name.startswith("pyogrio") and record.levelname == "INFO")
