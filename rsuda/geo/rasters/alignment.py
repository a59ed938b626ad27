"""Align two rasters: read the bands and the labels of a file on the grid of another one, by position.

Equal grids are read pixel by pixel. If axes are parallel, one weighting per axis does it; if not, or in another CRS, each pixel
is sampled at its position. Labels take the nearest class, or the majority if the file is finer; images are interpolated, or
averaged if the file is finer. A value does not depend on the window that is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.label_windows import vote
from rsuda.geo.grids.overlap import check_overlap, covered_share
from rsuda.geo.grids.resample import AxisWeights, placed_weights, weigh
from rsuda.geo.grids.windows import Window4
from rsuda.geo.rasters.labels import labels_at
from rsuda.geo.rasters.raster import Raster, RasterFile

_SIDE = 2048  # file pixels along each side of the part that is read at once
_SAMPLES = 16  # at most, along each side of a pixel
_TIE = 1e-5  # pixels, so that a position on an edge belongs to the same pixel in all windows
_VOTES = 1e-5  # share of a pixel, so that equal votes are equal in all windows

Axes = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class PlacedFile:
    """A raster file over the place of an image; windows count in pixels of the image.

    Attributes:
        file: the file.
        image: grid of the image.
        place: grid of the file with the CRS that it may lack; the image's grid if the file is read pixel by pixel.
    """

    file: RasterFile
    image: Grid
    place: Grid

    @staticmethod
    def of(file: RasterFile, image: Grid, image_path: Path | str, what: str = "label") -> PlacedFile:
        """Place a file over an image: by georeference if both have one, else pixel by pixel.

        Args:
            image_path: the image, for errors.
            what: what the file is, for errors.

        Raises:
            InputError: without a georeference of both, their sizes differ; with one, they have no ground in common.
        """
        grid = file.grid
        if not (grid.georeferenced and image.georeferenced):
            if (grid.height, grid.width) != (image.height, image.width):
                raise InputError(
                    f"{what} {file.path} is {grid.width} x {grid.height} px, "
                    f"its image {image_path} is {image.width} x {image.height} px{_lacking(grid, image)}"
                )
            return PlacedFile(file, image, image)
        place = grid if grid.crs is not None else replace(grid, crs=image.crs)
        if place.same_pixels(image):
            return PlacedFile(file, image, image)
        check_overlap(image, place, str(image_path), f"{what} {file.path}")
        return PlacedFile(file, image, place)

    @property
    def by_pixel(self) -> bool:
        """Whether the file has the image's pixels."""
        return self.place is self.image

    @property
    def coverage(self) -> float:
        """Estimate the share of the image that the file covers."""
        return 1.0 if self.by_pixel else covered_share(self.image, self.place)

    def opened(self) -> AbstractContextManager[None]:
        """Keep the file open inside the context, as RasterFile.opened."""
        return self.file.opened()

    def read_at(self, numbers: list[int] | None, step: tuple[float, float], window: Window4) -> Raster:
        """Read bands in a window of the image's grid at a step, as RasterFile.read_at."""
        if self.by_pixel:
            return self.file.read_at(numbers, step, window)
        return read_on(self.file, numbers, self.image.at(*step).window(*window), self.place)

    def labels_at(self, legend: Legend, step: tuple[float, float], window: Window4) -> tuple[np.ndarray, int]:
        """Read class indices in a window of the image's grid at a step, as ``rsuda.geo.rasters.labels.labels_at``."""
        if self.by_pixel:
            return labels_at(self.file, legend, step, window)
        return labels_on(self.file, legend, self.image.at(*step).window(*window), self.place)


def _lacking(grid: Grid, image: Grid) -> str:
    """Say which of two files has no georeference, if one of them has it."""
    if grid.georeferenced == image.georeferenced:
        return ""
    return f", and the {'image' if grid.georeferenced else 'label'} has no georeference that could place it"


