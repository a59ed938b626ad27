"""Plot the scores of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.benchmark.bootstrap import interval, resample
from rsuda.benchmark.plan import Plan
from rsuda.benchmark.rows import Row
from rsuda.core.display import OWN_PICTURE


def draw(plan: Plan, rows: Sequence[Row], path: Path) -> None:
    """Plot the mIoU of each run as a point, with mean and interval of each row, one panel for each pair.

    Dashed lines mark baseline and oracle, a dotted line the control.
    """
    from matplotlib.figure import Figure

    pairs = [pair for pair in plan.pairs if any(row.pair == pair for row in rows)]
    methods = [method for method in plan.methods if any(row.method == method for row in rows)]
    height = 1.6 + 0.3 * len(methods)
    figure = Figure(figsize=(2.2 + 2.6 * max(1, len(pairs)), height), layout="constrained")
    axes = figure.subplots(1, max(1, len(pairs)), sharey=True, squeeze=False)[0]
    for axis, pair in zip(axes, pairs, strict=False):
        of_pair = [row for row in rows if row.pair == pair]
        _panel(axis, of_pair, methods, plan)
        axis.set_title(pair, fontsize=9)
        axis.set_xlabel("mIoU on the target, %", fontsize=8)
        axis.set_yticks(range(len(methods)), methods, fontsize=8)
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.grid(axis="x", alpha=0.3)
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if entries:
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=100, format="png", metadata={OWN_PICTURE: "scores of a benchmark"})


def _panel(axis: Any, rows: Sequence[Row], methods: Sequence[str], plan: Plan) -> None:
    resamples = resample(rows)
    lines = {plan.control: ("control", ":"), plan.baseline: ("baseline and oracle", "--")}
    lines[plan.oracle] = ("baseline and oracle", "--")
    for row in rows:
        place, mean = methods.index(row.method), row.miou.mean()
        if row.method in lines:
            label, style = lines[row.method]
            axis.axvline(mean, color="0.6", linestyle=style, linewidth=1, zorder=0, label=label)
        if (between := interval(resamples.of(row))) is not None and resamples.scenes > 1:
            label = "95 % interval over scenes"
            axis.plot(between, [place, place], "-", color="C1", linewidth=1, label=label)
        places = np.full(len(row.miou), place)
        axis.plot(row.miou, places, "o", color="C0", alpha=0.5, markersize=5, label="a seed")
        axis.plot([mean], [place], "|", color="C1", markersize=14, markeredgewidth=2, label="mean")
