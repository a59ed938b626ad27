"""Rows of a benchmark's table: the finished runs of one method on one pair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuda.benchmark.job import RESULT
from rsuda.benchmark.plan import Plan
from rsuda.evaluation.label_free import with_selection


@dataclass(frozen=True)
class Row:
    """Runs of one method on one pair, one for each seed. Units are percent, seconds and megabytes."""

    pair: str
    method: str
    runs: tuple[dict[str, Any], ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run["seed"] for run in self.runs)

    @property
    def miou(self) -> np.ndarray:
        return np.array([100 * run["miou"] for run in self.runs])

    @property
    def iou(self) -> dict[str, np.ndarray]:
        classes = self.runs[0]["classes"]
        return {name: np.array([100 * (run["classes"][name]["iou"] or 0.0) for run in self.runs]) for name in classes}

    @property
    def steps(self) -> int:
        return int(self.runs[0]["steps"])

    def mean(self, key: str) -> float:
        """Average a field over the seeds that have it; nan if none has."""
        return float(np.mean([run[key] for run in self.runs if run[key] is not None] or [np.nan]))

    def label_free(self, score: str) -> float:
        return float(np.mean([label_free_of(run)[score] for run in self.runs]))

    def miou_of(self, seeds: Sequence[int]) -> np.ndarray:
        """Return the mIoU (seeds,) of the runs of these seeds, in percent."""
        by_seed = dict(zip(self.seeds, self.miou, strict=True))
        return np.array([by_seed[seed] for seed in seeds])


def label_free_of(run: dict[str, Any]) -> dict[str, float]:
    """Return the label-free scores of a run's result; nan for a score that is not a number."""
    return with_selection({name: float("nan") if value is None else value for name, value in run["label_free"].items()})


def rows_of(plan: Plan) -> list[Row]:
    """Return the rows that have a finished run, pair by pair in the file's order."""
    rows = []
    for pair in plan.pairs:
        for method in plan.methods:
            jobs = [job for job in plan.jobs if (job.pair, job.method) == (pair, method) and job.done]
            jobs.sort(key=lambda job: job.seed)
            runs = tuple(json.loads((job.folder / RESULT).read_text(encoding="utf-8")) for job in jobs)
            if runs:
                rows.append(Row(pair, method, runs))
    return rows


def row_of(rows: Sequence[Row], pair: str, method: str) -> Row | None:
    """Find a row; None if it has no finished run."""
    return next((row for row in rows if (row.pair, row.method) == (pair, method)), None)


def closed_gap(row: Row, rows: Sequence[Row], plan: Plan) -> float | None:
    """Return the share of the gap between baseline and oracle that a row closes, in percent; None if either is missing."""
    ends = {other.method: other.miou.mean() for other in rows if other.pair == row.pair}
    if row.method in (plan.baseline, plan.oracle) or not {plan.baseline, plan.oracle} <= set(ends):
        return None
    gap = ends[plan.oracle] - ends[plan.baseline]
    return float(100 * (row.miou.mean() - ends[plan.baseline]) / gap) if gap > 0 else None
