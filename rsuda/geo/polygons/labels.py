"""Read labels that are polygons, such as drawn or corrected in a GIS, as class indices on the scene's grid.

A pixel gets the topmost polygon under its centre. Near polygons of less than 16 pixels, it gets the class that covers
most of its area. So a field of one pixel is there whatever its position. What no polygon covers votes as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from rasterio.features import rasterize
from shapely import STRtree, area, bounds
from shapely.geometry import box

from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.label_windows import resample_labels
from rsuda.geo.grids.windows import Window4
from rsuda.geo.polygons.classes import PolygonLayer, class_index, classes_of
from rsuda.geo.polygons.input import VECTORS as VECTORS
from rsuda.geo.polygons.input import file_state, polygons_of, split_layer

_SMALL = 16  # pixels: polygons below this area are burnt by area
_SAMPLES = 16  # along each side of a pixel that is burnt by area
_ENOUGH = 8  # own pixels along each side of an output pixel: their centres are samples enough
_BLOCK = 32  # pixels along each side of the blocks that are burnt by area, so that memory is bounded
_STACKS = 8


@dataclass(frozen=True)
class _Shapes:
    """Polygons with their class indices (n,) uint8 in a CRS, from the lowest to the highest."""

    shapes: np.ndarray
    values: np.ndarray
    tree: STRtree
    areas: np.ndarray

    @staticmethod
    def of(shapes: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> _Shapes:
        geometries = np.concatenate([np.asarray(part, object) for part in shapes])
        return _Shapes(geometries, np.concatenate(values), STRtree(geometries), area(geometries))

    def burn(self, pixels: np.ndarray, part: Grid) -> None:
        """Set the class index of each pixel (height, width) whose centre a polygon covers."""
        near = np.sort(self.tree.query(box(*part.bounds)))
        if near.size:
            rasterize(
                [(self.shapes[i], int(self.values[i])) for i in near],
                out=pixels,
                transform=part.transform,
                dtype="uint8",
            )


@dataclass(frozen=True)
class _Stack:
    """The polygons of layers, and the polygons below them that stand for what no polygon covers."""

    polygons: _Shapes
    uncovered: int
    extents: _Shapes


class PolygonLabels:
    """Labels from the polygons of one or several layers, later layers on top.

    Pixels without a polygon have the class ``uncovered`` of the layers, or none; pixels under a polygon without a class have
    none. Of overlapping polygons the last one counts, or the one whose class comes later in ``order``.

    Args:
        layers: files of polygons.
        grid: grid of the scene's image.
    """

    def __init__(self, layers: PolygonLayer | Sequence[PolygonLayer], grid: Grid) -> None:
        self.layers = (layers,) if isinstance(layers, PolygonLayer) else tuple(layers)
        # polygons over an image without a georeference use the coordinates in which GIS programs draw it
        self.grid = Grid(grid.height, grid.width, grid.display_transform, grid.crs)

    @cached_property
    def _states(self) -> tuple[tuple[int, int], ...]:
        return tuple(file_state(layer.path) for layer in self.layers)

    def _stack(self, legend: Legend) -> _Stack:
        return _stack(self.layers, self._states, self.grid.crs.to_wkt() if self.grid.crs else None, legend)

    def touch(self, legend: Legend) -> bool:
        """Check whether a polygon touches the scene's rectangle."""
        return bool(self._stack(legend).polygons.tree.query(box(*self.grid.bounds)).size)

    def bounds(self, legend: Legend) -> tuple[float, float, float, float] | None:
        """Return (left, bottom, right, top) of all polygons in the scene's CRS; None without polygons."""
        sides = bounds(self._stack(legend).polygons.shapes)
        sides = sides[np.isfinite(sides).all(1)]
        if not sides.size:
            return None
        return (*sides[:, :2].min(0), *sides[:, 2:].max(0))

    def labels_at(self, legend: Legend, step: tuple[float, float], window: Window4) -> tuple[np.ndarray, int]:
        """Read the class indices of a window as ``rsuda.geo.rasters.labels.labels_at``.

        Returns:
            (height, width) uint8, 255 without a class; 0, since polygons have no off-palette pixels.

        Raises:
            MissingError: a file is missing.
            InputError: a file is unreadable, or its polygons have no class of the legend.
        """
        stack = self._stack(legend)
        index, _ = resample_labels(self.grid, len(legend), step, window, partial(_burn, stack, self.grid))
        if max(step) >= _ENOUGH:
            return index, 0
        marks = self._near_small(stack.polygons, self.grid.at(*step), window)
        for inner in _blocks(marks):
            by_area = self._by_area(stack, len(legend), step, window, inner)
            index[inner] = np.where(marks[inner], by_area, index[inner])
        return index, 0

    def _by_area(
        self, stack: _Stack, classes: int, step: tuple[float, float], window: Window4, inner: tuple[slice, slice]
    ) -> np.ndarray:
        """Find the class that covers most of each pixel of a block of the window, by samples within the pixel."""
        rows, cols = inner
        row, col = window[0] + rows.start, window[1] + cols.start
        height, width = rows.stop - rows.start, cols.stop - cols.start
        fine = self.grid.at(*step).at(1 / _SAMPLES, 1 / _SAMPLES)
        samples, _ = _burn(stack, fine, (row * _SAMPLES, col * _SAMPLES, height * _SAMPLES, width * _SAMPLES))
        bins = classes + 2  # one for samples without a class, one for samples outside of the image
        samples[samples == IGNORE] = classes
        axes = ((row, samples.shape[0], step[0], self.grid.height), (col, samples.shape[1], step[1], self.grid.width))
        places = [(start + (np.arange(count) + 0.5) / _SAMPLES) * size for start, count, size, _ in axes]
        beyond = [(place < 0) | (place >= edge) for place, (*_, edge) in zip(places, axes, strict=True)]
        samples[beyond[0][:, None] | beyond[1]] = classes + 1
        pixel = np.arange(height)[:, None] * width + np.arange(width)
        keys = pixel.repeat(_SAMPLES, 0).repeat(_SAMPLES, 1) * bins + samples
        votes = np.bincount(keys.ravel(), minlength=height * width * bins).reshape(height, width, bins)
        winner = votes[..., : classes + 1].argmax(-1)  # the first of equal votes wins
        most: np.ndarray = np.where((winner == classes) | (votes[..., -1] == _SAMPLES**2), IGNORE, winner).astype(
            np.uint8
        )
        return most

    def _near_small(self, polygons: _Shapes, coarse: Grid, window: Window4) -> np.ndarray:
        """Mark (height, width) bool the pixels in the rectangles of small polygons."""
        row, col, height, width = window
        down, across = coarse.pixel_size
        near = polygons.tree.query(box(*coarse.window(*window).bounds))
        small = near[polygons.areas[near] < _SMALL * down * across]
        marks = np.zeros((height, width), bool)
        x, y = bounds(polygons.shapes[small])[:, [[0, 0, 2, 2], [1, 3, 1, 3]]].transpose(1, 0, 2)
        corners = coarse.pixels(np.stack([x.ravel(), y.ravel()], 1)).reshape(-1, 4, 2) - (row, col)
        first = np.floor(corners.min(1) + 1e-6).clip(0).astype(int)
        last = np.ceil(corners.max(1) - 1e-6).clip(0).astype(int)
        for (top, left), (bottom, right) in zip(first.tolist(), last.tolist(), strict=True):
            marks[top:bottom, left:right] = True
        return marks