def read_on(file: RasterFile, numbers: list[int] | None, grid: Grid, place: Grid | None = None) -> Raster:
    """Read bands of a file on any grid.

    Args:
        numbers: 1-based band numbers; all bands by default.
        place: the file's grid; needed if the file lacks its CRS or georeference.

    Returns:
        values (bands, height, width) of the file's dtype if its pixels are read as they are, else float32. Outside of the
        file they are 0 and invalid. A pixel is valid if half of it is.
    """
    place = place or file.grid
    axes = grid.axes_in(place)
    if axes is not None and (corner := _same_lattice(axes)) is not None:
        raw = file.read_at(numbers, (1.0, 1.0), (*corner, grid.height, grid.width))
        return Raster(raw.values, raw.valid, grid)
    bands = len(numbers) if numbers else file.count
    values = np.zeros((bands, grid.height, grid.width), np.float32)
    valid = np.zeros((grid.height, grid.width), bool)
    for block, part in _blocks(grid, place):
        pixels = (
            _read_axes(file, numbers, part, place) if axes is not None else _read_points(file, numbers, part, place)
        )
        if pixels is not None:
            values[block], valid[block] = pixels
    return Raster(values, valid, grid)


def labels_on(file: RasterFile, legend: Legend, grid: Grid, place: Grid | None = None) -> tuple[np.ndarray, int]:
    """Read class indices of a label file on any grid.

    Args:
        place: the file's grid; needed if the file lacks its CRS or georeference.

    Returns:
        (height, width) uint8, 255 where ignored or outside of the file; the number of the grid's pixels that are off-palette,
        estimated from the file's pixels.
    """
    place = place or file.grid
    axes = grid.axes_in(place)
    if axes is not None and (corner := _same_lattice(axes)) is not None:
        return labels_at(file, legend, (1.0, 1.0), (*corner, grid.height, grid.width))
    index = np.full((grid.height, grid.width), IGNORE, np.uint8)
    off_palette = 0.0
    for block, part in _blocks(grid, place):
        labels = (
            _label_axes(file, legend, part, place) if axes is not None else _label_points(file, legend, part, place)
        )
        if labels is not None:
            index[block] = labels[0]
            off_palette += labels[1]
    return index, math.ceil(off_palette)


def _same_lattice(axes: Axes) -> tuple[int, int] | None:
    """Find the first (row, col) in the file if pixels coincide up to 1/100 px; None if they do not."""
    if any(step != 1 or abs(start - round(start)) > 0.01 for start, step in axes):
        return None
    return round(axes[0][0]), round(axes[1][0])


def _ratio(grid: Grid, place: Grid) -> tuple[float, float]:
    """Compute how many pixels of the file a pixel of the grid is long (down, across), at the grid's centre."""
    row, col = grid.height / 2, grid.width / 2
    rows, cols = grid.points_in(place, np.array([row, row + 1, row]), np.array([col, col, col + 1]))
    sizes = np.hypot(rows[1:] - rows[0], cols[1:] - cols[0])
    down, across = np.where(np.isfinite(sizes) & (sizes > 0), sizes, 1.0)
    return float(down), float(across)


def _blocks(grid: Grid, place: Grid) -> Iterator[tuple[Any, Grid]]:
    """Divide a grid into parts for which few pixels of the file are read: slices and grid of each."""
    side = int(np.clip(_SIDE / max(_ratio(grid, place)), 16, 1024))
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            height, width = min(side, grid.height - row), min(side, grid.width - col)
            yield np.s_[..., row : row + height, col : col + width], grid.window(row, col, height, width)


def _weights(grid: Grid, place: Grid, *, nearest: bool) -> tuple[Window4, AxisWeights, AxisWeights] | None:
    """Find the window of the file around a grid with parallel axes, and the weights of both axes; None outside."""
    axes = grid.axes_in(place)
    assert axes is not None
    (top, down_step), (left, across_step) = axes
    first_row, last_row, down = placed_weights(place.height, top, down_step, grid.height, nearest=nearest)
    first_col, last_col, across = placed_weights(place.width, left, across_step, grid.width, nearest=nearest)
    if last_row <= first_row or last_col <= first_col:
        return None
    return (first_row, first_col, last_row - first_row, last_col - first_col), down, across


def _read_axes(
    file: RasterFile, numbers: list[int] | None, grid: Grid, place: Grid
) -> tuple[np.ndarray, np.ndarray] | None:
    if (weights := _weights(grid, place, nearest=False)) is None:
        return None
    window, down, across = weights
    raw = file.read(numbers, window)
    share = weigh(raw.valid, down, across)
    values = weigh(raw.values * raw.valid, down, across)
    np.divide(values, share, out=values, where=share > 1e-6)
    return values, share >= 0.5 - _VOTES


