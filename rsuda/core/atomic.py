"""Write files whole or not at all: under a temporary name beside the final one, then by a rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rsuda.core.errors import ExistsError, MissingError, WriteError, exists, write_error
from rsuda.core.machine import flush
from rsuda.core.spelling import spell

_STEM = 40  # characters of a file's name in the name of its temporary folder


@contextmanager
def atomic_write(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``. It is renamed to ``path`` when the block succeeds, and removed when it fails.

    The data is flushed before the rename, so a crash or power cut never leaves a partial file.

    Raises:
        ExistsError: before anything is written, when ``path`` exists and ``overwrite`` is False.
        WriteError: the disk is full, or the folder is read-only.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise exists(path)
    make_folder(path.parent)
    try:
        folder = tempfile.mkdtemp(prefix=f".{path.stem[:_STEM]}-", dir=path.parent)
        try:
            temporary = Path(folder) / path.name
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
        finally:
            _remove(folder)
        with suppress(OSError):  # the name itself; some file systems cannot
            flush(path.parent)
    except OSError as error:
        is_output = error.filename is None or str(error.filename).startswith(
            str(path.parent)
        )  # not a file that was read
        if is_output and (failure := write_error(path, error)):
            raise failure from error
        raise


def _remove(folder: str) -> None:
    """Remove a folder completely, even if SIGTERM or Ctrl-C (which are exceptions in this process) interrupts it."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary folders of ``atomic_write`` in a folder: of killed processes, or of one that writes now."""
    return [
        temporary
        for temporary in folder.glob(".*-????????")
        if temporary.is_dir()
        and all(Path(name).stem[:_STEM] in (temporary.name[1:-9], "staging") for name in os.listdir(temporary))
    ]


def check_writable(path: Path) -> None:
    """Raise WriteError if a file cannot be written in a folder, or in the folder that it would be made in.

    Long work calls it before it begins.
    """
    parent = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".rsuda-", dir=parent))
    except OSError as error:
        raise WriteError(f"cannot write in {parent} ({error.strerror}): choose another {spell('out')}") from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents.

    Raises ExistsError where one of them is a file, MissingError where the system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ExistsError(
            f"{path} cannot be a folder, since it or a parent is a file: choose another {spell('out')}"
        ) from None
    except OSError as error:
        raise MissingError(
            f"the folder {path} cannot be made ({error.strerror}): choose another {spell('out')}"
        ) from None
