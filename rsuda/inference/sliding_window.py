"""Predict a scene of any size: windows row by row, blended probabilities, classes on the scene's own grid.

Memory holds one row of windows, never the scene: K x window x width probabilities, whose finished rows leave at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from rsuda.core.capacity import check_memory
from rsuda.core.legend import IGNORE
from rsuda.core.spelling import spell
from rsuda.data.checks.gsd_limit import check_gsd
from rsuda.geo.grids.resample import AxisWeights, axis_weights, weigh
from rsuda.geo.grids.windows import blend_weights
from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.forward_passes import PredictedWindows, predicted_windows
from rsuda.inference.predictor import Predictor
from rsuda.inference.window_grid import WindowGrid
from rsuda.learning.calibration import tempered
from rsuda.learning.most_likely import most_likely_probability

SLICE = 128  # rows of the scene that are brought to its own grid at once

OnBatch = Callable[[int, list[int]], None]  # first row and first columns of a batch of windows


@dataclass(frozen=True)
class Strip:
    """Rows of a prediction on the scene's own grid.

    Attributes:
        row: the first, counted from the region's first.
        classes: (h, W) uint8; 255 where the scene is nodata and outside the region.
        confidence: (h, W) uint8, probability of the most likely class, 0 to 254 for 0..1; 255 is nodata.
        probabilities: (K, h, W) uint8 in the same scale; None unless requested.
        col: the first column, counted from the region's first.
    """

    row: int
    classes: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None = None
    col: int = 0


def strip_rows(predictor: Predictor, scene: Scene) -> int:
    """Return the height of a stored strip in rows of the scene: four strides of windows, a multiple of SLICE.

    A strip that is predicted alone reads one more row of windows than it needs as part of the whole.
    """
    rows = 4 * (predictor.window - predictor.overlap) * scene.step(predictor.trained.spec.gsd)[0]
    return max(1, round(rows / SLICE)) * SLICE


def strips(
    predictor: Predictor,
    scene: Scene,
    region: Region,
    *,
    rows: tuple[int, int] | None = None,
    cols: tuple[int, int] | None = None,
    probabilities: bool = False,
    min_confidence: float = 0.0,
) -> Iterator[Strip]:
    """Predict rows of a region from top to bottom, up to SLICE rows a strip.

    The scene is read at the model's GSD in overlapping windows. Their probabilities are blended by a partition of unity, and
    the blend is resampled to the scene's own pixels before it becomes classes. The windows depend on the scene alone, so
    a part of a scene gets the pixels that it gets in the whole.

    Args:
        rows: first row of the region, and the row after the last; all by default. For the same bits as in the whole the
            first must be a multiple of SLICE.
        cols: first column of the region, and the column after the last; all by default.
        probabilities: whether strips hold the probabilities of all classes.
        min_confidence: probability below which a pixel is undecided: it has the class after the legend's last.
    """
    spec = predictor.trained.spec
    row0, col0, _, width = region.window
    left, right = cols or (0, width)
    for row, blend in blended(predictor, scene, region, rows=rows, cols=(left, right)):
        count = blend.shape[1]
        if spec.bias:  # a vector scaling may change classes
            blend = tempered(blend, spec.temperature, bias=spec.bias)
        best, classes = most_likely_probability(blend)
        if spec.temperature and not spec.bias:  # after the choice of classes, which stays as it is
            blend = tempered(blend, spec.temperature)
            best = blend.amax(0)
        if min_confidence > 0:
            classes.masked_fill_(best < min_confidence, len(spec.legend))
        valid = scene.valid(spec.bands, (row0 + row, col0 + left, count, right - left))
        inside = region.inside(row, count)
        if inside is not None:
            inside = inside[:, left:right]
            valid = inside if valid is None else valid & inside
        yield Strip(
            row,
            _masked(classes, valid),
            _masked(_bytes(best), valid),
            _masked(_bytes(blend), valid) if probabilities else None,
            left,
        )


def blended(
    predictor: Predictor,
    scene: Scene,
    region: Region,
    *,
    rows: tuple[int, int] | None = None,
    cols: tuple[int, int] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Blend the probabilities of a region's rows on the scene's own grid, before any temperature.

    Args:
        rows, cols: see ``strips``.

    Returns:
        (first row within the region, (K, rows, width) float32 probabilities), up to SLICE rows at once.
    """
    spec = predictor.trained.spec
    check_gsd(scene, spec.gsd)
    first, end = rows or (0, region.grid.height)
    step, grid = scene.step(spec.gsd), scene.grid_at(spec.gsd)
    row0, col0, _, width = region.window
    same_gsd = step == (1, 1)

    def source_rows(row: int, count: int) -> tuple[int, int, AxisWeights | None]:
        """Find the rows at the model's GSD that rows of the region are resampled from, with their weights."""
        if same_gsd:
            return row0 + row, row0 + row + count, None
        return axis_weights(grid.height, (row0 + row) / step[0], 1 / step[0], count)

    left, right, across = axis_weights(grid.width, col0 / step[1], 1 / step[1], width)
    if cols is not None:
        left, right, across = _part_of_axis(left, across, *cols)
    if same_gsd:
        left, right = (col0, col0 + width) if cols is None else (col0 + cols[0], col0 + cols[1])
    slices = [(row, min(SLICE, end - row)) for row in range(first, end, SLICE)]
    needed = source_rows(*slices[0])[0], source_rows(*slices[-1])[1]
    pieces = _RowReader(finished_rows(predictor, scene, rows=needed, cols=(left, right)))
    for row, count in slices:
        top, bottom, down = source_rows(row, count)
        blend = pieces.take(top, bottom)
        if down is not None:
            blend = torch.from_numpy(weigh(blend.cpu().numpy(), down, across))
        yield row, blend


