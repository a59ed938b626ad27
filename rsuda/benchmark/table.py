"""Write the tables of a benchmark's finished runs: Markdown, CSV and a plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rsuda.benchmark.markdown import markdown
from rsuda.benchmark.plan import Plan
from rsuda.benchmark.plot import draw
from rsuda.benchmark.rows import Row, label_free_of, rows_of
from rsuda.core.atomic import atomic_write
from rsuda.core.display import csv_cell
from rsuda.evaluation.label_free import SCORES

_COLUMNS = (
    "pair",
    "row",
    "method",
    "seed",
    "steps",
    "miou",
    "mf1",
    "accuracy",
    "kappa",
    "seconds_per_step",
    "peak_memory_mb",
    "device",
    "precision",
    "threads",
)


def write_table(plan: Plan, out: Path) -> list[Path]:
    """Write table.md, table.csv (one line for each run) and table.png of the finished runs into ``out``."""
    rows = rows_of(plan)
    files = [out / f"table.{kind}" for kind in ("md", "csv", "png")]
    with atomic_write(files[0], overwrite=True) as temporary:
        temporary.write_text(markdown(plan, rows), encoding="utf-8", newline="\n")
    with atomic_write(files[1], overwrite=True) as temporary:
        _write_csv(rows, temporary)
    with atomic_write(files[2], overwrite=True) as temporary:
        draw(plan, rows, temporary)
    return files


def _write_csv(rows: Sequence[Row], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row.iou))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *(f"iou_{name}" for name in names), *SCORES])
        for run in (run for row in rows for run in row.runs):
            values = [csv_cell(run[key]) if isinstance(run[key], str) else run[key] for key in _COLUMNS]
            iou = [run["classes"].get(name, {}).get("iou") for name in names]
            free = label_free_of(run)
            writer.writerow([*values, *iou, *("" if free[score] != free[score] else free[score] for score in SCORES)])
