"""File lock: one writer per run folder or map. The system releases it when the process ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rsuda.core.errors import ExistsError, write_error
from rsuda.core.machine import host
from rsuda.core.spelling import spell

LOCK = ".lock"
_UNSUPPORTED = {getattr(errno, name) for name in ("ENOLCK", "EOPNOTSUPP", "ENOSYS") if hasattr(errno, name)}
_ATTEMPTS = 20  # to open a lock file that its holder removes at the same time


@contextmanager
def exclusive(file: Path, what: str) -> Iterator[None]:
    """Hold ``file`` as a lock while the block runs. The file names the process and its machine and is removed at the end.

    A killed process leaves the file but not the lock, so nothing needs cleaning up. Forked processes, such as data-loading
    workers, do not hold the lock. A file system without locks lets every process in.

    Args:
        what: the locked thing, as the error names it.

    Raises:
        ExistsError: another process, or another call in this process, holds the lock.
        WriteError: the folder is read-only or full.
    """
    lock = _acquire(file, what)
    try:
        yield
    finally:
        with suppress(OSError):  # before the release, since the next holder may use this name
            file.unlink()
        if lock is not None:
            lock.release()
        if sys.platform == "win32":  # no open file can be removed there, so neither can the lock of the next holder
            with suppress(OSError):
                file.unlink()


def _acquire(file: Path, what: str) -> FileLock | None:
    lock = FileLock(file, timeout=0, thread_local=False, fallback_to_soft=False)
    for _ in range(_ATTEMPTS):
        try:
            lock.acquire()
        except Timeout:
            if file.exists():
                raise _refusal(file, what) from None
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return None
            raise write_error(file, error) or error from None
        else:
            with suppress(OSError):  # a full disk: the lock holds without a name in it
                _write_holder(file)
            return lock
    raise _refusal(file, what)


def _holder() -> str:
    return f"process {os.getpid()} on {host()}"


def _write_holder(file: Path) -> None:
    """Write this process's name from byte 1 on: Windows locks byte 0 against every other handle."""
    with file.open("r+b", buffering=0) as stream:
        stream.seek(1)
        stream.write(_holder().encode())
        stream.truncate()


def _refusal(file: Path, what: str) -> ExistsError:
    holder = ""
    with suppress(OSError), file.open("rb", buffering=0) as stream:
        stream.seek(1)
        holder = (stream.read(200) or b"").decode(errors="replace")
    writer = "this process" if holder == _holder() else holder or "another process"
    return ExistsError(f"{what} is being written by {writer}: wait until it ends, or choose another {spell('out')}")
