"""Terms of the loss by step, as metrics.csv: in order and whole whenever the process ends."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import WriteError

METRICS = "metrics.csv"
_ROWS = 20  # after which the file is written


class MetricsFile(Logger):
    """Lightning's logger of a run: ``epoch``, ``step`` (from 0) and the terms, columns by name.

    The file is written anew each time (a few hundred kilobytes in the longest runs), so that it never holds half a row,
    and a term that comes later in a run is a column like the others.

    Args:
        first: the step that a resumed run goes on from; rows before it are kept, later ones will come again.
    """

    def __init__(self, folder: Path, first: int = 0) -> None:
        super().__init__()
        self.file = folder / METRICS
        self.rows: list[dict[str, Any]] = rows_before(self.file, first) if first else []
        self.unwritten = 0

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """config.yaml has them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """A row; one of the step that the last row is of takes its place."""
        if self.rows and str(self.rows[-1]["step"]) == str(step):
            self.rows.pop()
        self.rows.append({**metrics, "step": step})
        self.unwritten += 1
        if self.unwritten >= _ROWS:
            self.save()

    def save(self) -> None:
        """Raises WriteError when there is no room."""
        if not self.unwritten:
            return
        names = sorted({name for row in self.rows for name in row})
        with atomic_write(self.file, overwrite=True) as temporary, temporary.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, names)
            writer.writeheader()
            writer.writerows(self.rows)
        self.unwritten = 0

    def finalize(self, status: str) -> None:
        with suppress(
            *([WriteError] if status == "failed" else [])
        ):  # the error that ended the run is told, not this one
            self.save()


def rows_before(file: Path, step: int) -> list[dict[str, Any]]:
    """Rows of a run's metrics before a step; no file, no rows."""
    if not file.is_file():
        return []
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [r for r in rows if (r.get("step") or "").isdigit() and int(r["step"]) < step]
