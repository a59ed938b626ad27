"""Run a module of rsuda as a command in its own process, which ends with the process that started it.

Arguments and files are the input; the exit code, the last line of standard error and files are the output. So the same line
can be run by hand. multiprocessing does not work here: a Dask worker is a daemon process, which cannot have children.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from rsuda.core.display import printable
from rsuda.core.errors import InputError, RsudaError
from rsuda.core.machine import kill_with_children, was_killed
from rsuda.core.spelling import as_flags

ATTACHED = "--attached"  # end when standard input closes, which the system does when the starting process ends
_POLL = 0.5  # seconds between two checks whether the command is still needed
_ERROR = "Error: "
_TAIL = 20_000  # bytes of standard error that a failure reports


class UnwantedError(Exception):
    """The caller no longer needs the command, so its process was killed."""


def run_command(words: Sequence[str], folder: str, threads: int, is_needed: Callable[[], bool]) -> None:
    """Run ``python -m`` with these words, ``--threads`` and ``--attached``, and wait for its end.

    Args:
        words: a module's name and its arguments.
        folder: working folder of the process, so that relative paths are valid in it. If it does not exist, the
            process works in the folder of this one.
        threads: CPU threads of numpy and torch.
        is_needed: called twice a second; once it returns False, the process is killed.

    Raises:
        InputError: the command's own sentence (exit code 2), or the system killed the process.
        RuntimeError: any other exit code, with the end of standard error.
        UnwantedError: see ``is_needed``.
    """
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    # the new process imports from the paths of this one; -P excludes its working folder
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", *words, "--threads", str(threads), ATTACHED],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=folder if Path(folder).is_dir() else None,
            env={**os.environ, **numbers, "PYTHONPATH": paths, "PYTHONUTF8": "1"},
            start_new_session=True,
        )
        try:
            _wait(process, is_needed)
        finally:
            _kill(process)
        _check(process.returncode, errors)


def _wait(process: subprocess.Popen[bytes], is_needed: Callable[[], bool]) -> None:
    while True:
        try:
            process.wait(_POLL)
        except subprocess.TimeoutExpired:
            if not is_needed():
                raise UnwantedError from None
        else:
            return


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with its own children, which load data for it."""
    kill_with_children(process)
    if process.stdin is not None:
        process.stdin.close()


def _check(code: int, errors: IO[bytes]) -> None:
    if code == 0:
        return
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _TAIL))
    text = errors.read().decode(errors="replace")
    if was_killed(code):
        raise InputError("its process was killed (out of memory?): run again, finished runs are not repeated")
    sentences = [line.removeprefix(_ERROR) for line in text.splitlines() if line.startswith(_ERROR)]
    if code == 2 and sentences:
        raise InputError(sentences[-1])
    raise RuntimeError(f"exit code {code}\n{text}")


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every command in a process of its own takes."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--threads", type=int, default=1, help="CPU threads.")
    options.add_argument(ATTACHED, action="store_true", help="End when standard input closes.")
    return options


def exit_code(work: Callable[[], object], attached: bool) -> int:
    """Run a command's work and return its exit code: 0, or 2 after one sentence on standard error. A bug raises.

    Args:
        attached: whether the process ends as soon as its standard input closes.
    """
    if attached:
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        with as_flags():
            work()
    except RsudaError as error:
        print(f"{_ERROR}{printable(error)}", file=sys.stderr, flush=True)
        return 2
    return 0


def _end_with_input() -> None:
    with suppress(OSError):
        while os.read(0, 1):  # not sys.stdin, whose lock would hang the end of the interpreter
            pass
    os._exit(1)
