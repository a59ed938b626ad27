"""Are the windows that `rsuda suggest` names worth more than random ones? Annotate, train on, score.

    python benchmarks/annotate.py RUN [RUN ...] --data DATA --domain configs/domains/mumbai.yaml --out annotate.json

Of each run: k windows of the domain's train split get their labels, a network starts from the run's and is trained on these
windows alone by a fixed recipe, and its last checkpoint is scored on val. Windows: suggested, drawn at random from the same
candidates (several draws), all candidates (upper bound); beside the run itself, and the run trained on as long on its own
source. Finished rows in the file are kept. `--table` prints the table of a file.
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
from rsuda.data.domain import Domain
from rsuda.data.find_domain import domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.inference.predictor import Predictor
from rsuda.methods import presets_of
from rsuda.runs.weights import load_run, saved_settings
from rsuda.training.train import adapt

WINDOW = 608  # of prediction: one for each scene of 598 px


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
    parser.add_argument("--ways", default="", help="only ways that begin so")
    parser.add_argument("--table", action="store_true")
    a = parser.parse_args()
    rows = json.loads(a.out.read_text()) if a.out.exists() else []
    for run in a.runs:
        measure(run, a, rows)
    if a.table:
        print(table(rows))


def measure(run: Path, a: argparse.Namespace, rows: list[dict]) -> None:
    """All ways of annotating for one run; each is added to the file when it is done."""
    found = domain(a.domain, a.data)
    engine = Predictor.of(load_run(run), "cpu", "fp32", window=WINDOW)
    s = saved_settings(run)
    windows = list(candidates(engine, found.split("train"), a.size))
    seen: dict[str, list[int] | None] = {"the run itself": None, "trained on, no window": None}
    for seed in range(a.seeds):
        seen[f"suggested {seed}"] = choose(windows, a.k, seed)
    for draw in range(a.draws):
        seen[f"random {draw}"] = (
            np.random.default_rng((s.training.seed, draw)).permutation(len(windows))[: a.k].tolist()
        )
    seen["all windows"] = list(range(len(windows)))
    for way, chosen in seen.items():
        if not way.startswith(a.ways):
            continue
        if any(r["way"] == way and r["run"] == run.parent.name and r["seed"] == s.training.seed for r in rows):
            continue
        began = time.monotonic()
        shares: dict[str, float] = {}
        with tempfile.TemporaryDirectory() as folder:
            if way == "the run itself":
                network = engine
            else:
                given: dict[str, Any] = {
                    "training.steps": a.steps, "optimizer.warmup_steps": a.steps // 6, "method.name": "source-only",
                }  # fmt: skip
                given |= {
                    "training.device": "cpu", "training.precision": "fp32", "patches.workers": 0, "patches.max_class_share": 1.0,
                }  # fmt: skip
                if chosen is not None:
                    shares = annotate([windows[i] for i in chosen], found, a, Path(folder))
                    given |= {"source.name": f"{folder}/annotated.yaml", "target.name": a.domain, "data": folder}
                adapt(
                    make_settings({"network.start": str(run), **given}, presets_of=presets_of),
                    Path(folder) / "run",
                    quiet=True,
                )
                network = Predictor.of(load_run(Path(folder) / "run"), "cpu", "fp32", window=WINDOW)
            scores = evaluate(network, found, "val").scores.as_fields()
        rows.append(
            {
                "way": way, "run": run.parent.name, "seed": s.training.seed, "k": len(chosen or []), "size": a.size,
                "steps": a.steps, "miou": scores["miou"], "iou": {n: v["iou"] for n, v in scores["classes"].items()},
                "labelled": shares, "seconds": round(time.monotonic() - began, 1),
                "windows": [[windows[i].scene, windows[i].row, windows[i].col] for i in chosen or []][: 10 * a.k],
            }
        )  # fmt: skip
        a.out.write_text(json.dumps(rows, indent=1) + "\n")
        print(run.parent.name, s.training.seed, way, f"mIoU {100 * scores['miou']:.1f}", shares, flush=True)


def annotate(windows: list[Candidate], found: Domain, a: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Labels of the windows alone, as a person would leave them, and a domain that reads them; shares of their classes."""
    assert found.legend is not None
    (folder / "labels").mkdir()
    for part in a.data.resolve().iterdir():
        (folder / part.name).symlink_to(part)
    counts = np.zeros(len(found.legend), np.int64)
    for name in sorted({w.scene for w in windows}):
        scene = found.scenes[name]
        truth, _ = scene.whole_label(found.legend)
        label = np.full_like(truth, IGNORE)
        for w in (w for w in windows if w.scene == name):
            here = np.s_[w.row : w.row + a.size, w.col : w.col + a.size]
            label[here] = truth[here]
        counts += np.bincount(label.ravel(), minlength=256)[: len(counts)]
        profile = {"driver": "PNG", "height": label.shape[0], "width": label.shape[1], "count": 1, "dtype": "uint8"}
        with rasterio.open(folder / "labels" / f"{name}.png", "w", **profile) as file:
            file.write(label, 1)
    fields = yaml.safe_load(Path(a.domain).read_text())
    names = found.legend.names
    fields |= {
        "name": "annotated", "labels": ["labels/{part}_{tile}.png"], "ignore": [IGNORE],
        "legend": [{**c, "value": names.index(c["name"])} for c in found.legend.as_fields()],
        "splits": {"train": sorted({w.scene for w in windows})},
    }  # fmt: skip
    (folder / "annotated.yaml").write_text(yaml.safe_dump(fields))
    return {n: round(float(v), 3) for n, v in zip(names, counts / counts.sum(), strict=True)}


def table(rows: list[dict]) -> str:
    """Markdown: mean and standard deviation over runs, and over draws of the random rows, in percent."""
    ways: dict[str, list[dict]] = {}
    for r in rows:
        ways.setdefault(r["way"].rstrip(" 0123456789"), []).append(r)
    names = list(rows[0]["iou"])
    lines = ["| windows | runs | mIoU | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
    for way, some in ways.items():
        cells = [spread([r["miou"] for r in some]), *(spread([r["iou"][n] for r in some]) for n in names)]
        lines.append(f"| {way} | {len(some)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    v = 100 * np.array(values)
    return f"{v.mean():.1f} ± {v.std(ddof=1):.1f}" if len(v) > 1 else f"{v.mean():.1f}"


if __name__ == "__main__":
    main()
