"""One process at a time on a run folder or a map: a lock of the system's, which ends with its process however that ends."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rsuda.core.errors import ExistsError, unwritten

try:
    import fcntl
except ImportError:  # Windows has none: there nobody is refused
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_HELD: set[str] = set()  # by this process, whose own second lock the system would grant


@contextmanager
def exclusive(file: Path, what: str) -> Iterator[None]:
    """Hold ``file`` as a lock while the block runs; it names the process and its machine, and is removed at the end.

    A process that is killed leaves the file but not the lock, so there is nothing to clean up. Processes forked from this
    one (those that read patches) do not hold it. A file system without locks refuses nobody.

    Raises:
        ExistsError: another process, or another call in this one, holds it.
        WriteError: the folder may not be written to.
    """
    name = os.path.realpath(file)
    if name in _HELD:
        raise _refusal(what, "this very process")
    _HELD.add(name)
    opened = None
    try:
        opened = _locked(file, what)
        yield
    finally:
        _HELD.discard(name)
        if opened is not None:
            file.unlink(missing_ok=True)  # before it is let go, so that nobody can hold what has no name any more
            os.close(opened)


def _locked(file: Path, what: str) -> int:
    while True:
        try:
            opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritten(file, error) or error from None
        try:
            if fcntl is not None:
                fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(opened), os.stat(file)):
                os.truncate(opened, 0)
                os.write(opened, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return opened
        except FileNotFoundError:
            pass  # who held it has just removed it: make it anew
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                holder = os.read(opened, 200).decode(errors="replace")
                os.close(opened)
                raise _refusal(what, holder or "another process") from None
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOSPC):
                return opened  # no locks here, or no room to say whose
            os.close(opened)
            raise
        os.close(opened)


def _refusal(what: str, holder: str) -> ExistsError:
    return ExistsError(f"{what} is being written by {holder}: wait until that has ended, or choose another --out")
