"""Compare the rows of a pair with the plan's control and with their twins, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsuda.benchmark.bootstrap import Interval, Resamples, interval
from rsuda.benchmark.plan import Plan
from rsuda.benchmark.rows import Row, row_of

# what makes the scores or times of two runs incomparable: field of result.json and its noun
CONDITIONS = {"steps": "steps", "precision": "precision", "device": "device"}


@dataclass(frozen=True)
class Comparison:
    """A row beside its control, over the seeds that both have. Differences are points of mIoU.

    Attributes:
        by_seed: row minus control for each of ``seeds``.
        interval: of their mean over resampled scenes; None where runs lack confusion matrices a scene.
        cost: training time as a multiple of the control's; None where device, precision or threads differ.
    """

    method: str
    control: str
    seeds: tuple[int, ...]
    by_seed: np.ndarray
    interval: Interval | None
    cost: float | None

    @property
    def mean(self) -> float:
        return float(self.by_seed.mean())

    @property
    def wins(self) -> int:
        """Number of seeds with a higher mIoU than the control's."""
        return int((self.by_seed > 0).sum())


def compare(row: Row, control: Row, resamples: Resamples) -> Comparison | None:
    """Compare two rows of a pair; None where no seed is in both."""
    seeds = tuple(seed for seed in row.seeds if seed in control.seeds)
    if not seeds:
        return None
    ours, theirs = resamples.of(row, seeds), resamples.of(control, seeds)
    of_difference = None if ours is None or theirs is None else interval(ours - theirs)
    by_seed = row.miou_of(seeds) - control.miou_of(seeds)
    return Comparison(row.method, control.method, seeds, by_seed, of_difference, relative_cost(row, control))


def comparisons(plan: Plan, rows: Sequence[Row], resamples: Resamples) -> list[Comparison]:
    """Compare each row of one pair but the oracle with the control, and each row that has a twin with its twin."""
    result = []
    for row in rows:
        others = [] if row.method in (plan.control, plan.oracle) else [plan.control]
        others += [plan.twins[row.method]] if row.method in plan.twins else []
        for name in dict.fromkeys(others):
            control = row_of(rows, row.pair, name)
            comparison = compare(row, control, resamples) if control is not None else None
            result += [comparison] if comparison is not None else []
    return result


def relative_cost(row: Row, control: Row) -> float | None:
    """Return seconds a step times steps, as a multiple of the control's; None where they were measured differently."""
    conditions = {tuple(run[key] for key in ("device", "precision", "threads")) for run in (*row.runs, *control.runs)}
    seconds, of_control = (which.mean("seconds_per_step") * which.steps for which in (row, control))
    return float(seconds / of_control) if len(conditions) == 1 and of_control > 0 and np.isfinite(seconds) else None


def unequal(rows: Sequence[Row]) -> list[str]:
    """Name the conditions in which the rows of a pair differ, in a sentence each."""
    sentences = []
    for key, noun in CONDITIONS.items():
        having: dict[str, list[str]] = {}
        for row in rows:
            for run in row.runs:
                methods = having.setdefault(str(run[key]), [])
                methods += [row.method] if row.method not in methods else []
        if len(having) > 1:
            most = max(having, key=lambda value: len(having[value]))
            others = "; ".join(f"{value}: {', '.join(having[value])}" for value in having if value != most)
            sentences.append(f"Rows differ in {noun}. {others}; {most}: the other runs.")
    return sentences
