"""The table of a benchmark: Markdown, CSV, and a plot; and how well the label-free scores follow the true ones."""

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
    """The runs of one method on one pair. Values are one a seed; percent, seconds, megabytes."""

    pair: str
    method: str
    runs: tuple[dict[str, Any], ...]

    @property
    def miou(self) -> np.ndarray:
        return np.array([100 * r["miou"] for r in self.runs])

    @property
    def iou(self) -> dict[str, np.ndarray]:
        classes = self.runs[0]["classes"]
        return {n: np.array([100 * (r["classes"][n]["iou"] or 0.0) for r in self.runs]) for n in classes}

    def mean(self, key: str) -> float:
        return float(np.mean([r[key] for r in self.runs if r[key] is not None] or [np.nan]))

    def label_free(self, score: str) -> float:
        return float(np.mean([_number(r["label_free"][score]) for r in self.runs]))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def rows_of(plan: Plan) -> list[Row]:
    """The rows that have at least one finished run, pair by pair in the file's order."""
    rows = []
    for pair in plan.pairs:
        for method in plan.methods:
            done = [j for j in plan.jobs if (j.pair, j.method) == (pair, method) and j.done]
            runs = tuple(json.loads((j.folder / RESULT).read_text()) for j in sorted(done, key=lambda j: j.seed))
            if runs:
                rows.append(Row(pair, method, runs))
    return rows


def closed(row: Row, rows: Sequence[Row], plan: Plan) -> float | None:
    """Share of the gap between baseline and oracle that a row closes, in percent; None where either is missing."""
    ends = {r.method: r.miou.mean() for r in rows if r.pair == row.pair}
    if row.method in (plan.baseline, plan.oracle) or not {plan.baseline, plan.oracle} <= set(ends):
        return None
    gap = ends[plan.oracle] - ends[plan.baseline]
    return float(100 * (row.miou.mean() - ends[plan.baseline]) / gap) if gap > 0 else None


def spread(values: np.ndarray) -> str:
    """'mean ± standard deviation', the latter from two values on."""
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


def followed(rows: Sequence[Row], plan: Plan) -> dict[str, dict[str, float]]:
    """Rank correlation of each label-free score with mIoU over the runs of each pair, the oracle's left out; 'mean' over
    pairs, and 'chosen - best', how many points of mIoU are lost by taking the run that scores best."""
    out: dict[str, dict[str, float]] = {}
    for score in SCORES:
        by_pair, lost = {}, []
        for pair in plan.pairs:
            runs = [r for row in rows if row.pair == pair and row.method != plan.oracle for r in row.runs]
            if not runs:
                continue
            free = [_number(r["label_free"][score]) for r in runs]
            true = [100 * r["miou"] for r in runs]
            by_pair[pair] = correlation(free, true)
            if np.isfinite(free).any():
                lost.append(max(true) - true[int(np.nanargmax(free))])
        if by_pair:
            known = [v for v in by_pair.values() if not np.isnan(v)]
            out[score] = {
                **by_pair,
                "mean": float(np.mean(known)) if known else float("nan"),
                "lost": float(np.mean(lost)) if lost else float("nan"),
            }
    return out


def markdown(plan: Plan, rows: Sequence[Row], chosen: str = "information") -> str:
    """One table a pair, rows ranked as the file has them, and the label-free scores' correlations."""
    lines = [plan.about.strip(), ""] if plan.about else []
    for pair in plan.pairs:
        here = [r for r in rows if r.pair == pair]
        if not here:
            continue
        names = list(here[0].iou)
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
        ranked = [r for r in here if r.method != plan.oracle]
        true = dict(zip((r.method for r in ranked), ranks([r.miou.mean() for r in ranked]), strict=True))
        free = dict(zip((r.method for r in ranked), ranks([r.label_free(chosen) for r in ranked]), strict=True))
        for row in here:
            share = closed(row, rows, plan)
            cells = [
                row.method,
                str(len(row.runs)),
                str(row.runs[0]["steps"]),
                spread(row.miou),
                "-" if share is None else f"{share:.0f} %",
                *(spread(row.iou[n]) for n in names),
                f"{row.mean('seconds_per_step'):.2f}",
                f"{row.mean('peak_memory_mb'):.0f}",
                *(_rank(by_method.get(row.method)) for by_method in (true, free)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    found = followed(rows, plan)
    if found:
        pairs = [p for p in plan.pairs if p in next(iter(found.values()))]
        lines += [
            "### Label-free scores",
            "",
            "Rank correlation with the true mIoU over all runs but the oracles'; mIoU lost",
            "by choosing the run with the best score.",
            "",
        ]
        lines += [f"| score | {' | '.join(pairs)} | mean | mIoU lost |", "|---" * (len(pairs) + 3) + "|"]
        for score, values in found.items():
            cells = [f"{values[k]:.2f}" for k in (*pairs, "mean")] + [f"{values['lost']:.1f}"]
            lines.append(f"| {score} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _rank(rank: float | None) -> str:
    return "-" if rank is None or np.isnan(rank) else f"{rank:g}"


def write_table(plan: Plan, out: Path) -> list[Path]:
    """table.md, table.csv (one line a run) and table.png in ``out``; they show what is done so far."""
    rows = rows_of(plan)
    files = [out / f"table.{kind}" for kind in ("md", "csv", "png")]
    with atomic_write(files[0], overwrite=True) as temporary:
        temporary.write_text(markdown(plan, rows))
    with atomic_write(files[1], overwrite=True) as temporary, temporary.open("w", newline="") as file:
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
        names = list(dict.fromkeys(n for r in rows for n in r.iou))
        writer.writerow([*keys, *(f"iou_{n}" for n in names), *SCORES])
        for run in (r for row in rows for r in row.runs):
            iou = [run["classes"].get(n, {}).get("iou") for n in names]
            writer.writerow(
                [
                    *(csv_cell(run[k]) if isinstance(run[k], str) else run[k] for k in keys),
                    *iou,
                    *(run["label_free"][s] for s in SCORES),
                ]
            )
    with atomic_write(files[2], overwrite=True) as temporary:
        _plot(plan, rows, temporary)
    return files


def _plot(plan: Plan, rows: Sequence[Row], path: Path) -> None:
    """mIoU of each run as a point, a panel a pair, baseline and oracle as lines."""
    from matplotlib.figure import Figure

    pairs = [p for p in plan.pairs if any(r.pair == p for r in rows)]
    methods = [m for m in plan.methods if any(r.method == m for r in rows)]
    figure = Figure(figsize=(2.2 + 2.6 * max(1, len(pairs)), 1.2 + 0.3 * len(methods)), layout="constrained")
    axes = figure.subplots(1, max(1, len(pairs)), sharey=True, squeeze=False)[0]
    for axis, pair in zip(axes, pairs, strict=False):
        for row in (r for r in rows if r.pair == pair):
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
