"""Define the application that the commands join, and its entry point."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from rsuda.cli.pages import ORDER, Application, Pages, Stopped
from rsuda.cli.torch_builds import mixed_builds
from rsuda.core.display import printable
from rsuda.core.errors import RsudaError
from rsuda.core.spelling import as_flags
from rsuda.core.version import __version__

AFTERWARDS = {
    "adapt": ": rsuda adapt --out RUN --resume goes on from the last checkpoint, if there was one",
    "predict": ": run the same command again to continue after the last finished strip",
    "benchmark": ": the same command goes on",
}


class Terminated(BaseException):
    """Interrupt a command on SIGTERM. It is a BaseException, so that no handler takes it for an error of a scene or a run."""


app = Application(
    cls=Pages,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Adapt a segmentation model to new aerial or satellite imagery, without new labels, and map it.",
)


def main(words: Sequence[str] | None = None, name: str | None = None) -> None:
    """Run a command. An error that a user can fix is one sentence on stderr and exit code 2; a bug has its traceback.

    Ctrl-C is one line and exit code 130, SIGTERM one line and exit code 143.

    Args:
        words: of the command line; those of the process by default.
        name: what the program is called in its help.
    """
    if hasattr(sys.stdout, "reconfigure"):  # Windows prints in an encoding that lacks most letters
        sys.stdout.reconfigure(errors="backslashreplace")
    if not {"CPL_LOG", "CPL_DEBUG"} & set(os.environ):  # GDAL's own lines, beside the sentence on an error
        os.environ.update(CPL_LOG=os.devnull, CPL_LOG_APPEND="ON")
    try:
        with _terminable(), as_flags():
            app(words, prog_name=name, standalone_mode=True)
    except RsudaError as error:
        print(f"Error: {printable(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except RuntimeError as error:
        if (sentence := mixed_builds(error)) is None:
            raise
        print(f"Error: {sentence}", file=sys.stderr)
        raise SystemExit(2) from None
    except Stopped as stopped:
        sentence = stopped.sentence or f"interrupted{AFTERWARDS.get(stopped.command, '')}"
        print(f"\n{sentence[0].upper()}{sentence[1:]}.", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except Terminated:
        command = next((word for word in (sys.argv[1:] if words is None else words) if word in ORDER), "")
        print(f"Terminated{AFTERWARDS.get(command, '')}.", file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise Terminated in the block on SIGTERM, so that half-written files are removed and locks are released.

    A second SIGTERM ends the process at once, and so does one in a forked process. A handler that a program has installed
    stays in place.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    process, terminated = os.getpid(), False

    def terminate(*_: object) -> None:
        nonlocal terminated
        if terminated or os.getpid() != process:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        terminated = True
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
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


def log(quiet: bool = False, verbose: bool = False, level: int | None = None) -> None:
    """Print the package's notes to stderr. A run's log file gets the details whatever is printed.

    Args:
        quiet: print errors alone.
        verbose: print the details too.
        level: lowest level that is printed, instead of INFO.
    """
    import logging

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("rsuda").setLevel(logging.ERROR if quiet else logging.DEBUG)
    for handler in logging.getLogger().handlers:  # the run's log file has a level of its own
        handler.setLevel(logging.DEBUG if verbose else level or logging.INFO)
        handler.addFilter(_worth_printing)


def _worth_printing(record: Any) -> bool:
    """Leave out what rasterio logs of GDAL, as its errors are raised too, and the number of records pyogrio 0.9 has written."""
    gdal = record.name.startswith("rasterio") and any(
        text in record.getMessage() for text in ("GDAL signalled", "CPLE_")
    )
    return not gdal and not (record.name.startswith("pyogrio") and record.levelname == "INFO")
