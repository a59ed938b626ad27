"""Lay windows over a scene at the model's GSD, and read them row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.windows import window_starts
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor


@dataclass(frozen=True)
class WindowRow:
    """A row of windows as it was read.

    Attributes:
        values: (bands, h, w) pixels of all windows side by side.
        valid: (h, w) bool; None where all pixels are valid.
        columns: first column in ``values`` of each window that holds any data, by the window's number.
        window: pixels per side.
    """

    values: np.ndarray
    valid: np.ndarray | None
    columns: dict[int, int]
    window: int

    def batches(self, size: int) -> Iterator[list[int]]:
        """Cut the numbers of the windows that hold data into batches."""
        numbers = list(self.columns)
        for k in range(0, len(numbers), size):
            yield numbers[k : k + size]

    def pixels(self, batch: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Stack windows: (B, bands, window, window) values and (B, window, window) valid, mirrored past the scene's edge."""
        starts = [self.columns[number] for number in batch]
        values = np.stack([self._square(self.values[:, :, col : col + self.window]) for col in starts])
        if self.valid is None:
            return values, None
        valid = np.stack([self._square(self.valid[:, col : col + self.window]) for col in starts])
        return values, None if valid.all() else valid

    def _square(self, pixels: np.ndarray) -> np.ndarray:
        padding = [self.window - length for length in pixels.shape[-2:]]
        if not any(padding):
            return pixels
        return np.pad(pixels, [*[(0, 0)] * (pixels.ndim - 2), *((0, count) for count in padding)], mode="symmetric")


@dataclass
class WindowGrid:
    """The windows of a scene at the model's GSD.

    Attributes:
        rows, cols: first pixels of the windows.
        needed: numbers of the window columns that touch pixels ``left`` to ``right``.
        grid: the scene's grid at the model's GSD.
    """

    predictor: Predictor
    scene: Scene
    left: int
    right: int
    rows: list[int] = field(init=False)
    cols: list[int] = field(init=False)
    needed: list[int] = field(init=False)
    grid: Grid = field(init=False)

    def __post_init__(self) -> None:
        window, stride = self.predictor.window, self.predictor.window - self.predictor.overlap
        self.grid = self.scene.grid_at(self.predictor.trained.spec.gsd)
        self.rows, self.cols = (window_starts(length, window, stride) for length in (self.grid.height, self.grid.width))
        self.needed = [k for k, col in enumerate(self.cols) if col < self.right and col + window > self.left]

    @property
    def first_col(self) -> int:
        """First pixel of the needed window columns."""
        return self.cols[self.needed[0]]

    @property
    def width(self) -> int:
        """Pixels from the first needed window column to the end of the last."""
        return min(self.grid.width, self.cols[self.needed[-1]] + self.predictor.window) - self.first_col

    def row(self, i: int) -> WindowRow:
        """Read the needed windows of row ``i``."""
        spec, window = self.predictor.trained.spec, self.predictor.window
        height = min(window, self.grid.height - self.rows[i])
        patch = self.scene.read(spec.bands, spec.gsd, (self.rows[i], self.first_col, height, self.width))
        columns = {k: self.cols[k] - self.first_col for k in self.needed}
        if patch.valid.all():
            return WindowRow(patch.values, None, columns, window)
        with_data = {
            k: col for k, col in columns.items() if patch.valid[:, col : col + window].any() or self._holds_data(i, k)
        }
        return WindowRow(patch.values, patch.valid, with_data, window)

    def _holds_data(self, i: int, k: int) -> bool:
        """Check whether a window holds any valid pixel of the scene, though all its own are covered by less than half."""
        step, scene_grid = self.scene.step(self.predictor.trained.spec.gsd), self.scene.grid
        if step == (1, 1):
            return False
        top, left = int(self.rows[i] * step[0]), int(self.cols[k] * step[1])
        height = min(scene_grid.height, int((self.rows[i] + self.predictor.window) * step[0]) + 1) - top
        width = min(scene_grid.width, int((self.cols[k] + self.predictor.window) * step[1]) + 1) - left
        valid = self.scene.valid(self.predictor.trained.spec.bands, (top, left, height, width))
        return valid is None or bool(valid.any())
