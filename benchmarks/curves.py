"""Draw how good the teachers' labels were over time, from the runs of a benchmark; gather its results in one file.

    rsuda benchmark configs/benchmarks/four_fields.yaml --data DATA --out RUNS
    python benchmarks/curves.py RUNS --results benchmarks/results/four_fields.jsonl --plot docs/pseudo_labels.png

With a .jsonl file instead of RUNS, draws from that file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from rsuda.benchmark import RESULT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--plot", type=Path)
    a = parser.parse_args()
    if a.runs.is_dir():
        results = [json.loads(f.read_text()) for f in sorted(a.runs.rglob(RESULT))]
    else:
        results = [json.loads(line) for line in a.runs.read_text().splitlines()]
    if a.results:
        a.results.write_text("".join(json.dumps(r) + "\n" for r in results))
    if a.plot:
        draw([r for r in results if r["pseudo_labels"]], a.plot)


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """A panel a pair: accuracy of all labels (line) and of those with confidence 0.8 and more (dashes), mean over seeds."""
    pairs, rows = (list(dict.fromkeys(r[k] for r in results)) for k in ("pair", "row"))
    _, axes = plt.subplots(1, len(pairs), figsize=(4 * len(pairs), 3.4), sharey=True, squeeze=False)
    for axis, pair in zip(axes[0], pairs, strict=True):
        for number, row in enumerate(rows):
            curves = [r["pseudo_labels"] for r in results if (r["pair"], r["row"]) == (pair, row)]
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
