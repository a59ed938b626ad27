"""Files that are written whole or not at all: a temporary name beside the final one, then a rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rsuda.core.errors import ExistsError, MissingError, unwritten

_SHOWN = 40  # characters of a file's name in the name of the folder that it is made in


@contextmanager
def atomic_write(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path`` that is renamed onto it when the block ends well, and removed otherwise.

    The bytes are on the disk before the name is, so that neither a killed process nor a power cut leaves part of a file.

    Raises:
        ExistsError: before anything is written, when ``path`` exists and ``overwrite`` is False.
        WriteError: no space is left, or the folder may not be written to.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ExistsError(f"{path} exists: pass --overwrite to replace it, or choose another --out")
    make_folder(path.parent)
    try:
        folder = tempfile.mkdtemp(prefix=f".{path.stem[:_SHOWN]}-", dir=path.parent)
        try:
            temporary = Path(folder) / path.name
            yield temporary
            _settle(temporary)
            os.replace(temporary, path)
        finally:
            _remove(folder)
        with suppress(OSError):  # the name itself; not every file system can
            _settle(path.parent)
    except OSError as error:
        ours = error.filename is None or str(error.filename).startswith(str(path.parent))  # not a file that was read
        if ours and (told := unwritten(path, error)):
            raise told from error
        raise


def _remove(folder: str) -> None:
    """Also when SIGTERM or Ctrl-C, which are exceptions here, come in the midst of it."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _settle(path: Path) -> None:
    """Wait until a file, or a folder's names, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def leftovers(folder: Path) -> list[Path]:
    """What ``whole_file`` left in a folder when its process was killed; or is at work on, if somebody else is there."""
    return [
        left
        for left in folder.glob(".*-????????")
        if left.is_dir() and all(Path(f).stem[:_SHOWN] in (left.name[1:-9], "staging") for f in os.listdir(left))
    ]


def make_folder(path: Path) -> None:
    """A folder with those above it. Raises ExistsError where one of them is a file, MissingError where none may be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ExistsError(f"{path} is to be a folder, but it or one above it is a file: choose another --out") from None
    except OSError as error:
        raise MissingError(f"the folder {path} cannot be made ({error.strerror}): choose another --out") from None
