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
    patches: list[Window] = []
    for _ in range(_DRAWS):
        scene = scenes[int(rng.integers(len(scenes)))].without_label()
        grid = scene.grid_at(spec.gsd)
        row, col = random_window(rng, grid.height, grid.width, side)
        patch = scene.read(spec.bands, spec.gsd, (row, col, side, side))
        patches.append(Window((spec.unit(patch.values) * patch.valid).astype(np.float32), patch.valid))
        if sum(window.valid.mean() >= _ENOUGH for window in patches) == _WINDOWS:
            break
    order = sorted(range(len(patches)), key=lambda k: (patches[k].valid.mean() < _ENOUGH, k))
    yield from (patches[k] for k in order[:_WINDOWS])


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
    patches = list(windows(target, settings, spec))
    maps = _classes(predictor, patches)
    earlier_maps = [None] * len(patches) if before is None else _classes(before.predictor, patches, spec)
    rows = [
        Row(patch.unit, patch.valid, earlier_map, map_)
        for patch, earlier_map, map_ in zip(patches, earlier_maps, maps, strict=True)
    ]
    title = f"before: {before.what}" if before else ""
    picture, tags = draw(rows, spec.legend, title, f"after: step {settings.training.steps}"), PngInfo()
    tags.add_text(OWN_PICTURE, "windows of the target")
    with atomic_write(file, overwrite=True) as temporary:
        picture.save(temporary, pnginfo=tags)
    return file


def _classes(predictor: Predictor, patches: list[Window], spec: Spec | None = None) -> list[np.ndarray]:
    """Predict the class indices of windows, (side, side) uint8 each, 255 where invalid.

    Args:
        spec: of the windows' scale, if it is not that of the model.
    """
    model_spec = predictor.trained.spec
    units = np.stack([window.unit for window in patches])
    if spec is not None and (spec.low, spec.high) != (model_spec.low, model_spec.high):
        low, high = (np.array(edge, np.float32)[:, None, None] for edge in (spec.low, spec.high))
        units = np.stack([model_spec.unit(unit * (high - low) + low) for unit in units])
    best = predictor.probabilities(units.astype(np.float32)).argmax(1).astype(np.uint8)
    return [np.where(window.valid, part, np.uint8(IGNORE)) for window, part in zip(patches, best, strict=True)]
