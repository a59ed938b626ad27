"""The target metric while a network is trained: for looking at, never for choosing anything."""

from __future__ import annotations

import copy
import csv
import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.atomic import atomic_write
from rsuda.core.settings import CURVE, Settings
from rsuda.data.domain import Domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.evaluation.metrics import Scores
from rsuda.inference.predictor import Predictor
from rsuda.learning.device import pick_device, pick_precision
from rsuda.runs.weights import TrainedNetwork

logger = logging.getLogger("rsuda")


class TargetCurve(Callback):
    """Scores the network of every so many steps, and of the last one, on a labelled split of the target, and writes
    ``target_curve.csv``: step, miou and the IoU of each class, in 0..1 (empty for a class that is nowhere).

    It only watches. A copy of the network is scored, so that modes and batch-norm statistics of the one that is trained
    stay as they are, and torch's random state is put back. The scores are those of the network as it is at that step:
    where batch norm is estimated on the target after the last step, the network that is saved scores otherwise.

    Args:
        folder: the run folder.
        every: optimiser steps.
        precision: 'bf16' or 'fp32', as the run is trained.
    """

    def __init__(self, folder: Path, domain: Domain, split: str, every: int, precision: str) -> None:
        self.file, self.domain, self.split, self.every, self.precision = folder / CURVE, domain, split, every, precision
        self.rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Keep the rows of the steps before the one that a resumed run continues from."""
        step = trainer.global_step
        self.rows = [r for r in read_curve(self.file) if r["step"] <= step] if step else []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step == 0 or (step % self.every and step != trainer.max_steps):
            return
        if any(r["step"] == step for r in self.rows):
            return
        device = next(module.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            found = self._scores(module, str(device))
        values = [found.miou, *found.iou.tolist()]
        names = ["miou", *found.names]
        self.rows.append({"step": step, **{n: None if v != v else v for n, v in zip(names, values, strict=True)}})
        write_curve(self.rows, self.file)

    def _scores(self, module: Any, device: str) -> Scores:
        network = TrainedNetwork(copy.deepcopy(module.model), module.spec, self.file.parent, "", "")
        return evaluate(Predictor.of(network, device, self.precision), self.domain, self.split).scores


def watch_target(s: Settings, target: Domain, folder: Path) -> list[Callback]:
    """The curve of a run whose settings ask for one, as callbacks of its training."""
    if not s.score_every:
        return []
    if not target.has_labels(s.score_split):
        logger.warning(
            "note: %s has no labelled split '%s', so there is no curve of its scores", target.name, s.score_split
        )
        return []
    precision = pick_precision(s.precision, pick_device(s.device))
    return [TargetCurve(folder, target, s.score_split, s.score_every, precision)]


def write_curve(rows: list[dict[str, Any]], file: Path) -> None:
    with atomic_write(file, overwrite=True) as temporary, temporary.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(rows[0])
        writer.writerows([r["step"], *("" if v is None else round(v, 6) for v in list(r.values())[1:])] for r in rows)


def read_curve(file: Path) -> list[dict[str, Any]]:
    """Rows of a curve: step (int), miou and classes (float or None). No file, no rows."""
    if not file.is_file():
        return []
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [{k: int(v) if k == "step" else float(v) if v else None for k, v in r.items()} for r in rows]
