"""Watch the training of a benchmark run: seconds of its steps, and how good its pseudo labels are."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.legend import IGNORE
from rsuda.core.settings import Settings
from rsuda.geo.grids.windows import random_window
from rsuda.learning.device import autocast, pick_precision
from rsuda.methods import find_method


class StepClock(Callback):
    """Seconds of each step but the first few; reading of patches included."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.step = 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step != self.step:  # a step may take several batches
            self.step = trainer.global_step
            self.ends.append(time.perf_counter())

    @property
    def typical(self) -> float | None:
        """Seconds of a step: the mean over ten parts of the run, whose phases differ, of each part's median."""
        steps = np.diff(self.ends[3:])
        parts = np.array_split(steps, min(10, len(steps))) if len(steps) else []
        return round(float(np.mean([np.median(part) for part in parts])), 4) if parts else None


class PseudoLabelCurve(Callback):
    """Quality of the teacher's labels on fixed windows of the target's train split, every fifth of the run.

    Reads target labels, for this curve alone; training never sees them. Nothing for methods without pseudo labels.
    """

    def __init__(self, settings: Settings, target: Any, windows: int = 16) -> None:
        self.images: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.curve: list[dict[str, Any]] = []
        self.step = 0
        self.every = max(1, settings.training.steps // 5)
        self.precision = settings.training.precision
        if not hasattr(find_method(settings.method.name), "pseudo_labels_of") or not target.has_labels(
            settings.target.split
        ):
            return
        self.scenes, self.windows, self.crop, self.legend = (
            target.labelled(settings.target.split),
            windows,
            settings.patches.window,
            target.legend,
        )

    def _read(self, spec: Any) -> None:
        rng = np.random.default_rng(7)
        for _ in range(self.windows):
            scene = self.scenes[int(rng.integers(len(self.scenes)))]
            grid = scene.grid_at(spec.gsd)
            window = (*random_window(rng, grid.height, grid.width, self.crop), self.crop, self.crop)
            self.images.append(spec.unit(scene.read(spec.bands, spec.gsd, window).values))
            table = spec.legend.mapping_from(self.legend)
            self.labels.append(table[scene.read_label(self.legend, spec.gsd, window)[0]])

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step == self.step or step % self.every or not hasattr(self, "scenes"):
            return
        self.step = step  # it may take several batches
        spec, device = module.spec, module.device
        if not self.images:
            self._read(spec)
        x = torch.from_numpy(np.stack(self.images)).float()
        x = (x - torch.tensor(spec.mean)[:, None, None]) / torch.tensor(spec.std)[:, None, None]
        y = torch.from_numpy(np.stack(self.labels))
        with autocast(pick_precision(self.precision, device), device):
            # in batches of the size of training's, by whose statistics a teacher normalises
            results = [module.method.pseudo_labels_of(part.to(device)) for part in x.split(4)]
        label, confidence = (
            torch.cat([getattr(result, k) for result in results]).cpu() for k in ("label", "confidence")
        )
        has_label = y != IGNORE
        sure = has_label & (confidence >= 0.8)
        self.curve.append(
            {
                "step": step,
                "accuracy": float((label == y)[has_label].float().mean()),
                "sure_share": float(sure.sum() / has_label.sum()),
                "sure_accuracy": float((label == y)[sure].float().mean()) if sure.any() else None,
                "predicted_share": [
                    float(((label == k) & has_label).sum() / has_label.sum()) for k in range(len(spec.legend))
                ],
                "true_share": [float(((y == k) & has_label).sum() / has_label.sum()) for k in range(len(spec.legend))],
            }
        )
