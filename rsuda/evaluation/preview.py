"""Show three windows of a run's target before and after adaptation, in a small picture of the run folder.

"Before" is the model at the end of the run's source-only phase. A run without this phase shows the trained model that it
starts from, or no "before". Labels are never read.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import RsudaError
from rsuda.core.legend import IGNORE
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec
from rsuda.data.domain import Domain
from rsuda.evaluation.preview_picture import Row, draw
from rsuda.geo.windows import random_window
from rsuda.inference.predictor import Predictor
from rsuda.learning.device import pick_device, pick_precision
from rsuda.runs.folders import PREVIEW, PREVIEW_BEFORE
from rsuda.runs.weights import TrainedNetwork, load_run

_WINDOWS, _SIDE = 3, 256  # windows of a picture, and their pixels per side at most
_DRAWS = 24  # windows among which the first with data are taken
_ENOUGH = 0.9  # share of valid pixels


@dataclass(frozen=True)
class Window:
    """Pixels of a window: (bands, side, side) float32 on 0..1, and (side, side) bool, True where valid."""

    unit: np.ndarray
    valid: np.ndarray


class PreviewBefore(Callback):
    """Callback that predicts the windows of the picture at the end of the source-only phase, for ``write_preview``.

    Training is unaffected: a copy of the model predicts, and torch's random state is restored.

    Args:
        folder: the run folder.
        settings: of the run.
        target: whose images are shown.
        precision: 'bf16' or 'fp32', as in training.
    """

    def __init__(self, folder: Path, settings: Settings, target: Domain, precision: str) -> None:
        self.folder, self.settings, self.target, self.precision = folder, settings, target, precision

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        method = module.method
        share = getattr(method.options, "source_only_share", 0.0) if hasattr(method, "options") else 0.0
        if not trainer.is_global_zero or not 0 < share < 1 or getattr(method, "votes_missing", False):
            return
        if trainer.global_step != math.ceil(share * trainer.max_steps) or (self.folder / PREVIEW_BEFORE).is_file():
            return
        device = next(module.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            network = TrainedNetwork(copy.deepcopy(module.model), module.spec, self.folder, "", "")
            predictor = Predictor.of(network, str(device), self.precision)
            classes = _classes(predictor, list(windows(self.target, self.settings, module.spec)))
        with atomic_write(self.folder / PREVIEW_BEFORE, overwrite=True) as temporary, temporary.open("wb") as stream:
            np.save(stream, np.stack([np.full_like(classes[0], IGNORE), *classes]), allow_pickle=False)


def windows(target: Domain, settings: Settings, spec: Spec) -> Iterator[Window]:
    """Draw the windows of the picture among the target's training scenes by a fixed key; no label is read."""
    rng, side = np.random.default_rng(0), min(_SIDE, settings.patches.window)
    split = settings.target.split
    scenes = target.split(split if split in target.splits else "all")
    drawn: list[Window] = []
    for _ in range(_DRAWS):
        scene = scenes[int(rng.integers(len(scenes)))].without_label()
        grid = scene.grid_at(spec.gsd)
        row, col = random_window(rng, grid.height, grid.width, side)
        patch = scene.read(spec.bands, spec.gsd, (row, col, side, side))
        drawn.append(Window((spec.unit(patch.values) * patch.valid).astype(np.float32), patch.valid))
        if sum(window.valid.mean() >= _ENOUGH for window in drawn) == _WINDOWS:
            break
    order = sorted(range(len(drawn)), key=lambda k: (drawn[k].valid.mean() < _ENOUGH, k))
    yield from (drawn[k] for k in order[:_WINDOWS])


def watch_preview(settings: Settings, target: Domain, folder: Path) -> list[Callback]:
    """Return the callback that remembers what the picture shows as "before"."""
    precision = pick_precision(settings.training.precision, pick_device(settings.training.device))
    return [PreviewBefore(folder, settings, target, precision)]


def write_preview(predictor: Predictor, folder: Path, settings: Settings, target: Domain) -> Path:
    """Write ``preview.png`` of a finished run; an existing one stays, since a run that is resumed at its end has it already.

    Args:
        predictor: the run's model.
    """
    file, before_file = folder / PREVIEW, folder / PREVIEW_BEFORE
    if file.is_file() and not before_file.is_file():
        return file
    spec = predictor.trained.spec
    drawn = list(windows(target, settings, spec))
    before, title = _before(before_file, drawn, settings, spec, predictor)
    after = _classes(predictor, drawn)
    rows = [
        Row(window.unit, window.valid, None if before is None else before[k], after[k])
        for k, window in enumerate(drawn)
    ]
    with atomic_write(file, overwrite=True) as temporary:
        draw(rows, spec.legend, title, f"after: step {settings.training.steps}").save(temporary)
    before_file.unlink(missing_ok=True)
    return file


def _before(
    file: Path, drawn: list[Window], settings: Settings, spec: Spec, predictor: Predictor
) -> tuple[list[np.ndarray] | None, str]:
    """Return the classes of each window before adaptation, and what this is called; None without an honest "before"."""
    with suppress(OSError, ValueError):
        stored = np.load(file, allow_pickle=False)
        if stored.shape[1:] == drawn[0].valid.shape and len(stored) == len(drawn) + 1:
            return list(stored[1:]), "before: source only"
    if settings.network.start:
        with suppress(RsudaError):
            start = load_run(settings.network.start)
            if start.spec.legend.names == spec.legend.names and start.spec.bands == spec.bands:
                earlier = Predictor.of(start, str(predictor.device), predictor.precision)
                return _classes(earlier, drawn, spec), "before: the run it starts from"
    return None, ""


def _classes(predictor: Predictor, drawn: list[Window], spec: Spec | None = None) -> list[np.ndarray]:
    """Predict the class indices of windows, (side, side) uint8 each, 255 where invalid.

    Args:
        spec: of the windows' scale, if it is not that of the model.
    """
    expected = predictor.trained.spec
    units = np.stack([window.unit for window in drawn])
    if spec is not None and (spec.low, spec.high) != (expected.low, expected.high):
        low, high = (np.array(edge, np.float32)[:, None, None] for edge in (spec.low, spec.high))
        units = np.stack([expected.unit(unit * (high - low) + low) for unit in units])
    best = predictor.probabilities(units.astype(np.float32)).argmax(1).astype(np.uint8)
    return [np.where(window.valid, part, np.uint8(IGNORE)) for window, part in zip(drawn, best, strict=True)]
