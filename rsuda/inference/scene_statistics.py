"""Take the statistics of batch norm from the scene that is predicted, in one pass over some of its windows.

AdaBN (Li et al., "Revisiting batch normalization for practical domain adaptation", 2016), with the scene as the target.
Few windows say little of a scene, so the model's own statistics count as a number of windows too. This follows
Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation", 2020.

The windows depend on the scene and the model alone. They lie in the whole scene, also where only a part of it is predicted,
and pass in batches of their own in fp32. So a pixel gets the same class under any ``bounds`` and ``batch_size``, and on
a cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.geo.grids.windows import window_starts
from rsuda.geo.rasters.raster import Raster
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.learning.folding import for_prediction
from rsuda.learning.target_statistics import estimate_statistics, has_batch_norm, mix_statistics, pooled_norms
from rsuda.runs.weights import TrainedNetwork

SIZE = 256  # side of a window in pixels of the model's GSD
MOST = 64  # windows that are used
OF_MODEL = 16  # windows that the model's own statistics count as
_BATCH = 16  # windows of a forward pass
_ENOUGH = 8  # windows without nodata, below which windows with some are used too
_READ = 16 * MOST  # windows that are read in search of data


def check_batch_norm(trained: TrainedNetwork) -> None:
    """Refuse a model without batch norm. Raises InputError."""
    if not has_batch_norm(trained.model):
        raise InputError(
            f"the model {trained.path} has no batch norm, so a scene's statistics change nothing in it: "
            f"predict without {spell('adapt', 'statistics')}"
        )


def adapted(predictor: Predictor, scene: Scene, adapt: str) -> Predictor:
    """Adapt a predictor to a scene: 'none', or 'statistics' as ``with_scene_statistics``."""
    return with_scene_statistics(predictor, scene) if adapt == "statistics" else predictor


def with_scene_statistics(predictor: Predictor, scene: Scene) -> Predictor:
    """Return a predictor whose batch norms have the statistics of a scene; ``predictor`` and its model stay as they are.

    Of a scene without data the predictor itself comes back.
    """
    trained = predictor.trained
    windows = [predictor.standardise(patch.values[None], patch.valid[None]) for patch in _windows(predictor, scene)]
    if not windows:
        return predictor
    parts = -(-len(windows) // _BATCH)
    model = copy.deepcopy(trained.model).eval()
    # windows of one batch come from all over the scene; one window says little of a norm that sees one pixel of each
    batches = (torch.cat(windows[part::parts]) for part in range(parts))
    estimate_statistics(model, batches, without=pooled_norms(model, windows[0]))
    mix_statistics(model, trained.model, len(windows) / (len(windows) + OF_MODEL))
    prediction_model = for_prediction(model, len(trained.spec.bands), predictor.precision, predictor.device)
    return replace(predictor, model=prediction_model)


def _windows(predictor: Predictor, scene: Scene) -> list[Raster]:
    """Read the windows: up to MOST without nodata; where these are few, windows that are half valid, or valid at all."""
    spec = predictor.trained.spec
    by_share: list[tuple[float, Raster]] = []
    with scene.file.opened():
        grid = scene.grid_at(spec.gsd)
        height, width = min(SIZE, grid.height), min(SIZE, grid.width)
        for row, col in _places(grid.height, grid.width):
            patch = scene.read(spec.bands, spec.gsd, (row, col, height, width))
            if patch.valid.any():
                by_share.append((float(patch.valid.mean()), _square(patch)))
            if sum(share == 1 for share, _ in by_share) == MOST:
                break
    windows: list[Raster] = []
    for least in (1.0, 0.5, 0.0):
        windows = [patch for share, patch in by_share if share >= least][:MOST]
        if len(windows) >= _ENOUGH:
            break
    return windows


def _places(height: int, width: int) -> Iterator[tuple[int, int]]:
    """List first pixels of windows side by side, in an order whose beginnings are spread over the scene (R2 sequence)."""
    rows, cols = (window_starts(length, SIZE, SIZE) for length in (height, width))
    number = np.arange(len(rows))[:, None] * 0.7548776662466927 + np.arange(len(cols)) * 0.5698402909980532
    for place in np.argsort(number.ravel() % 1, kind="stable")[:_READ]:
        yield rows[place // len(cols)], cols[place % len(cols)]


def _square(patch: Raster) -> Raster:
    """Mirror a window of a scene that is smaller than SIZE."""
    padding = [(0, SIZE - length) for length in patch.valid.shape]
    if not any(count for _, count in padding):
        return patch
    values = np.pad(patch.values, [(0, 0), *padding], mode="symmetric")
    return replace(patch, values=values, valid=np.pad(patch.valid, padding, mode="symmetric"))
