"""Judge the label-free scores of a benchmark by what choosing by them costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from rsuda.benchmark.plan import Plan
from rsuda.benchmark.rows import Row, label_free_of
from rsuda.evaluation.label_free import SCORES

_FEWEST = 4  # runs of which a rank correlation says something

NEAR = 1.0  # points of mIoU below the best run that still count as a good choice


@dataclass(frozen=True)
class Choices:
    """Quality of the runs that a score chooses.

    Attributes:
        number: number of choices.
        lost: points of mIoU below the best run, mean over the choices; nan without a choice.
        best, near: choices of the best run, and of one within a point of it.
    """

    number: int
    lost: float
    best: int
    near: int


@dataclass(frozen=True)
class Judgement:
    """Agreement of a label-free score with the true mIoU, oracles left out.

    Attributes:
        correlation: Spearman's rank correlation over all runs, by pair.
        among_all: one choice a pair, among all its runs.
        among_methods: one choice a pair and seed, among the methods that have a run of this seed.
    """

    correlation: dict[str, float]
    among_all: Choices
    among_methods: Choices

    @property
    def mean_correlation(self) -> float:
        finite = [value for value in self.correlation.values() if np.isfinite(value)]
        return float(np.mean(finite)) if finite else float("nan")


def judge(rows: Sequence[Row], plan: Plan) -> dict[str, Judgement]:
    """Judge each label-free score over the runs of all pairs."""
    by_pair = {pair: [run for row in _methods(rows, pair, plan) for run in row.runs] for pair in plan.pairs}
    by_pair = {pair: runs for pair, runs in by_pair.items() if runs}
    seeds = [
        [run for run in runs if run["seed"] == seed]
        for runs in by_pair.values()
        for seed in sorted({run["seed"] for run in runs})
    ]
    return {
        score: Judgement(
            {pair: correlation(_free(runs, score), _true(runs)) for pair, runs in by_pair.items()},
            _choices(list(by_pair.values()), score),
            _choices(seeds, score),
        )
        for score in (SCORES if by_pair else ())
    }


def _methods(rows: Sequence[Row], pair: str, plan: Plan) -> list[Row]:
    return [row for row in rows if row.pair == pair and row.method != plan.oracle]


def _choices(groups: Sequence[Sequence[dict[str, Any]]], score: str) -> Choices:
    """Choose the run with the highest score of each group of two and more runs."""
    losses = []
    for runs in groups:
        free, true = np.array(_free(runs, score)), np.array(_true(runs))
        if len(runs) > 1 and np.isfinite(free).any():
            losses.append(float(true.max() - true[int(np.nanargmax(free))]))
    mean = float(np.mean(losses)) if losses else float("nan")
    return Choices(len(losses), mean, sum(points == 0 for points in losses), sum(points <= NEAR for points in losses))


def _free(runs: Sequence[dict[str, Any]], score: str) -> list[float]:
    return [label_free_of(run)[score] for run in runs]


def _true(runs: Sequence[dict[str, Any]]) -> list[float]:
    return [100 * run["miou"] for run in runs]


def ranks(values: Sequence[float]) -> np.ndarray:
    """Rank values (n,): 1 for the highest, equal values share the mean of their ranks, nan stays nan."""
    result: np.ndarray = rankdata(-np.array(values, float), nan_policy="omit")
    return result


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation; nan below four pairs without nan, or where all values of one are equal."""
    pairs = np.array([one, other], float)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < _FEWEST or (np.ptp(pairs, 1) == 0).any():
        return float("nan")
    return float(spearmanr(*pairs).statistic)
