"""Read labels that are polygons, such as drawn or corrected in a GIS, as class indices on the scene's grid.

A pixel gets the topmost polygon under its centre. Near polygons of less than 16 pixels, it gets the class that covers most of
its area, so that a field of one pixel is there whatever its position; what no polygon covers votes as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from rasterio.features import rasterize
from shapely import STRtree
from shapely.geometry import box

from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grid import Grid
from rsuda.geo.label_windows import resample_labels
from rsuda.geo.polygon_classes import PolygonLayer, class_index, classes_of
from rsuda.geo.polygon_input import VECTORS as VECTORS
from rsuda.geo.polygon_input import file_state, polygons_of, split_layer
from rsuda.geo.windows import Window4

_SMALL = 16  # pixels: polygons below this area are burnt by area
_SAMPLES = 16  # along each side of a pixel that is burnt by area
_BLOCK = 16  # pixels along each side of the blocks that are burnt by area, so that memory is bounded
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
        joined = np.concatenate([np.asarray(part, object) for part in shapes])
        return _Shapes(joined, np.concatenate(values), STRtree(joined), np.array([shape.area for shape in joined]))

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
        """Whether a polygon touches the scene's rectangle."""
        return bool(self._stack(legend).polygons.tree.query(box(*self.grid.bounds)).size)

    def bounds(self, legend: Legend) -> tuple[float, float, float, float] | None:
        """(left, bottom, right, top) of all polygons in the scene's CRS; None without polygons."""
        shapes = [shape.bounds for shape in self._stack(legend).polygons.shapes if not shape.is_empty]
        if not shapes:
            return None
        sides = np.array(shapes)
        return (*sides[:, :2].min(0), *sides[:, 2:].max(0))

    def labels_at(self, legend: Legend, step: tuple[float, float], window: Window4) -> tuple[np.ndarray, int]:
        """Read the class indices of a window as ``RasterFile.labels_at``; there are no off-palette pixels.

        Raises:
            MissingError: a file is missing.
            InputError: a file is unreadable, or its polygons have no class of the legend.
        """
        stack = self._stack(legend)
        index, _ = resample_labels(self.grid, len(legend), step, window, partial(_burn, stack, self.grid))
        row, col, *_ = window
        marks = self._near_small(stack.polygons, self.grid.at(*step), window)
        if marks is None:
            return index, 0
        refined = tuple(math.ceil(_SAMPLES / size) for size in step)
        fine = self.grid.at(1 / refined[0], 1 / refined[1])
        fine_step = (step[0] * refined[0], step[1] * refined[1])
        for top, left, bottom, right in _blocks(marks, window):
            block = (row + top, col + left, bottom - top, right - left)
            by_area, _ = resample_labels(fine, len(legend), fine_step, block, partial(_burn, stack, fine))
            inner = np.s_[top:bottom, left:right]
            index[inner] = np.where(marks[inner], by_area, index[inner])
        return index, 0

    def _near_small(self, polygons: _Shapes, coarse: Grid, window: Window4) -> np.ndarray | None:
        """Mark (height, width) bool the pixels in the rectangles of small polygons; None if there are none."""
        row, col, height, width = window
        down, across = coarse.pixel_size
        near = polygons.tree.query(box(*coarse.window(*window).bounds))
        small = near[polygons.areas[near] < _SMALL * down * across]
        if not small.size:
            return None
        marks = np.zeros((height, width), bool)
        for i in small:
            corners = box(*polygons.shapes[i].bounds).exterior.coords
            top, left, rows, cols = coarse.window_of([(x, y) for x, y, *_ in corners])
            marks[max(0, top - row) : max(0, top + rows - row), max(0, left - col) : max(0, left + cols - col)] = True
        return marks if marks.any() else None


def _blocks(marks: np.ndarray, window: Window4) -> Iterator[tuple[int, int, int, int]]:
    """Yield the blocks (top, left, bottom, right) of a window that hold a mark."""
    height, width = window[2:]
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            bottom, right = min(top + _BLOCK, height), min(left + _BLOCK, width)
            if marks[top:bottom, left:right].any():
                yield top, left, bottom, right


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
    """The polygons of layers from the lowest to the highest: those without a class lie below all others."""
    shapes: list[np.ndarray] = []
    values: list[np.ndarray] = []
    uncovered, extents, extent_values = IGNORE, [np.zeros(0, object)], [np.zeros(0, np.uint8)]
    for layer, state in zip(layers, states, strict=True):
        frame, index = layer.polygons(state, crs), classes_of(layer, legend).index
        ranks = np.zeros(256, int)
        for rank, name in enumerate(layer.order, 1):
            ranks[class_index(legend, name)] = rank
        order = np.argsort(ranks[index], kind="stable")
        shapes.append(np.asarray(frame.geometry.values)[order])
        values.append(index[order])
        if layer.uncovered is None:
            continue
        value = class_index(legend, layer.uncovered)
        if layer.extent is None:
            uncovered = value
            continue
        file, name_of_layer = split_layer(layer.extent)
        area = polygons_of(Path(file), name_of_layer, file_state(Path(file)), crs).geometry.values
        extents.append(np.asarray(area))
        extent_values.append(np.full(len(area), value, np.uint8))
    unclassified = [part == IGNORE for part in values]
    parts = [np.asarray(part, object) for part in shapes]
    below = [part[mask] for part, mask in zip(parts, unclassified, strict=True)]
    above = [part[~mask] for part, mask in zip(parts, unclassified, strict=True)]
    classes = [part[~mask] for part, mask in zip(values, unclassified, strict=True)]
    ignored = [part[mask] for part, mask in zip(values, unclassified, strict=True)]
    return _Stack(_Shapes.of([*below, *above], [*ignored, *classes]), uncovered, _Shapes.of(extents, extent_values))
