"""A scene of any size through the network: windows row by row, blended probabilities, classes on the scene's own grid.

Memory holds one row of windows, never the scene: K x window x width probabilities that finished rows leave at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE
from rsuda.geo.limits import check_memory
from rsuda.geo.region import Region
from rsuda.geo.resample import AxisWeights, axis_weights, weigh
from rsuda.geo.scene import Scene
from rsuda.geo.windows import blend_weights, window_starts
from rsuda.inference.predictor import Predictor, add_softmax

FARTHEST = 20  # a scene whose GSD is further from the network's than this factor is refused
STRIP = 128  # rows of the scene that are brought to its own grid at once


@dataclass(frozen=True)
class Strip:
    """Rows of a prediction on the scene's own grid, counted from the region's first.

    Attributes:
        classes: (h, W) uint8, 255 where the scene has no data or the region ends.
        confidence: (h, W) uint8, probability of the class, 0 to 254 for 0..1, 255 without data.
        probabilities: (K, h, W) uint8 alike, or None if not asked for.
    """

    row: int
    classes: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None = None


def check_gsd(scene: Scene, gsd: float) -> None:
    """Raises InputError for a scene that has no GSD, or one so far from the network's that nothing could be told apart."""
    apart = max(max(s, 1 / s) for s in scene.step(gsd))
    if apart > FARTHEST:
        raise InputError(
            f"the pixels of {scene.image} are {max(scene.gsd):g} m long and those of the network {gsd:g} m, {apart:.0f}-fold "
            "apart: resample the scene, or declare its GSD if the file is wrong"
        )


def strip_rows(engine: Predictor, scene: Scene) -> int:
    """Rows of the scene's own grid that are kept as one band: four strides of windows, in whole strips.

    A band that is predicted by itself looks at one more row of windows than it would as part of the whole.
    """
    rows = 4 * (engine.window - engine.overlap) * scene.step(engine.trained.spec.gsd)[0]
    return max(1, round(rows / STRIP)) * STRIP


def strips(
    engine: Predictor, scene: Scene, region: Region, first: int, last: int, probabilities: bool = False
) -> Iterator[Strip]:
    """Rows ``first`` to ``last`` of a region, from top to bottom.

    The scene is read at the network's GSD in overlapping windows, whose probabilities are blended by a partition of unity;
    the blend is brought to the scene's own pixels and only then turned into classes. Which windows there are depends on
    the scene alone: a part of a scene gets what it gets in the whole.

    Args:
        first, last: rows of the region; ``first`` must be a multiple of STRIP for the same bits as in the whole.
    """
    spec = engine.trained.spec
    check_gsd(scene, spec.gsd)
    step = scene.step(spec.gsd)
    grid = scene.grid_at(spec.gsd)
    row0, col0, _, width = region.window
    same = step == (1, 1)

    def needed(row: int, count: int) -> tuple[int, int, AxisWeights | None]:
        """Rows at the network's GSD that rows of the region are made of, with their weights."""
        if same:
            return row0 + row, row0 + row + count, None
        return axis_weights(grid.height, (row0 + row) / step[0], 1 / step[0], count)

    left, right, across = axis_weights(grid.width, col0 / step[1], 1 / step[1], width)
    if same:
        left, right = col0, col0 + width
    parts = [(row, min(STRIP, last - row)) for row in range(first, last, STRIP)]
    finished = _Rows(finished_rows(engine, scene, needed(*parts[0])[0], needed(*parts[-1])[1], left, right))
    for row, count in parts:
        top, bottom, down = needed(row, count)
        blend = finished.take(top, bottom)
        if down is not None:
            blend = torch.from_numpy(weigh(blend.cpu().numpy(), down, across))
        classes, best = _winners(blend)
        valid = scene.valid(spec.bands, (row0 + row, col0, count, width))
        inside = region.inside(row, count)
        if inside is not None:
            valid = inside if valid is None else valid & inside
        yield Strip(
            row,
            _masked(classes, valid),
            _masked(_bytes(best), valid),
            _masked(_bytes(blend), valid) if probabilities else None,
        )


def _winners(blend: Tensor) -> tuple[Tensor, Tensor]:
    """Classes (h, W) uint8 and their probabilities, of (K, h, W).

    The bits of numbers above 0 are ordered as the numbers are, so that the last ones can hold the class and one maximum finds
    both, faster than torch.max does on CPUs. Of the 24 digits of a number those that tell the class are lost, 3 for up to 8
    classes; of probabilities alike in the others the first class wins.
    """
    last = len(blend) - 1
    told = (1 << last.bit_length()) - 1
    number = blend.view(torch.int32)
    best = (number[0] & ~told) | last
    for k in range(1, len(blend)):
        torch.maximum(best, (number[k] & ~told) | (last - k), out=best)
    return (last - (best & told)).to(torch.uint8), (best & ~told).view(torch.float32)


