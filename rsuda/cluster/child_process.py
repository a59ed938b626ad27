"""A function in a process of its own, which ends when whoever asked for it does.

multiprocessing cannot do this everywhere: a Dask worker is one of its daemons, which may have no children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError, RsudaError

# Modules are found where this process finds them, whatever lies in the folder that the new one works in.
_START = "import sys; sys.path[:] = sys.argv[3:]; from rsuda.cluster.child_process import answer; answer(*map(int, sys.argv[1:3]))"
_END = 10.0  # seconds from an answer to its process's end
_LOOK = 0.5  # seconds between looks at whether the answer is still wanted


class UnwantedError(Exception):
    """Nobody waits for the answer any more, so its process was ended."""


def ask(asked: bytes, folder: str, threads: int, wanted: Callable[[], bool]) -> Any:
    """Call a function in a new process with its arguments and the number of threads, and wait for what it returns.

    Args:
        asked: the function and its arguments but the last, pickled as a tuple. They are not unpickled here.
        folder: the new process's working folder, so that relative paths mean what they do there; where there is no such
            folder, it works in this one's.
        threads: CPU threads of numpy and torch from their start on, and the function's last argument.
        wanted: asked twice a second; once it is False, the process is killed.

    Raises:
        RsudaError: of the function's.
        InputError: the process was killed.
        RuntimeError: anything else that was wrong, with the traceback.
        UnwantedError: see ``wanted``.
    """
    ours, theirs = Pipe()
    paths = [os.path.abspath(p) for p in sys.path]
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), str(threads), *paths],
                pass_fds=[theirs.fileno()], cwd=folder if Path(folder).is_dir() else None,
                env={**os.environ, **numbers}, start_new_session=True,
            )  # fmt: skip
        try:
            found = _answered(process, ours, asked, wanted)
        finally:
            with suppress(ProcessLookupError, PermissionError):  # and those that read patches for it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if isinstance(found, RsudaError):
        raise found
    if isinstance(found, str):
        raise RuntimeError(found)
    return found[0]


def _answered(process: Any, ours: Connection, asked: bytes, wanted: Callable[[], bool]) -> Any:
    with suppress(BrokenPipeError, ConnectionError):
        ours.send_bytes(asked)
    try:
        while not ours.poll(_LOOK):
            if not wanted():
                raise UnwantedError
            if process.poll() is not None and not ours.poll():
                break
        else:
            found = ours.recv()
            with suppress(subprocess.TimeoutExpired):  # to put away what it has open
                process.wait(_END)
            return found
    except (EOFError, ConnectionError):
        pass
    return InputError("its process was killed (out of memory?); run again, finished runs are kept")


def answer(pipe: int, threads: int) -> None:
    """In the new process: do what is asked. The answer is (value,), an RsudaError, or the traceback of a bug."""
    ours = Connection(pipe)
    found: Any
    try:
        # unpickled, as multiprocessing does, from nowhere but the pipe of the process that started this one
        function, *given = ours.recv()
        threading.Thread(target=_end_with, args=(ours,), daemon=True).start()
        found = (function(*given, threads),)
    except RsudaError as error:
        found = type(error)(str(error))  # its causes, which are GDAL's, do not travel
    except BaseException:
        found = traceback.format_exc()
    ours.send(found)


def _end_with(asker: Connection) -> None:
    """End this process when the other end of the pipe is gone, however that ended."""
    with suppress(EOFError, OSError):
        asker.recv_bytes()
    os._exit(1)
