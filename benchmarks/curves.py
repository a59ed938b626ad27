"""Draw how good the teachers' labels were over time, from the runs of a benchmark; keep its results without the weights.

    rsuda benchmark configs/benchmarks/four_fields.yaml --data DATA --out RUNS
    python benchmarks/curves.py RUNS --keep benchmarks/results/four_fields --plot docs/pseudo_labels.png

What is kept is each run's result.json and config.yaml, and the table. With that folder as --out, `rsuda benchmark` runs what is
still missing and writes the table again.
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

from rsuda.benchmark.plan import folder_of
from rsuda.benchmark.run import RESULT
from rsuda.core.settings import dump, make_settings
from rsuda.runs.weights import CONFIG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--plot", type=Path)
    a = parser.parse_args()
    found = sorted(a.runs.rglob(RESULT))
    results = [json.loads(f.read_text()) for f in found]
    folders = [folder_of(a.keep or a.runs, r["pair"], r["row"], r["seed"]) for r in results]
    if a.keep:
        for file, folder in zip(found, folders, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / RESULT)
            s = make_settings(file=file.parent / CONFIG)
            (folder / CONFIG).write_text(
                dump(s.changed({"data": None, "network.weights": Path(s.network.weights).name}))
            )
        for table in a.runs.glob("table.*"):
            shutil.copy(table, a.keep / table.name)
    if a.plot:
        draw([r for r in results if r["pseudo_labels"]], a.plot)


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """A panel a pair: accuracy of all labels (line) and of those with confidence 0.8 and more (dashes), mean over seeds."""
    pairs, rows = (list(dict.fromkeys(r[k] for r in results)) for k in ("pair", "row"))
    _, axes = plt.subplots(1, len(pairs), figsize=(4 * len(pairs), 3.4), sharey=True, squeeze=False)
    for axis, pair in zip(axes[0], pairs, strict=True):
        for number, row in enumerate(rows):
            curves = [r["pseudo_labels"] for r in results if (r["pair"], r["row"]) == (pair, row)]
            curves = [c for c in curves if len(c) == max(map(len, curves))]  # a resumed run's lacks its first part
            if not curves:
                continue
            steps = [c["step"] for c in curves[0]]
            for key, style in (("accuracy", "-"), ("sure_accuracy", "--")):
                values = np.array([[c[key] if c[key] is not None else np.nan for c in curve] for curve in curves])
                label = row if key == "accuracy" else None
                axis.plot(steps, np.nanmean(values, 0), style, color=f"C{number}", label=label, linewidth=1.2)
        axis.set_title(pair, fontsize=9)
        axis.set_xlabel("step")
        axis.set_ylim(0, 1)
    axes[0][0].set_ylabel("accuracy of pseudo labels", fontsize=8)
    axes[0][-1].legend(fontsize=7, loc="lower right")
    plt.tight_layout()
    plt.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
