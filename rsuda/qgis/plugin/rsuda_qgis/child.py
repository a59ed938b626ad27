"""Run the command as a child process: pass its lines on while it runs, and end it with all its children. QGIS is not needed."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

GRACE = 10.0  # seconds in which the command may remove half-written files
_WINDOWS = sys.platform == "win32"


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Attributes:
        code: exit code; None if it was cancelled.
        out: stdout.
        lines: of stderr.
    """

    code: int | None
    out: str
    lines: tuple[str, ...]


def run_command(
    words: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    on_line: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> Finished:
    """Run a command to its end, or until it is cancelled.

    Args:
        words: of the command line.
        environment: all variables of the child.
        folder: working folder.
        on_line: receives each line of stderr, in the calling thread.
        cancelled: is asked several times a second.

    Raises:
        OSError: the command cannot be started.
    """
    options: dict[str, Any] = {"start_new_session": True}
    if _WINDOWS:  # no window of a terminal opens
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined, unused-ignore]
    process = subprocess.Popen(
        list(words),
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        **options,
    )
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    out: list[str] = []
    readers = [
        threading.Thread(target=_read_lines, args=(process.stderr, lines), daemon=True),
        threading.Thread(target=lambda: out.append(process.stdout.read()), daemon=True),  # type: ignore[union-attr]
    ]
    for reader in readers:
        reader.start()
    try:
        texts, stopped = _follow(process, lines, on_line, cancelled)
    except BaseException:
        end(process)
        raise
    code = process.wait()
    for reader, stream in zip(readers, (process.stderr, process.stdout)):
        reader.join(GRACE)
        if not reader.is_alive() and stream is not None:
            stream.close()
    return Finished(None if stopped else code, "".join(out), tuple(texts))


def _follow(
    process: subprocess.Popen[str],
    lines: queue.SimpleQueue[str | None],
    on_line: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> tuple[list[str], bool]:
    """Pass lines on until the command ends; tell whether it was cancelled."""
    texts: list[str] = []
    while True:
        if cancelled():
            end(process)
            return texts, True
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            continue
        if line is None:
            return texts, False
        texts.append(line)
        on_line(line)


def _read_lines(stream: Any, lines: queue.SimpleQueue[str | None]) -> None:
    """Put lines without their ends into a queue, then None. Bars of progress end theirs by a carriage return."""
    for line in stream:
        if line.strip():
            lines.put(line.rstrip())
    lines.put(None)


def end(process: subprocess.Popen[str]) -> None:
    """End a command and its children: by request, and by force where that has no effect in ``GRACE`` seconds."""
    if process.poll() is not None:
        return
    if _WINDOWS:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
        process.wait()
        return
    group = os.getpgid(process.pid)
    _send(group, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    _send(group, signal.SIGKILL)  # children that outlive the command
    process.wait()


def _send(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
