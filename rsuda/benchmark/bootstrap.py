"""Give scores an interval by drawing scenes again (Efron, "Bootstrap methods: another look at the jackknife", 1979).

A resample draws as many scenes as there are, with replacement, and its mIoU is that of the sum of their confusion
matrices. All runs of a pair see the same resamples, so that their differences have an interval as well. What two runs
share, such as a difficult scene, leaves the difference. Intervals cover the choice of scenes and not that of seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuda.benchmark.rows import Row
from rsuda.evaluation.metrics import class_iou

RESAMPLES = 2000
Interval = tuple[float, float]


def draw_scenes(scenes: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw how often each scene enters each resample.

    Returns:
        (resamples, scenes) counts; each row adds up to ``scenes``. The same in every call.
    """
    return np.random.default_rng(0).multinomial(scenes, np.full(scenes, 1 / scenes), resamples)


def resampled_miou(matrices: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Compute the mIoU of each resample.

    Args:
        matrices: (scenes, K, K) confusion matrices.
        draws: (resamples, scenes) counts.

    Returns:
        (resamples,) in percent; nan for a resample without a labelled pixel.
    """
    iou = class_iou(np.tensordot(draws, matrices, 1))
    has_iou = np.isfinite(iou)
    with np.errstate(invalid="ignore"):
        result: np.ndarray = 100 * np.where(has_iou, iou, 0).sum(-1) / has_iou.sum(-1)
    return result


def interval(values: np.ndarray | None) -> Interval | None:
    """Return the 2.5th and 97.5th percentile of a bootstrap sample (resamples,); None without a finite value."""
    if values is None or not np.isfinite(values).any():
        return None
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Resamples:
    """The resampled mIoU of the runs of one pair, in percent.

    Attributes:
        scenes: number of scenes; 0 where no run has a confusion matrix a scene, as those of older versions.
        runs: (resamples,) by row and seed; runs on other scenes than the first one are left out.
    """

    scenes: int
    runs: dict[tuple[str, int], np.ndarray]

    def of(self, row: Row | None, seeds: Sequence[int] | None = None) -> np.ndarray | None:
        """Average a row's resampled mIoU (resamples,) in percent over seeds, all by default; None if one is missing."""
        if row is None:
            return None
        keys = [(row.method, seed) for seed in (row.seeds if seeds is None else seeds)]
        if not keys or any(key not in self.runs for key in keys):
            return None
        result: np.ndarray = np.mean([self.runs[key] for key in keys], axis=0)
        return result


def resample(rows: Sequence[Row]) -> Resamples:
    """Resample the scenes of one pair's rows."""
    runs = [(row.method, run) for row in rows for run in row.runs if run.get("confusion_by_scene")]
    if not runs:
        return Resamples(0, {})
    scenes = sorted(runs[0][1]["confusion_by_scene"])
    draws = draw_scenes(len(scenes))
    return Resamples(
        len(scenes),
        {
            (method, run["seed"]): resampled_miou(_stacked(run, scenes), draws)
            for method, run in runs
            if sorted(run["confusion_by_scene"]) == scenes
        },
    )


def _stacked(run: dict[str, Any], scenes: Sequence[str]) -> np.ndarray:
    return np.array([run["confusion_by_scene"][name] for name in scenes], np.int64)


def gap_interval(row: Row, baseline: Row | None, oracle: Row | None, resamples: Resamples) -> Interval | None:
    """Return the interval of the share of the gap that a row closes, in percent; None where a resample has no gap."""
    values, low, high = (resamples.of(which) for which in (row, baseline, oracle))
    if values is None or low is None or high is None or not (high > low).all():
        return None
    return interval(100 * (values - low) / (high - low))
