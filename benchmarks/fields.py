"""Run methods on playing fields and write one JSON a run: scores of the last checkpoint, pseudo-label accuracy over time.

    python benchmarks/fields.py --data DATA --weights FILE --out DIR --field configs/fields/dubai_mumbai.yaml \
        --method st-dasegnet --seed 0 [--set option=value] [--steps N]

Method 'oracle' is source-only trained on the target's labels. Target labels are read here, for scores and for the
pseudo-label curve, and nowhere in training. A run whose JSON exists is skipped.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.adapt import adapt, domains_of
from rsuda.config import parse_option, settings
from rsuda.data import unit
from rsuda.evaluate import evaluate
from rsuda.legend import IGNORE
from rsuda.predict import Engine
from rsuda.run import load_run
from rsuda.tiles import random_window


class PseudoLabelCurve(Callback):
    """Accuracy of the teachers' labels on fixed windows of the target's train split, every tenth of the run."""

    def __init__(self, s: Any, windows: int = 24) -> None:
        target, rng = domains_of(s)[1], np.random.default_rng(7)
        scenes, self.curve = target.labelled(s.target_split), []
        self.every, self.images, self.labels = max(1, s.steps // 10), [], []
        for _ in range(windows):
            scene = scenes[int(rng.integers(len(scenes)))]
            gsd = target.gsd
            grid = scene.grid_at(gsd)
            window = (*random_window(rng, grid.height, grid.width, s.crop), s.crop, s.crop)
            self.images.append(scene.read(target.bands, gsd, window).values)
            self.labels.append(scene.read_label(target.legend, gsd, window)[0])

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if trainer.global_step % self.every or not hasattr(module, "pseudo_labels_of"):
            return
        spec = module.spec
        x = torch.from_numpy(np.stack([unit(v, spec) for v in self.images]))
        x = (x - torch.tensor(spec.mean)[:, None, None]) / torch.tensor(spec.std)[:, None, None]
        y = torch.from_numpy(np.stack(self.labels))
        with torch.autocast("cpu", torch.bfloat16, enabled=module.device.type == "cpu"):
            found = module.pseudo_labels_of(x.to(module.device))
        label, confidence = found.label.cpu(), found.confidence.cpu()
        known = y != IGNORE
        sure = known & (confidence >= 0.8)
        classes = range(len(spec.legend))
        self.curve.append({
            "step": trainer.global_step,
            "accuracy": float((label == y)[known].float().mean()),
            "sure_share": float(sure.sum() / known.sum()),
            "sure_accuracy": float((label == y)[sure].float().mean()) if sure.any() else None,
            "predicted_share": [float(((label == k) & known).sum() / known.sum()) for k in classes],
            "true_share": [float(((y == k) & known).sum() / known.sum()) for k in classes],
        })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", default="none")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--field", type=Path, required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--name", default="")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--also", action="append", default=[], help="setting=value of the run, e.g. workers=0")
    a = parser.parse_args()
    name = a.name or f"{a.field.stem}_{a.method}_{a.seed}"
    report = a.out / f"{name}.json"
    if report.exists():
        return
    given = dict(parse_option(o) for o in a.also)
    if a.method == "oracle":
        given |= {"source": settings(a.field).target, "method": "source-only"}
    else:
        given["method"] = a.method
    s = settings(
        a.field, data=a.data, weights=a.weights, seed=a.seed, steps=a.steps,
        options=dict(parse_option(o) for o in a.set), **given,
    )  # fmt: skip
    curve, began = PseudoLabelCurve(s), time.monotonic()
    adapt(s, a.out / name, overwrite=True, quiet=True, callbacks=[curve])
    seconds = time.monotonic() - began
    found = evaluate(Engine.of(load_run(a.out / name)), domains_of(s)[1], s.score_split)
    fields = {
        "field": a.field.stem, "method": a.method, "seed": a.seed, "steps": s.steps, "options": s.options,
        "seconds": round(seconds), "threads": torch.get_num_threads(), "machine": platform.processor() or platform.machine(),
        "pseudo_labels": curve.curve, **found.as_fields(),
    }  # fmt: skip
    report.write_text(json.dumps(fields, indent=1) + "\n")
    per_class = " ".join(f"{n} {100 * v:.1f}" for n, v in zip(found.scores.names, found.scores.iou, strict=True))
    print(f"{name}: mIoU {100 * found.scores.miou:.1f} ({per_class}) in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
