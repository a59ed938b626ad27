"""Write the table of a benchmark as Markdown, CSV and a plot, and correlate the label-free scores with mIoU."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, spearmanr

from rsuda.benchmark.plan import Plan
from rsuda.benchmark.run import RESULT
from rsuda.core.atomic import atomic_write
from rsuda.core.display import csv_cell
from rsuda.evaluation.label_free import SCORES


@dataclass(frozen=True)
class Row:
    """Runs of one method on one pair, one for each seed. Units are percent, seconds and megabytes."""

    pair: str
    method: str
    runs: tuple[dict[str, Any], ...]

    @property
    def miou(self) -> np.ndarray:
        return np.array([100 * run["miou"] for run in self.runs])

    @property
    def iou(self) -> dict[str, np.ndarray]:
        classes = self.runs[0]["classes"]
        return {name: np.array([100 * (run["classes"][name]["iou"] or 0.0) for run in self.runs]) for name in classes}

    def mean(self, key: str) -> float:
        return float(np.mean([run[key] for run in self.runs if run[key] is not None] or [np.nan]))

    def label_free(self, score: str) -> float:
        return float(np.mean([_number(run["label_free"][score]) for run in self.runs]))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


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


def closed_gap(row: Row, rows: Sequence[Row], plan: Plan) -> float | None:
    """Return the share of the gap between baseline and oracle that a row closes, in percent; None if either is missing."""
    ends = {other.method: other.miou.mean() for other in rows if other.pair == row.pair}
    if row.method in (plan.baseline, plan.oracle) or not {plan.baseline, plan.oracle} <= set(ends):
        return None
    gap = ends[plan.oracle] - ends[plan.baseline]
    return float(100 * (row.miou.mean() - ends[plan.baseline]) / gap) if gap > 0 else None


def spread(values: np.ndarray) -> str:
    """Format values as 'mean ± standard deviation', the latter from two values on."""
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def ranks(values: Sequence[float]) -> np.ndarray:
    """Rank values: 1 for the highest, equal values share the mean of their ranks, nan stays nan."""
    result: np.ndarray = rankdata(-np.array(values, float), nan_policy="omit")
    return result


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation; nan below three pairs without nan, or where all values of one are equal."""
    pairs = np.array([one, other], float)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    if pairs.shape[1] < 3 or (np.ptp(pairs, 1) == 0).any():
        return float("nan")
    return float(spearmanr(*pairs).statistic)


def score_correlations(rows: Sequence[Row], plan: Plan) -> dict[str, dict[str, float]]:
    """Correlate each label-free score with mIoU over the runs of each pair, without the oracle.

    Returns:
        for each score: Spearman's correlation by pair, their 'mean', and 'lost': the points of mIoU that the choice of the
        run with the best score loses, mean over the pairs.
    """
    correlations: dict[str, dict[str, float]] = {}
    for score in SCORES:
        by_pair, lost = {}, []
        for pair in plan.pairs:
            runs = [run for row in rows if row.pair == pair and row.method != plan.oracle for run in row.runs]
            if not runs:
                continue
            free = [_number(run["label_free"][score]) for run in runs]
            true = [100 * run["miou"] for run in runs]
            by_pair[pair] = correlation(free, true)
            if np.isfinite(free).any():
                lost.append(max(true) - true[int(np.nanargmax(free))])
        if by_pair:
            known = [value for value in by_pair.values() if not np.isnan(value)]
            correlations[score] = {
                **by_pair,
                "mean": float(np.mean(known)) if known else float("nan"),
                "lost": float(np.mean(lost)) if lost else float("nan"),
            }
    return correlations