def _part_of_axis(first: int, weights: AxisWeights, start: int, end: int) -> tuple[int, int, AxisWeights]:
    """Cut weights to output pixels ``start`` to ``end``: the range of input pixels, and the very weights of the whole axis."""
    pixel = weights.pixel[start:end]
    low, high = int(pixel.min()), int(pixel.max())
    return first + low, first + high + 1, AxisWeights(pixel - low, weights.weight[start:end])


def _bytes(probabilities: Tensor) -> Tensor:
    return (probabilities * 254).round_().clamp_(max=254).to(torch.uint8)


def _masked(values: Tensor, valid: np.ndarray | None) -> np.ndarray:
    pixels: np.ndarray = values.cpu().numpy()
    if valid is not None:
        pixels[..., ~valid] = IGNORE
    return pixels


class _RowReader:
    """Rows of (K, h, W) pieces that arrive one after another, taken in order; earlier rows are forgotten."""

    def __init__(self, pieces: Iterator[tuple[int, Tensor]]) -> None:
        self.pieces = pieces
        self.row, self.rows = 0, None

    row: int
    rows: Tensor | None

    def take(self, top: int, bottom: int) -> Tensor:
        """Return rows ``top`` to ``bottom``; ``top`` never decreases from call to call."""
        while self.rows is None or self.row + self.rows.shape[1] < bottom:
            rest = None
            if self.rows is not None and top < self.row + self.rows.shape[1]:
                rest = self.rows[:, top - self.row :].clone()  # the piece's memory is used again
            self.row, piece = next(self.pieces)
            if rest is not None:
                self.row, piece = self.row - rest.shape[1], torch.cat([rest, piece], 1)
            self.rows = piece
        return self.rows[:, top - self.row : bottom - self.row]


