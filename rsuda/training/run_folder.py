"""Open a run folder for training: one writer, no remains of an earlier run, and a log file."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rsuda.core.atomic import leftovers, make_folder
from rsuda.core.errors import ExistsError, MissingError, RsudaError, write_error
from rsuda.core.locks import LOCK, exclusive
from rsuda.core.settings import CONFIG
from rsuda.core.spelling import spell
from rsuda.runs.folders import BEFORE, BEFORE_WEIGHTS, CHECKPOINT, CURVE, PREVIEW, SPEC, WEIGHTS
from rsuda.training.loggers import TRACKERS
from rsuda.training.metrics_csv import METRICS
from rsuda.training.provenance import ABOUT

LOG = "log.txt"
# the configuration comes first: without it, nobody resumes a run whose removal was interrupted
_FILES = (
    CONFIG, WEIGHTS, SPEC, CHECKPOINT, CURVE, METRICS, ABOUT, "hparams.yaml", LOG, "label_free.json", PREVIEW, BEFORE,
    BEFORE_WEIGHTS,
)  # fmt: skip

logger = logging.getLogger("rsuda")


class RunFolder:
    """Folder of a run that this process writes. As a context manager it holds the folder's lock.

    A folder that exists is locked when the block begins, before minutes are spent on reading data. A new folder is made
    and locked by ``open``, after everything that can be wrong with the input.

    Args:
        path: the folder.
        overwrite: replace a run in it.
        resume: continue a run in it.

    Raises:
        ExistsError: the folder holds another run, or another process is writing it.
        MissingError: ``resume``, and the run is finished without a checkpoint.
    """

    def __init__(self, path: Path, *, overwrite: bool, resume: bool) -> None:
        self.path, self.overwrite, self.resume = path, overwrite, resume
        self._locks, self._locked = ExitStack(), False

    def __enter__(self) -> Self:
        self._check()
        if self.path.is_dir():
            self._lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._locks.__exit__(kind, error, trace)

    def open(self) -> list[str]:
        """Make the folder, and remove the results of a run that is replaced. Return notes for the user.

        Afterwards ``resume`` is True only where there is a checkpoint.
        """
        if not self._locked:
            make_folder(self.path)
            self._lock()
            self._check()  # another process may have made the folder since the block began
        for leftover in leftovers(self.path):
            shutil.rmtree(leftover, ignore_errors=True)
        notes = []
        if self.resume and not (self.path / CHECKPOINT).is_file():
            self.resume = False
            notes.append(f"{self.path} was stopped before its first checkpoint, so it starts from step 0")
        if not self.resume:
            with explained_writes(self.path):
                self._remove_results()
        return notes

    def _lock(self) -> None:
        self._locks.enter_context(exclusive(self.path / LOCK, f"the run {self.path}"))
        self._locked = True

    def _check(self) -> None:
        """Refuse a folder that holds another run, or a run that cannot be resumed."""
        path = self.path
        if self.resume:
            if not (path / CHECKPOINT).is_file() and (path / WEIGHTS).is_file():
                raise MissingError(
                    f"{path} is finished but holds no {CHECKPOINT}, so it cannot be resumed: "
                    f"{spell('overwrite', True)} trains it again"
                )
            return
        if any(parent.is_file() for parent in (path, *path.parents)):
            raise ExistsError(
                f"{path} cannot be a folder, since it or a parent is a file: choose another {spell('out')}"
            )
        if path.is_dir() and not self.overwrite and {*path.iterdir()} - {path / LOCK, *leftovers(path)}:
            raise ExistsError(
                f"{path} exists: pass {spell('resume', True)} to continue it, {spell('overwrite', True)} to replace it, or "
                f"another {spell('out')}"
            )

    def _remove_results(self) -> None:
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        for tracker in TRACKERS:
            shutil.rmtree(self.path / tracker, ignore_errors=True)
        for scores in self.path.glob("scores_*"):
            scores.unlink()


@contextmanager
def explained_writes(folder: Path) -> Iterator[None]:
    """Raise a failure to write into ``folder`` as a WriteError."""
    try:
        yield
    except OSError as error:
        raise write_error(folder, error) or error from error


@contextmanager
def run_log(folder: Path) -> Iterator[None]:
    """Write the package's messages to the folder's log.txt while the block runs, and the error that ends it."""
    with explained_writes(folder):
        log = _LogFile(folder / LOG)
    logger.addHandler(log)
    if logger.level == logging.NOTSET:  # called from Python: the file gets the same lines as from the command line
        logger.setLevel(logging.DEBUG)
    try:
        yield
    except RsudaError as error:
        logger.debug("broken off: %s", error)
        raise
    finally:
        logger.removeHandler(log)
        log.close()


class _LogFile(logging.FileHandler):
    """Handler of a run's log.txt. It ignores a full disk, which ends the run with an error of its own."""

    def __init__(self, file: Path) -> None:
        if file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n"):  # cut by a power failure
            with file.open("a", encoding="utf-8") as stream:
                stream.write("\n")
        super().__init__(file, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self.setLevel(logging.DEBUG)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()
