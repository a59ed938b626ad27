"""One run of a benchmark: train, score with and without labels, write ``result.json``."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.atomic import atomic_write
from rsuda.core.legend import IGNORE
from rsuda.core.machine import peak_memory, reset_peak_memory
from rsuda.core.settings import Settings
from rsuda.data.find_domain import find_domains
from rsuda.evaluation.evaluate import evaluate
from rsuda.evaluation.label_free import label_free
from rsuda.evaluation.target_curve import watch_target
from rsuda.geo.grids.windows import random_window
from rsuda.inference.predictor import Predictor
from rsuda.learning.device import autocast, pick_device, pick_precision
from rsuda.methods import find_method
from rsuda.runs.folders import CHECKPOINT
from rsuda.runs.weights import load_run
from rsuda.training.train import train

RESULT = "result.json"


@dataclass(frozen=True)
class BenchmarkRun:
    """One run of a benchmark."""

    pair: str
    method: str
    seed: int
    settings: Settings
    folder: Path

    @property
    def done(self) -> bool:
        return (self.folder / RESULT).is_file()


def run_job(job: BenchmarkRun, on: str, threads: int) -> dict[str, Any]:
    """Train, or go on from a checkpoint; score with and without labels; write and return the fields of ``result.json``.

    Raises InputError, MissingError, ExistsError as ``rsuda.training.train.train``.
    """
    torch.set_num_threads(threads)
    before = _start_peak()
    settings = job.settings.changed({"training.device": on})
    domains = find_domains(settings)
    target = domains[1]
    clock, curve = StepClock(), PseudoLabelCurve(settings, target)
    resume = (job.folder / CHECKPOINT).is_file()
    callbacks = [*watch_target(settings, target, job.folder), clock, curve]
    train(settings, job.folder, overwrite=not resume, resume=resume, quiet=True, callbacks=callbacks, objects=domains)
    engine = Predictor.of(load_run(job.folder), settings.training.device, settings.training.precision)
    results = evaluate(engine, target, settings.validation.split)
    device = pick_device(settings.training.device)
    gpu = device.type == "cuda"
    fields = {
        "pair": job.pair,
        "row": job.method,
        "method": settings.method.name,
        "seed": job.seed,
        "steps": settings.training.steps,
        "options": settings.method.options,
        "seconds_per_step": clock.typical,
        "peak_memory_mb": _peak(device, before),
        "threads": threads,
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "precision": engine.precision,
        "label_free": label_free(engine, target, settings.target.split).as_fields(),
        "pseudo_labels": curve.curve,
        **results.as_fields(),
        "confusion_by_scene": {name: matrix.tolist() for name, matrix in results.by_scene.items()},
    }
    with atomic_write(job.folder / RESULT, overwrite=True) as temporary:
        temporary.write_text(_a_line_each(fields), encoding="utf-8", newline="\n")
    return fields


def _a_line_each(fields: dict[str, Any]) -> str:
    """Format fields as JSON with one line for each."""
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _start_peak() -> int:
    """Free what an earlier run of this process holds, and count peaks from now on. Returns the process's peak in bytes."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)
    reset_peak_memory()
    return peak_memory() or 0


def _peak(device: torch.device, before: int) -> int | None:
    """Highest memory of the run in MB: of the GPU, or of this process; None where an earlier run's peak hides it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    peak = peak_memory() or 0
    return peak // 2**20 if peak > before else None


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
    """How good the teacher's labels are on fixed windows of the target's train split, every fifth of the run.

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
        known = y != IGNORE
        sure = known & (confidence >= 0.8)
        self.curve.append(
            {
                "step": step,
                "accuracy": float((label == y)[known].float().mean()),
                "sure_share": float(sure.sum() / known.sum()),
                "sure_accuracy": float((label == y)[sure].float().mean()) if sure.any() else None,
                "predicted_share": [float(((label == k) & known).sum() / known.sum()) for k in range(len(spec.legend))],
                "true_share": [float(((y == k) & known).sum() / known.sum()) for k in range(len(spec.legend))],
            }
        )


if __name__ == "__main__":
    from rsuda.benchmark.command import main

    raise SystemExit(main())