class Blend:
    """Blended class probabilities of the rows that windows still add to, (K, h, width) float32 on the device.

    Its first row is the first row of the latest row of windows, its first column that of the first needed window.
    """

    def __init__(self, windows: WindowGrid, top: int) -> None:
        """Begin at row ``top``. Raises InputError when the memory of this machine cannot hold the blend."""
        self.windows, self.predictor = windows, windows.predictor
        grid, window, spec = windows.grid, self.predictor.window, self.predictor.trained.spec
        self.down = blend_weights(grid.height, window, windows.rows)
        self.across = blend_weights(grid.width, window, windows.cols)
        self.height, self.width, self.top = min(window, grid.height), windows.width, top
        check_memory(
            4 * (len(spec.legend) + 3 * len(spec.bands)) * self.height * self.width,
            f"a row of windows of {windows.scene.image}, {self.width} px wide at the model's GSD,",
            f"predict it in parts ({spell('bounds')}, {spell('aoi')})",
        )
        self.sums = torch.zeros((len(spec.legend), self.height, self.width), device=self.predictor.device)

    def move_to(self, top: int) -> None:
        """Forget the rows above ``top`` and make room for new ones below."""
        count, self.top = top - self.top, top
        if not count:
            return
        self.sums[:, : self.height - count] = self.sums[:, count:].clone()
        self.sums[:, self.height - count :] = 0

    def add(self, batch: PredictedWindows) -> None:
        """Add windows, each with the weights of its place."""
        if batch.probabilities is None:
            return
        device, window = self.predictor.device, self.predictor.window
        down = torch.from_numpy(self.down[batch.row][: self.height, None]).to(device)
        for probabilities, k in zip(batch.probabilities, batch.columns, strict=True):
            left = self.windows.cols[k] - self.windows.first_col
            width = min(window, self.width - left)
            weight = down * torch.from_numpy(self.across[k][None, :width]).to(device)
            self.sums[:, :, left : left + width].addcmul_(probabilities[:, : self.height, :width], weight)

    def leave(self, first: int, end: int) -> Tensor:
        """Return the finished rows ``first`` to ``end`` of the columns that the grid was made for, as a view."""
        left = self.windows.left - self.windows.first_col
        right = self.windows.right - self.windows.first_col
        return self.sums[:, first - self.top : end - self.top, left:right]


def finished_rows(
    predictor: Predictor,
    scene: Scene,
    *,
    rows: tuple[int, int],
    cols: tuple[int, int],
    on_batch: OnBatch | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Predict a part of a scene at the model's GSD, piece by piece from top to bottom.

    Args:
        rows, cols: first pixel and the one after the last.
        on_batch: called with the first row and columns of each batch of windows after the forward pass.

    Returns:
        (first row, (K, rows, columns) float32 blended class probabilities on the device). A piece is valid until the next
        one is requested.
    """
    start, stop = rows
    windows = WindowGrid(predictor, scene, *cols)
    needed = [i for i, row in enumerate(windows.rows) if row < stop and row + predictor.window > start]
    blend = Blend(windows, windows.rows[needed[0]])
    batches = predicted_windows(predictor, windows, needed, at_once=None if on_batch is None else 1)
    ends = [*(min(stop, windows.rows[i]) for i in needed[1:]), stop]
    for (i, of_row), end in zip(groupby(batches, lambda batch: batch.row), ends, strict=True):
        first = windows.rows[i]
        blend.move_to(first)
        for batch in of_row:
            if on_batch is not None and batch.columns:
                on_batch(first, [windows.cols[k] for k in batch.columns])
            blend.add(batch)
        if end > max(start, first):
            yield max(start, first), blend.leave(max(start, first), end)


@dataclass(frozen=True)
class SceneArrays:
    """``classes`` and ``confidence`` (H, W) uint8 of a whole scene; see Strip."""

    classes: np.ndarray
    confidence: np.ndarray


def predict_scene(predictor: Predictor, scene: Scene) -> SceneArrays:
    """Predict a whole scene in memory, for scenes that are scored or looked at."""
    pieces = list(strips(predictor, scene, Region.of(scene)))
    return SceneArrays(
        np.concatenate([strip.classes for strip in pieces]), np.concatenate([strip.confidence for strip in pieces])
    )


def predict_tile(predictor: Predictor, scene: Scene, row: int, col: int, size: int) -> np.ndarray:
    """Predict the classes (size, size) of one tile of the scene's own pixels alone, as published protocols do."""
    spec, step = predictor.trained.spec, scene.step(predictor.trained.spec.gsd)
    patch = scene.read(spec.bands, None, (row, col, size, size))
    image = spec.unit(patch.values) * patch.valid
    counts = [max(1, round(size / length)) for length in step]
    to_model = [axis_weights(size, 0.0, size / count, count)[2] for count in counts]
    to_scene = [axis_weights(count, 0.0, count / size, size)[2] for count in counts]
    model_image = weigh(image, *to_model)
    padding = [(0, 0), *((0, -count % 32) for count in counts)]
    windows = predictor.probabilities(np.pad(model_image, padding, mode="symmetric")[None])
    probabilities = weigh(windows[0, :, : counts[0], : counts[1]], *to_scene)
    return np.where(patch.valid, probabilities.argmax(0), IGNORE).astype(np.uint8)
