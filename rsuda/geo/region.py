"""The part of a scene that is wanted: a rectangle of its pixels, perhaps polygons within."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from rasterio.features import geometry_mask
from shapely import get_coordinates
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry

from rsuda.core.errors import InputError, MissingError
from rsuda.geo.grid import Grid
from rsuda.geo.polygon_input import projected, read_frame, whole
from rsuda.geo.scene import Scene

_STRIPE = 512  # rows that are looked at at once


@dataclass(frozen=True)
class Region:
    """A rectangle of a scene's own pixels.

    Attributes:
        grid: the region's grid.
        window: (row, col, height, width) within the scene.
        shapes: polygons in the grid's CRS outside of which nothing is wanted; None for all of the rectangle.
    """

    grid: Grid
    window: tuple[int, int, int, int]
    shapes: tuple[Any, ...] | None = None

    @staticmethod
    def of(scene: Scene) -> Region:
        """All of a scene."""
        return Region(scene.grid, (0, 0, scene.grid.height, scene.grid.width))

    def inside(self, row: int, count: int) -> np.ndarray | None:
        """(count, width) bool of pixels whose centres lie in the polygons; None if there are none."""
        if self.shapes is None:
            return None
        part = self.grid.window(row, 0, count, self.grid.width)
        outside: np.ndarray = geometry_mask(self.shapes, (count, part.width), part.transform)
        return ~outside

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel: polygons may pass a scene by that their rectangle touches."""
        if 0 in self.window[2:]:
            return True
        stripes = ((row, min(_STRIPE, self.grid.height - row)) for row in range(0, self.grid.height, _STRIPE))
        return self.shapes is not None and not any(np.any(self.inside(row, count)) for row, count in stripes)


def read_area(file: str | Path) -> gpd.GeoSeries:
    """Polygons of a vector file. Raises MissingError or InputError when it cannot be read, or holds no polygon."""
    if not Path(file).is_file():
        raise MissingError(f"there is no file {file} (--aoi takes a file of polygons)")
    found = read_frame(Path(file)).geometry
    shapes = found[whole(found)]
    if shapes.empty:
        raise InputError(f"{file} holds no polygon, so there is no area to predict")
    return shapes


def region_of(
    scene: Scene, area: gpd.GeoSeries | None = None, bounds: tuple[float, float, float, float] | None = None
) -> Region | None:
    """The part of a scene that touches an area, snapped outwards to its pixels; None when no pixel's centre lies in it.

    Args:
        area: polygons, in any CRS; pixels outside of them are not wanted.
        bounds: (left, bottom, right, top) in the scene's CRS.

    Raises:
        InputError: bounds are empty; the scene's and the area's CRS cannot be brought together.
    """
    grid, shapes = scene.grid, None
    wanted: BaseGeometry | None = None
    if bounds is not None:
        left, bottom, right, top = bounds
        if not (left < right and bottom < top):
            raise InputError(
                f"--bounds are left bottom right top, and {left:g} {bottom:g} {right:g} {top:g} hold no area"
            )
        wanted = box(*bounds)
    if area is not None:
        if area.crs is not None and grid.crs is not None:
            area = projected(area, grid.crs.to_wkt(), f"the area over {scene.image}")
        elif area.crs is not None:
            raise InputError(f"{scene.image} has no CRS, so the area cannot be laid over it: declare it with --crs")
        union = area.make_valid().union_all()  # polygons may cross themselves
        wanted = union if wanted is None else wanted.intersection(union)
        shapes = (mapping(wanted),)
    if wanted is None:
        return Region.of(scene)
    if wanted.is_empty:
        return None
    window = grid.window_of(get_coordinates(wanted))
    found = Region(grid.window(*window), window, shapes)
    return None if found.empty else found