def _label_axes(file: RasterFile, legend: Legend, grid: Grid, place: Grid) -> tuple[np.ndarray, float] | None:
    if (weights := _weights(grid, place, nearest=True)) is None:
        return None
    window, down, across = weights
    pixels, off_palette = labels_at(file, legend, (1.0, 1.0), window)
    index = np.full((grid.height, grid.width), IGNORE, np.uint8)
    vote(index, len(legend), lambda k: weigh(pixels == k, down, across) if (pixels == k).any() else None, least=_VOTES)
    grid_pixels = int(down.weight.any(1).sum()) * int(across.weight.any(1).sum())
    return index, off_palette * grid_pixels / pixels.size


@dataclass(frozen=True)
class _Points:
    """Positions of a grid's samples in a part of the file.

    Attributes:
        samples: (down, across) number of samples of a pixel.
        rows, cols: positions (height * down, width * across) in pixels of the part; nan outside of the file.
        window: the part of the file.
    """

    samples: tuple[int, int]
    rows: np.ndarray
    cols: np.ndarray
    window: Window4

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Average values (..., height * down, width * across) over the samples of each pixel: (..., height, width)."""
        down, across = self.samples
        *bands, height, width = values.shape
        means: np.ndarray = values.reshape(*bands, height // down, down, width // across, across).mean((-3, -1))
        return means


def _points(grid: Grid, place: Grid) -> _Points | None:
    """Place samples of a grid in a file; None if all are outside."""
    down, across = (int(np.clip(math.ceil(ratio - 0.25), 1, _SAMPLES)) for ratio in _ratio(grid, place))
    fine = Grid(grid.height * down, grid.width * across, grid.at(1 / down, 1 / across).transform, grid.crs)
    rows, cols = (part + _TIE for part in fine.positions_in(place))
    inside = (rows >= 0) & (rows < place.height) & (cols >= 0) & (cols < place.width)
    if not inside.any():
        return None
    top, left = (max(0, math.floor(part[inside].min()) - 1) for part in (rows, cols))
    bottom, right = (
        min(length, math.floor(part[inside].max()) + 2) for part, length in ((rows, place.height), (cols, place.width))
    )
    rows, cols = (np.where(inside, part - first, np.nan) for part, first in ((rows, top), (cols, left)))
    return _Points((down, across), rows, cols, (top, left, bottom - top, right - left))


def _label_points(file: RasterFile, legend: Legend, grid: Grid, place: Grid) -> tuple[np.ndarray, float] | None:
    if (points := _points(grid, place)) is None:
        return None
    pixels, off_palette = labels_at(file, legend, (1.0, 1.0), points.window)
    outside = np.isnan(points.rows)
    rows, cols = (np.where(outside, 0, part).astype(int) for part in (points.rows, points.cols))
    samples = np.where(outside, np.uint8(IGNORE), pixels[rows, cols])
    index = np.full((grid.height, grid.width), IGNORE, np.uint8)
    vote(
        index,
        len(legend),
        lambda k: points.mean((samples == k).astype(np.float32)) if (samples == k).any() else None,
        least=_VOTES,
    )
    return index, off_palette * grid.height * grid.width * float(np.mean(~outside)) / pixels.size


def _read_points(
    file: RasterFile, numbers: list[int] | None, grid: Grid, place: Grid
) -> tuple[np.ndarray, np.ndarray] | None:
    if (points := _points(grid, place)) is None:
        return None
    raw = file.read(numbers, points.window)
    outside = np.isnan(points.rows)
    share, values = np.zeros(outside.shape, np.float32), np.zeros((len(raw.values), *outside.shape), np.float32)
    valid_values = (raw.values * raw.valid).astype(np.float32)
    (top, down), (left, across) = (_neighbours(np.where(outside, 0, part)) for part in (points.rows, points.cols))
    for row_step, row_weight in ((0, 1 - down), (1, down)):
        for col_step, col_weight in ((0, 1 - across), (1, across)):
            row = np.clip(top + row_step, 0, raw.valid.shape[0] - 1)
            col = np.clip(left + col_step, 0, raw.valid.shape[1] - 1)
            weight = np.where(outside, 0, row_weight * col_weight).astype(np.float32)
            share += weight * raw.valid[row, col]
            values += weight * valid_values[:, row, col]
    share, values = points.mean(share), points.mean(values)
    np.divide(values, share, out=values, where=share > 1e-6)
    return values, share >= 0.5 - _VOTES


def _neighbours(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixel whose centre lies before each position, and the weight of the next one."""
    before = np.floor(places - 0.5)
    return before.astype(int), places - 0.5 - before
