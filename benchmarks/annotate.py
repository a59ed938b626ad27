"""Compare the windows of `rsuda suggest` with random ones: annotate, train on them, score.

    python benchmarks/annotate.py RUN [RUN ...] --data DATA --domain configs/domains/mumbai.yaml --out annotate.json

For each run, k windows of the domain's train split get their labels. A network starts from the run, trains on these
windows alone by a fixed recipe, and its last checkpoint is scored on val. The windows are suggested, random among
the same candidates (several draws), or all candidates (upper bound). The run itself is in the table too, and the
run trained as long on its own source. Finished rows of the file are not repeated. `--table` prints the table of a
file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml

from rsuda.annotation.candidates import Candidate, candidates
from rsuda.annotation.suggest import choose
from rsuda.core.legend import IGNORE
from rsuda.core.settings import make_settings
from rsuda.data.domains.domain import Domain
from rsuda.data.find_domain import domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.inference.predictor import Predictor
from rsuda.methods import presets_of
from rsuda.runs.weights import load_run, saved_settings
from rsuda.training.train import train

WINDOW = 608  # window of prediction: one for each scene of 598 px


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="adapted runs, of several seeds")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--domain", default="configs/domains/mumbai.yaml")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--draws", type=int, default=3, help="random draws of each run")
    parser.add_argument("--seeds", type=int, default=2, help="suggestions of each run")
    parser.add_argument("--ways", default="", help="only ways that begin with this text")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for run in args.runs:
        measure(run, args, rows)
    if args.table:
        print(table(rows))


def measure(run: Path, args: argparse.Namespace, rows: list[dict]) -> None:
    """Measure all ways of annotating for one run. Each finished way is added to the file."""
    city = domain(args.domain, args.data)
    predictor = Predictor.of(load_run(run), "cpu", "fp32", window=WINDOW)
    settings = saved_settings(run)
    windows = list(candidates(predictor, city.split("train"), args.size))
    ways: dict[str, list[int] | None] = {"the run itself": None, "trained on, no window": None}
    for seed in range(args.seeds):
        ways[f"suggested {seed}"] = choose(windows, args.k, seed)
    for draw in range(args.draws):
        ways[f"random {draw}"] = (
            np.random.default_rng((settings.training.seed, draw)).permutation(len(windows))[: args.k].tolist()
        )
    ways["all windows"] = list(range(len(windows)))
    for way, chosen in ways.items():
        if not way.startswith(args.ways):
            continue
        if any(
            row["way"] == way and row["run"] == run.parent.name and row["seed"] == settings.training.seed
            for row in rows
        ):
            continue
        began = time.monotonic()
        shares: dict[str, float] = {}
        with tempfile.TemporaryDirectory() as folder:
            if way == "the run itself":
                network = predictor
            else:
                changes: dict[str, Any] = {
                    "training.steps": args.steps, "optimizer.warmup_steps": args.steps // 6, "method.name": "source-only",
                }  # fmt: skip
                changes |= {
                    "training.device": "cpu", "training.precision": "fp32", "patches.workers": 0, "patches.max_class_share": 1.0,
                }  # fmt: skip
                if chosen is not None:
                    shares = annotate([windows[i] for i in chosen], city, args, Path(folder))
                    changes |= {"source.name": f"{folder}/annotated.yaml", "target.name": args.domain, "data": folder}
                train(
                    make_settings({"network.start": str(run), **changes}, presets_of=presets_of),
                    Path(folder) / "run",
                    quiet=True,
                )
                network = Predictor.of(load_run(Path(folder) / "run"), "cpu", "fp32", window=WINDOW)
            scores = evaluate(network, city, "val").scores.as_fields()
        rows.append(
            {
                "way": way, "run": run.parent.name, "seed": settings.training.seed, "k": len(chosen or []), "size": args.size,
                "steps": args.steps, "miou": scores["miou"],
                "iou": {name: values["iou"] for name, values in scores["classes"].items()},
                "labelled": shares, "seconds": round(time.monotonic() - began, 1),
                "windows": [[windows[i].scene, windows[i].row, windows[i].col] for i in chosen or []][: 10 * args.k],
            }
        )  # fmt: skip
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(run.parent.name, settings.training.seed, way, f"mIoU {100 * scores['miou']:.1f}", shares, flush=True)


def annotate(windows: list[Candidate], city: Domain, args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Write labels of the windows alone and a domain that reads them. Returns the shares of their classes."""
    assert city.legend is not None
    (folder / "labels").mkdir()
    for part in args.data.resolve().iterdir():
        (folder / part.name).symlink_to(part)
    counts = np.zeros(len(city.legend), np.int64)
    for name in sorted({window.scene for window in windows}):
        scene = city.scenes[name]
        truth, _ = scene.whole_label(city.legend)
        label = np.full_like(truth, IGNORE)
        for window in (window for window in windows if window.scene == name):
            area = np.s_[window.row : window.row + args.size, window.col : window.col + args.size]
            label[area] = truth[area]
        counts += np.bincount(label.ravel(), minlength=256)[: len(counts)]
        profile = {"driver": "PNG", "height": label.shape[0], "width": label.shape[1], "count": 1, "dtype": "uint8"}
        with rasterio.open(folder / "labels" / f"{name}.png", "w", **profile) as file:
            file.write(label, 1)
    fields = yaml.safe_load(Path(args.domain).read_text())
    names = city.legend.names
    fields |= {
        "name": "annotated", "labels": ["labels/{part}_{tile}.png"], "ignore": [IGNORE],
        "legend": [{**fields, "value": names.index(fields["name"])} for fields in city.legend.as_fields()],
        "splits": {"train": sorted({window.scene for window in windows})},
    }  # fmt: skip
    (folder / "annotated.yaml").write_text(yaml.safe_dump(fields))
    return {name: round(float(share), 3) for name, share in zip(names, counts / counts.sum(), strict=True)}


def table(rows: list[dict]) -> str:
    """Return a Markdown table: mean and standard deviation over runs, and over draws of the random rows, in percent."""
    ways: dict[str, list[dict]] = {}
    for row in rows:
        ways.setdefault(row["way"].rstrip(" 0123456789"), []).append(row)
    names = list(rows[0]["iou"])
    lines = ["| windows | runs | mIoU | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
    for way, group in ways.items():
        cells = [mean_and_deviation([row["miou"] for row in group])]
        cells += [mean_and_deviation([row["iou"][name] for row in group]) for name in names]
        lines.append(f"| {way} | {len(group)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_and_deviation(values: list[float]) -> str:
    percent = 100 * np.array(values)
    return f"{percent.mean():.1f} ± {percent.std(ddof=1):.1f}" if len(percent) > 1 else f"{percent.mean():.1f}"


if __name__ == "__main__":
    main()
