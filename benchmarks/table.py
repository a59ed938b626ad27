"""Gather the JSON files of benchmarks/fields.py into a Markdown table, and draw the pseudo-label curves.

python benchmarks/table.py DIR [--plot docs/pseudo_labels.png]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np


def cell(values: list[float]) -> str:
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plot", type=Path)
    a = parser.parse_args()
    runs: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(a.folder.glob("*.json")):
        run = json.loads(file.read_text())
        runs[run["field"]][run["method"]].append(run)
    for field, methods in sorted(runs.items()):
        names = list(next(iter(methods.values()))[0]["classes"])
        print(f"\n### {field.replace('_', ' → ')}\n")
        print(f"| method | seeds | steps | mIoU | gap closed | {' | '.join(names)} | s / run |")
        print("|---" * (6 + len(names)) + "|")
        means = {m: np.mean([100 * r["miou"] for r in rs]) for m, rs in methods.items()}
        for method in sorted(methods, key=lambda m: {"source-only": 0, "oracle": 2}.get(m, 1)):
            rs = methods[method]
            closed = "-"
            if {"source-only", "oracle"} <= set(means) and method not in ("source-only", "oracle"):
                gap = means["oracle"] - means["source-only"]
                closed = f"{100 * (means[method] - means['source-only']) / gap:.0f} %"
            per_class = " | ".join(cell([100 * (r["classes"][n]["iou"] or 0) for r in rs]) for n in names)
            print(
                f"| {method} | {len(rs)} | {rs[0]['steps']} | {cell([100 * r['miou'] for r in rs])} | {closed} | {per_class} | "
                f"{np.mean([r['seconds'] for r in rs]):.0f} |"
            )
    if a.plot:
        _plot(runs, a.plot)


def _plot(runs: dict[str, dict[str, list[Any]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    curves = [
        (f, r) for f, methods in sorted(runs.items()) for rs in methods.values() for r in rs if r["pseudo_labels"]
    ]
    fields = sorted({f for f, _ in curves})
    _, axes = plt.subplots(1, len(fields), figsize=(4 * len(fields), 3.2), sharey=True, squeeze=False)
    for axis, field in zip(axes[0], fields, strict=True):
        for name, run in curves:
            if name == field:
                steps = [c["step"] for c in run["pseudo_labels"]]
                for key, style in (("accuracy", "C0-"), ("sure_accuracy", "C1--"), ("sure_share", "C2:")):
                    axis.plot(
                        steps, [c[key] for c in run["pseudo_labels"]], style, label=key if run["seed"] == 0 else None
                    )
        axis.set_title(field.replace("_", " → "), fontsize=9)
        axis.set_xlabel("step")
        axis.set_ylim(0, 1)
        axis.legend(fontsize=7)
    plt.tight_layout()
    plt.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
