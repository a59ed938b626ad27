"""Record target scores during training, for monitoring only; they never select a model."""

from __future__ import annotations

import copy
import csv
import logging
from pathlib import Path
from typing import Any

import torch

from rsuda.core.atomic import atomic_write
from rsuda.core.settings import Settings
from rsuda.data.domains.domain import Domain
from rsuda.evaluation.evaluate import evaluate
from rsuda.evaluation.metrics import Scores
from rsuda.inference.predictor import Predictor
from rsuda.learning.device import pick_device, pick_precision
from rsuda.runs.folders import CURVE
from rsuda.runs.weights import TrainedNetwork
from rsuda.training.callbacks import Callback

logger = logging.getLogger("rsuda")


class TargetCurve(Callback):
    """Callback that scores the model every N steps, and after the last one, on a labelled split of the target.

    It writes ``target_curve.csv``: step, miou and the IoU of each class, in 0..1 (empty for a class without pixels).

    Training is unaffected: a copy of the model is scored, so modes and batch-norm statistics stay, and torch's random state
    is restored. The scores are those of the model at that step. Where batch norm is estimated on the target after the last
    step, the saved model scores differently.

    Args:
        folder: the run folder.
        domain, split: the scored split.
        every: optimizer steps between two scores.
        precision: 'bf16' or 'fp32', as in training.
    """

    def __init__(self, folder: Path, domain: Domain, split: str, every: int, precision: str) -> None:
        self.file, self.domain, self.split, self.every, self.precision = folder / CURVE, domain, split, every, precision
        self.rows: list[dict[str, Any]] = []

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Read the rows up to the step that a resumed run continues from."""
        step = trainer.global_step
        self.rows = [row for row in read_curve(self.file) if row["step"] <= step] if step else []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step == 0 or (step % self.every and step != trainer.max_steps):
            return
        if any(row["step"] == step for row in self.rows):
            return
        device = next(module.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            scores = self._scores(module, str(device))
        values = [scores.miou, *scores.iou.tolist()]
        names = ["miou", *scores.names]
        self.rows.append(
            {
                "step": step,
                **{name: None if value != value else value for name, value in zip(names, values, strict=True)},
            }
        )
        write_curve(self.rows, self.file)

    def _scores(self, module: Any, device: str) -> Scores:
        network = TrainedNetwork(copy.deepcopy(module.model), module.spec, self.file.parent, "", "")
        return evaluate(Predictor.of(network, device, self.precision), self.domain, self.split).scores


def watch_target(settings: Settings, target: Domain, folder: Path) -> list[Callback]:
    """Return the callbacks that record the curve of a run; none where the settings do not ask for it."""
    if not settings.validation.every:
        return []
    if not target.has_labels(settings.validation.split):
        logger.warning(
            "note: %s has %s: its scores are not recorded",
            target.name,
            target.missing_labels(settings.validation.split),
        )
        return []
    precision = pick_precision(settings.training.precision, pick_device(settings.training.device))
    return [TargetCurve(folder, target, settings.validation.split, settings.validation.every, precision)]


def write_curve(rows: list[dict[str, Any]], file: Path) -> None:
    """Write rows of a curve, step first, as ``read_curve`` reads them."""
    with atomic_write(file, overwrite=True) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(rows[0])
        for row in rows:
            step, *values = row.values()
            writer.writerow([step, *("" if value is None else round(value, 6) for value in values)])


def read_curve(file: Path) -> list[dict[str, Any]]:
    """Read the rows of a curve: step (int), miou and classes (float or None). No file gives no rows."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        {name: int(text) if name == "step" else float(text) if text else None for name, text in row.items()}
        for row in rows
    ]