def _blocks(marks: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Yield the blocks of a window (height, width) bool that hold a mark."""
    height, width = marks.shape
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            inner = np.s_[top : min(top + _BLOCK, height), left : min(left + _BLOCK, width)]
            if marks[inner].any():
                yield inner


def _burn(stack: _Stack, grid: Grid, inner: Window4) -> tuple[np.ndarray, int]:
    """Burn a window inside of the grid: class indices (height, width) uint8, and no off-palette pixels."""
    part = grid.window(*inner)
    pixels = np.full((part.height, part.width), stack.uncovered, np.uint8)
    stack.extents.burn(pixels, part)
    stack.polygons.burn(pixels, part)
    return pixels, 0


@lru_cache(_STACKS)
def _stack(
    layers: tuple[PolygonLayer, ...], states: tuple[tuple[int, int], ...], crs: str | None, legend: Legend
) -> _Stack:
    """Order the polygons of layers from the lowest to the highest; those without a class are lowest."""
    shapes: list[np.ndarray] = []
    values: list[np.ndarray] = []
    uncovered, extents, extent_values = IGNORE, [np.zeros(0, object)], [np.zeros(0, np.uint8)]
    for layer, state in zip(layers, states, strict=True):
        frame, index = layer.polygons(state, crs), classes_of(layer, legend.own).index
        ranks = np.zeros(256, int)
        for rank, name in enumerate(layer.order, 1):
            ranks[class_index(legend.own, name)] = rank
        order = np.argsort(ranks[index], kind="stable")
        shapes.append(np.asarray(frame.geometry.values)[order])
        values.append(index[order])
        if layer.uncovered is None:
            continue
        value = int(legend.from_own[class_index(legend.own, layer.uncovered)])
        if layer.extent is None:
            uncovered = value
            continue
        file, name_of_layer = split_layer(layer.extent)
        zone = polygons_of(Path(file), name_of_layer, file_state(Path(file)), crs).geometry.values
        extents.append(np.asarray(zone))
        extent_values.append(np.full(len(zone), value, np.uint8))
    has_no_class = [part == IGNORE for part in values]
    parts = [np.asarray(part, object) for part in shapes]
    below = [part[mask] for part, mask in zip(parts, has_no_class, strict=True)]
    above = [part[~mask] for part, mask in zip(parts, has_no_class, strict=True)]
    classes = [legend.from_own[part[~mask]] for part, mask in zip(values, has_no_class, strict=True)]
    ignore_values = [part[mask] for part, mask in zip(values, has_no_class, strict=True)]
    return _Stack(
        _Shapes.of([*below, *above], [*ignore_values, *classes]), uncovered, _Shapes.of(extents, extent_values)
    )