def _bytes(probabilities: Tensor) -> Tensor:
    return (probabilities * 254).round_().clamp_(max=254).to(torch.uint8)


def _masked(values: Tensor, valid: np.ndarray | None) -> np.ndarray:
    found: np.ndarray = values.cpu().numpy()
    if valid is not None:
        found[..., ~valid] = IGNORE
    return found


class _Rows:
    """Rows of (K, h, W) pieces that come one after another, taken in order; earlier rows are forgotten."""

    def __init__(self, pieces: Iterator[tuple[int, Tensor]]) -> None:
        self.pieces = pieces
        self.row, self.held = 0, None

    row: int
    held: Tensor | None

    def take(self, top: int, bottom: int) -> Tensor:
        while self.held is None or self.row + self.held.shape[1] < bottom:
            kept = None
            if self.held is not None and top < self.row + self.held.shape[1]:
                kept = self.held[:, top - self.row :].clone()  # the piece's memory is used again
            self.row, piece = next(self.pieces)
            if kept is not None:
                self.row, piece = self.row - kept.shape[1], torch.cat([kept, piece], 1)
            self.held = piece
        return self.held[:, top - self.row : bottom - self.row]


def finished_rows(
    engine: Predictor,
    scene: Scene,
    start: int,
    stop: int,
    left: int,
    right: int,
    looked: Callable[[int, list[int]], None] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Blended class probabilities of rows ``start`` to ``stop`` and columns ``left`` to ``right`` of the scene at the
    network's GSD, piece by piece from top to bottom: (first row, (K, rows, right - left) float32 on the device). A piece is
    valid until the next one is asked for.

    Args:
        looked: told the first row, and the first columns, of each batch of windows that the network has just looked at.
    """
    read = WindowGrid(engine, scene, left, right)
    grid, window, rows = read.grid, engine.window, read.rows
    needed = [i for i, row in enumerate(rows) if row < stop and row + window > start]
    down = blend_weights(grid.height, window, rows)
    across = blend_weights(grid.width, window, read.cols)
    first_col = read.cols[read.needed[0]]
    width = min(grid.width, read.cols[read.needed[-1]] + window) - first_col
    height = min(window, grid.height)
    shape = len(engine.trained.spec.legend), height, width
    check_memory(
        4 * (len(engine.trained.spec.legend) + 3 * len(engine.trained.spec.bands)) * height * width,
        f"a row of windows of {scene.image}, {width} px wide at the network's GSD,", "predict it in parts (--bounds, --aoi)",
    )  # fmt: skip
    blend = torch.zeros(shape, device=engine.device)
    # the next row of windows is read while the network looks at this one
    with scene.file.kept_open(), ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read.row, needed[0])
        for n, i in enumerate(needed):
            found = coming.result()
            if n + 1 < len(needed):
                coming = reader.submit(read.row, needed[n + 1])
            if n:
                done = rows[i] - rows[i - 1]
                blend[:, : height - done] = blend[:, done:].clone()
                blend[:, height - done :] = 0
            weight = torch.from_numpy(down[i][:height, None]).to(engine.device)
            for batch in found.batches(engine.batch_size):
                views = engine.looks(engine.standardised(*found.pixels(batch)))
                if looked is not None:
                    looked(rows[i], [read.cols[j] for j in batch])
                for number, j in enumerate(batch):
                    a = read.cols[j] - first_col
                    w = min(window, width - a)
                    share = weight * (torch.from_numpy(across[j][None, :w]).to(engine.device) / len(views))
                    for logits in views:
                        add_softmax(blend[:, :, a : a + w], logits[number, :, :height, :w], share)
            end = stop if n + 1 == len(needed) else rows[i + 1]
            a, b = max(start, rows[i]), min(stop, end)
            if b > a:
                yield a, blend[:, a - rows[i] : b - rows[i], left - first_col : right - first_col]


@dataclass(frozen=True)
class WindowRow:
    """A row of windows as it was read.

    Attributes:
        values, valid: (bands, h, w) and (h, w), pixels of all the windows side by side; valid None where all are.
        at: first column in them of each window that holds any data.
    """

    values: np.ndarray
    valid: np.ndarray | None
    at: dict[int, int]
    window: int

    def batches(self, size: int) -> Iterator[list[int]]:
        some = list(self.at)
        for k in range(0, len(some), size):
            yield some[k : k + size]

    def pixels(self, batch: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, bands, window, window) values and (B, window, window) valid, mirrored where the scene is smaller."""
        values = np.stack([self._square(self.values[:, :, self.at[j] : self.at[j] + self.window]) for j in batch])
        if self.valid is None:
            return values, None
        valid = np.stack([self._square(self.valid[:, self.at[j] : self.at[j] + self.window]) for j in batch])
        return values, None if valid.all() else valid

    def _square(self, pixels: np.ndarray) -> np.ndarray:
        missing = [self.window - n for n in pixels.shape[-2:]]
        if not any(missing):
            return pixels
        return np.pad(pixels, [*[(0, 0)] * (pixels.ndim - 2), *((0, n) for n in missing)], mode="symmetric")


@dataclass
class WindowGrid:
    """The windows of a scene at the network's GSD, and those of their columns that touch ``left`` to ``right``."""

    engine: Predictor
    scene: Scene
    left: int
    right: int
    rows: list[int] = field(init=False)
    cols: list[int] = field(init=False)
    needed: list[int] = field(init=False)
    grid: Any = field(init=False)

    def __post_init__(self) -> None:
        window, stride = self.engine.window, self.engine.window - self.engine.overlap
        self.grid = self.scene.grid_at(self.engine.trained.spec.gsd)
        self.rows, self.cols = (window_starts(n, window, stride) for n in (self.grid.height, self.grid.width))
        self.needed = [j for j, col in enumerate(self.cols) if col < self.right and col + window > self.left]

    def row(self, i: int) -> WindowRow:
        """Read the needed windows of row ``i``."""
        spec, window = self.engine.trained.spec, self.engine.window
        first = self.cols[self.needed[0]]
        width = min(self.grid.width, self.cols[self.needed[-1]] + window) - first
        height = min(window, self.grid.height - self.rows[i])
        patch = self.scene.read(spec.bands, spec.gsd, (self.rows[i], first, height, width))
        at = {j: self.cols[j] - first for j in self.needed}
        if patch.valid.all():
            return WindowRow(patch.values, None, at, window)
        seen = {j: a for j, a in at.items() if patch.valid[:, a : a + window].any() or self._holds_data(i, j)}
        return WindowRow(patch.values, patch.valid, seen, window)

    def _holds_data(self, i: int, j: int) -> bool:
        """Whether a window whose pixels are all less than half covered holds any of the scene's own pixels."""
        step, own = self.scene.step(self.engine.trained.spec.gsd), self.scene.grid
        if step == (1, 1):
            return False
        top, left = int(self.rows[i] * step[0]), int(self.cols[j] * step[1])
        height = min(own.height, int((self.rows[i] + self.engine.window) * step[0]) + 1) - top
        width = min(own.width, int((self.cols[j] + self.engine.window) * step[1]) + 1) - left
        valid = self.scene.valid(self.engine.trained.spec.bands, (top, left, height, width))
        return valid is None or bool(valid.any())


@dataclass(frozen=True)
class SceneArrays:
    """``classes`` and ``confidence`` (H, W) uint8 of a whole scene; see Strip."""

    classes: np.ndarray
    confidence: np.ndarray


def predict_scene(engine: Predictor, scene: Scene) -> SceneArrays:
    """A whole scene in memory, for scenes that are scored or looked at."""
    found = list(strips(engine, scene, Region.of(scene), 0, scene.grid.height))
    return SceneArrays(np.concatenate([s.classes for s in found]), np.concatenate([s.confidence for s in found]))


def predict_tile(engine: Predictor, scene: Scene, row: int, col: int, size: int) -> np.ndarray:
    """Classes (size, size) of one tile of the scene's own pixels, predicted by itself, as published protocols do."""
    spec, step = engine.trained.spec, scene.step(engine.trained.spec.gsd)
    patch = scene.read(spec.bands, None, (row, col, size, size))
    image = spec.unit(patch.values) * patch.valid
    counts = [max(1, round(size / s)) for s in step]
    there = [axis_weights(size, 0.0, size / n, n)[2] for n in counts]
    back = [axis_weights(n, 0.0, n / size, size)[2] for n in counts]
    resized = weigh(image, *there)
    missing = [(0, 0), *((0, -n % 32) for n in counts)]
    found = engine.probabilities(np.pad(resized, missing, mode="symmetric")[None])[0, :, : counts[0], : counts[1]]
    return np.where(patch.valid, weigh(found, *back).argmax(0), IGNORE).astype(np.uint8)
