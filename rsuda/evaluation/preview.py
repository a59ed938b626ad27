"""Show three windows of a run's target before and after adaptation, in a small picture of the run folder.

Labels are never read. ``rsuda.evaluation.before`` says which model is "before".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngInfo

from rsuda.core.atomic import atomic_write
from rsuda.core.display import OWN_PICTURE
from rsuda.core.legend import IGNORE
from rsuda.core.settings import Settings
from rsuda.core.spec import Spec
from rsuda.data.domains.domain import Domain
from rsuda.evaluation.before import ModelBefore
from rsuda.evaluation.preview_picture import Row, draw
from rsuda.geo.grids.windows import random_window
from rsuda.inference.predictor import Predictor
from rsuda.runs.folders import PREVIEW

_WINDOWS, _SIDE = 3, 256  # windows of a picture, and their pixels per side at most
_DRAWS = 24  # windows among which the first with data are taken
_ENOUGH = 0.9  # share of valid pixels


@dataclass(frozen=True)
class Window:
    """Pixels of a window: (bands, side, side) float32 on 0..1, and (side, side) bool, True where valid."""

    unit: np.ndarray
    valid: np.ndarray


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


def write_preview(
    predictor: Predictor, before: ModelBefore | None, folder: Path, settings: Settings, target: Domain
) -> Path:
    """Write ``preview.png`` of a finished run; an existing one stays, since a run that is resumed at its end has it already.

    Args:
        predictor: the run's model.
        before: the model before adaptation; without it the picture has no such column.
    """
    file = folder / PREVIEW
    if file.is_file() and before is None:
        return file
    spec = predictor.trained.spec
    drawn = list(windows(target, settings, spec))
    maps_before = None if before is None else _classes(before.predictor, drawn, spec)
    after = _classes(predictor, drawn)
    rows = [
        Row(window.unit, window.valid, None if maps_before is None else maps_before[k], after[k])
        for k, window in enumerate(drawn)
    ]
    title = f"before: {before.what}" if before else ""
    picture, tags = draw(rows, spec.legend, title, f"after: step {settings.training.steps}"), PngInfo()
    tags.add_text(OWN_PICTURE, "windows of the target")
    with atomic_write(file, overwrite=True) as temporary:
        picture.save(temporary, pnginfo=tags)
    return file


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