def markdown(plan: Plan, rows: Sequence[Row], chosen: str = "information") -> str:
    """Format one table for each pair, in the file's order, and the correlations of the label-free scores."""
    lines = [plan.about.strip(), ""] if plan.about else []
    for pair in plan.pairs:
        of_pair = [row for row in rows if row.pair == pair]
        if not of_pair:
            continue
        names = list(of_pair[0].iou)
        lines += [f"### {pair}", ""]
        heads = [
            "method",
            "seeds",
            "steps",
            "mIoU",
            "gap closed",
            *names,
            "s / step",
            "peak MB",
            "rank",
            f"rank by {chosen}",
        ]
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        ranked = [row for row in of_pair if row.method != plan.oracle]
        true = dict(zip((row.method for row in ranked), ranks([row.miou.mean() for row in ranked]), strict=True))
        label_free = ranks([row.label_free(chosen) for row in ranked])
        free = dict(zip((row.method for row in ranked), label_free, strict=True))
        for row in of_pair:
            share = closed_gap(row, rows, plan)
            cells = [
                row.method,
                str(len(row.runs)),
                str(row.runs[0]["steps"]),
                spread(row.miou),
                "-" if share is None else f"{share:.0f} %",
                *(spread(row.iou[name]) for name in names),
                f"{row.mean('seconds_per_step'):.2f}",
                f"{row.mean('peak_memory_mb'):.0f}",
                *(_rank(by_method.get(row.method)) for by_method in (true, free)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    correlations = score_correlations(rows, plan)
    if correlations:
        pairs = [pair for pair in plan.pairs if pair in next(iter(correlations.values()))]
        lines += [
            "### Label-free scores",
            "",
            "Rank correlation with the true mIoU over all runs but the oracles'; mIoU lost",
            "by choosing the run with the best score.",
            "",
        ]
        lines += [f"| score | {' | '.join(pairs)} | mean | mIoU lost |", "|---" * (len(pairs) + 3) + "|"]
        for score, values in correlations.items():
            cells = [f"{values[k]:.2f}" for k in (*pairs, "mean")] + [f"{values['lost']:.1f}"]
            lines.append(f"| {score} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _rank(rank: float | None) -> str:
    return "-" if rank is None or np.isnan(rank) else f"{rank:g}"


def write_table(plan: Plan, out: Path) -> list[Path]:
    """Write table.md, table.csv (one line for each run) and table.png of the finished runs into ``out``."""
    rows = rows_of(plan)
    files = [out / f"table.{kind}" for kind in ("md", "csv", "png")]
    with atomic_write(files[0], overwrite=True) as temporary:
        temporary.write_text(markdown(plan, rows), encoding="utf-8", newline="\n")
    with atomic_write(files[1], overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        keys = (
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
        writer = csv.writer(file)
        names = list(dict.fromkeys(name for row in rows for name in row.iou))
        writer.writerow([*keys, *(f"iou_{name}" for name in names), *SCORES])
        for run in (run for row in rows for run in row.runs):
            iou = [run["classes"].get(name, {}).get("iou") for name in names]
            writer.writerow(
                [
                    *(csv_cell(run[key]) if isinstance(run[key], str) else run[key] for key in keys),
                    *iou,
                    *(run["label_free"][score] for score in SCORES),
                ]
            )
    with atomic_write(files[2], overwrite=True) as temporary:
        _plot(plan, rows, temporary)
    return files


def _plot(plan: Plan, rows: Sequence[Row], path: Path) -> None:
    """Plot the mIoU of each run as a point, one panel for each pair, with baseline and oracle as lines."""
    from matplotlib.figure import Figure

    pairs = [pair for pair in plan.pairs if any(row.pair == pair for row in rows)]
    methods = [method for method in plan.methods if any(row.method == method for row in rows)]
    figure = Figure(figsize=(2.2 + 2.6 * max(1, len(pairs)), 1.2 + 0.3 * len(methods)), layout="constrained")
    axes = figure.subplots(1, max(1, len(pairs)), sharey=True, squeeze=False)[0]
    for axis, pair in zip(axes, pairs, strict=False):
        for row in (row for row in rows if row.pair == pair):
            place = methods.index(row.method)
            if row.method in (plan.baseline, plan.oracle):
                axis.axvline(row.miou.mean(), color="0.6", linestyle="--", linewidth=1, zorder=0)
            axis.plot(row.miou, [place] * len(row.miou), "o", color="C0", alpha=0.5, markersize=5)
            axis.plot([row.miou.mean()], [place], "|", color="C1", markersize=14, markeredgewidth=2)
        axis.set_title(pair, fontsize=9)
        axis.set_xlabel("mIoU on the target, %", fontsize=8)
        axis.set_yticks(range(len(methods)), methods, fontsize=8)
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=100, format="png")
