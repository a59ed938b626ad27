"""Write the loss terms by step as metrics.csv: in order, and whole whenever the process ends."""

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
_ROWS = 20  # new rows after which the file is written


class MetricsFile(Logger):
    """Lightning logger of a run: ``epoch``, ``step`` (from 0) and the terms, columns by name.

    Each time the whole file is written (a few hundred kilobytes in the longest runs), so it never contains half a row.
    A term that appears later in a run becomes a column as well.

    Args:
        folder: the run folder.
        first: the step that a resumed run continues from. Rows before it stay; later ones are logged again.
    """

    def __init__(self, folder: Path, first: int = 0) -> None:
        super().__init__()
        self.file = folder / METRICS
        self.rows: list[dict[str, Any]] = rows_before(self.file, first) if first else []
        self.rows_to_write = 0

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml has the settings."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row; it replaces the last row where that has the same step."""
        if self.rows and str(self.rows[-1]["step"]) == str(step):
            self.rows.pop()
        self.rows.append({**metrics, "step": step})
        self.rows_to_write += 1
        if self.rows_to_write >= _ROWS:
            self.save()

    def save(self) -> None:
        """Write the file. Raises WriteError for a full disk."""
        if not self.rows_to_write:
            return
        names = sorted({name for row in self.rows for name in row})
        with (
            atomic_write(self.file, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(self.rows)
        self.rows_to_write = 0

    def finalize(self, status: str) -> None:
        errors = [WriteError] if status == "failed" else []  # the error that ended the run is reported instead
        with suppress(*errors):
            self.save()


def rows_before(file: Path, step: int) -> list[dict[str, Any]]:
    """Read the rows of a run's metrics before a step; no file gives no rows."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if (row.get("step") or "").isdigit() and int(row["step"]) < step]
