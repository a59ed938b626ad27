"""Estimate a run's batch-norm statistics again on unlabelled target patches, and score it: how much of a method's gain that is.

python benchmarks/target_statistics.py RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from rsuda.adapt import domains_of
from rsuda.augment import Augmentation
from rsuda.data import Patches, pair
from rsuda.evaluate import evaluate
from rsuda.predict import Engine
from rsuda.run import load_run, saved_settings


def main(run: Path, batches: int = 20, batch_size: int = 8) -> None:
    s, trained = saved_settings(run), load_run(run)
    source, target = domains_of(s)
    found = pair(source, target, s)
    patches = Patches(found, s, with_target=True)
    spec = found.target_spec
    augmentation = Augmentation((spec.mean, spec.std), (spec.mean, spec.std), photometric=False, target_geometry=False)
    trained.model.train()
    for module in trained.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain average over the batches
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for k in range(batches):
            drawn = [patches._target(np.random.default_rng((9, k, i))) for i in range(batch_size)]
            image, valid = (torch.from_numpy(np.stack(v)) for v in zip(*drawn, strict=True))
            trained.model(augmentation.target(image, valid)[0])
    scores = evaluate(Engine.of(trained), target, s.score_split).scores
    per_class = " ".join(f"{n} {100 * v:.1f}" for n, v in zip(scores.names, scores.iou, strict=True))
    print(f"{run}: mIoU {100 * scores.miou:.1f} ({per_class})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
