"""Draw the accuracy of the teachers' labels over time from the runs of a benchmark, and copy its results without the weights.

    rsuda benchmark configs/benchmarks/four_fields.yaml --data DATA --out RUNS
    python benchmarks/curves.py RUNS --keep benchmarks/results/four_fields --plot docs/pseudo_labels.png

--keep copies the result.json and config.yaml of each run, and the table. With that folder as --out, `rsuda
benchmark` runs the missing runs and writes the table again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from rsuda.benchmark.job import RESULT
from rsuda.benchmark.plan import folder_of
from rsuda.core.settings import dump, make_settings
from rsuda.runs.weights import CONFIG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    files = sorted(args.runs.rglob(RESULT))
    results = [json.loads(file.read_text()) for file in files]
    folders = [folder_of(args.keep or args.runs, run["pair"], run["row"], run["seed"]) for run in results]
    if args.keep:
        for file, folder in zip(files, folders, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / RESULT)
            settings = make_settings(file=file.parent / CONFIG)
            (folder / CONFIG).write_text(
                dump(settings.changed({"data": None, "network.weights": Path(settings.network.weights).name}))
            )
        for table in args.runs.glob("table.*"):
            shutil.copy(table, args.keep / table.name)
    if args.plot:
        draw([run for run in results if run["pseudo_labels"]], args.plot)


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Draw one panel a pair: accuracy of all labels (line) and of labels with confidence 0.8 and more (dashes), mean over
    seeds. Curves begin where the labels are used, after the source-only part of a run."""
    pairs, rows = (list(dict.fromkeys(run[key] for run in results)) for key in ("pair", "row"))
    _, axes = plt.subplots(1, len(pairs), figsize=(4 * len(pairs), 3.4), sharey=True, squeeze=False)
    for axis, pair in zip(axes[0], pairs, strict=True):
        for number, row in enumerate(rows):
            curves = [used_labels(run) for run in results if (run["pair"], run["row"]) == (pair, row)]
            curves = [
                curve for curve in curves if len(curve) == max(map(len, curves))
            ]  # a resumed run lacks its first part
            if not any(curves):
                continue
            steps = [point["step"] for point in curves[0]]
            for key, style in (("accuracy", "-"), ("sure_accuracy", "--")):
                values = np.array(
                    [[np.nan if point[key] is None else point[key] for point in curve] for curve in curves]
                )
                label = row if key == "accuracy" else None
                axis.plot(steps, np.nanmean(values, 0), style, color=f"C{number}", label=label, linewidth=1.2)
        axis.set_title(pair, fontsize=9)
        axis.set_xlabel("step")
        axis.set_ylim(0, 1)
    axes[0][0].set_ylabel("accuracy of pseudo labels", fontsize=8)
    axes[0][-1].legend(fontsize=7, loc="lower right")
    plt.tight_layout()
    plt.savefig(path, dpi=90)


def used_labels(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of a run's curve after its source-only part."""
    options = run["options"]
    share = options.get("source_only_share", options.get("start", 0.0))  # results of 0.1 say start
    return [point for point in run["pseudo_labels"] if point["step"] > share * run["steps"]]


if __name__ == "__main__":
    main()
