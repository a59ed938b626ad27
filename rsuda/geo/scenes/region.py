"""Regions: a rectangle of a scene's pixels, limited to polygons if there are any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.features import geometry_mask
from shapely import get_coordinates
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry

from rsuda.core.errors import InputError, MissingError
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.windows import Window4
from rsuda.geo.polygons.input import are_whole, clean, project, read_frame, split_layer
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.scenes.scene import Scene

_STRIPE = 512  # rows that are rasterised at the same time


@dataclass(frozen=True)
class Region:
    """A rectangle of a scene's own pixels.

    Attributes:
        grid: the region's grid.
        window: (row, col, height, width) within the scene.
        shapes: polygons in the grid's CRS that limit the region; None for the whole rectangle.
    """

    grid: Grid
    window: Window4
    shapes: tuple[Any, ...] | None = None

    @staticmethod
    def of(scene: Scene) -> Region:
        """Make the region of a whole scene."""
        return Region(scene.grid, (0, 0, scene.grid.height, scene.grid.width))

    def inside(self, row: int, count: int) -> np.ndarray | None:
        """Mark (count, width) bool the pixels whose centres are in the polygons; None without polygons."""
        if self.shapes is None:
            return None
        part = self.grid.window(row, 0, count, self.grid.width)
        outside: np.ndarray = geometry_mask(self.shapes, (count, part.width), part.transform)
        return ~outside

    @property
    def empty(self) -> bool:
        """Whether the region has no pixel: polygons may miss all pixel centres of their rectangle."""
        if 0 in self.window[2:]:
            return True
        stripes = ((row, min(_STRIPE, self.grid.height - row)) for row in range(0, self.grid.height, _STRIPE))
        return self.shapes is not None and not any(np.any(self.inside(row, count)) for row, count in stripes)


def read_area(file: str | Path) -> gpd.GeoSeries:
    """Read the polygons of a vector file, ``file|layername=…`` for one of several layers.

    Raises:
        MissingError: the file is missing.
        InputError: it is unreadable, has no polygon, or has several layers of polygons.
    """
    path, layer = split_layer(str(file))
    if not Path(path).is_file():
        raise MissingError(f"there is no file {path} ({spell('aoi')} takes a file of polygons)")
    geometries = clean(read_frame(Path(path), layer, ()).geometry)
    shapes = geometries[are_whole(geometries)]
    if shapes.empty:
        raise InputError(f"{file} has no polygon: pass a file of polygons to {spell('aoi')}")
    return shapes


def region_of(
    scene: Scene, area: gpd.GeoSeries | None = None, bounds: tuple[float, float, float, float] | None = None
) -> Region | None:
    """Intersect a scene with an area, snapped outwards to its pixels; None if no pixel centre is in the area.

    Args:
        area: polygons in any CRS.
        bounds: (left, bottom, right, top) in the scene's CRS.

    Raises:
        InputError: the bounds are empty, or the area cannot be projected to the scene's CRS.
    """
    grid, shapes = scene.grid, None
    region: BaseGeometry | None = None
    if bounds is not None:
        left, bottom, right, top = bounds
        if not (left < right and bottom < top):
            raise InputError(
                f"{spell('bounds')} are left bottom right top, and {left:g} {bottom:g} {right:g} {top:g} have no area"
            )
        region = box(*bounds)
    if area is not None:
        if area.crs is not None and grid.crs is not None:
            area = project(area, grid.crs.to_wkt(), f"the area over {scene.image}")
        elif area.crs is not None:
            raise InputError(
                f"{scene.image} has no CRS, so the area cannot be projected to it: declare the CRS with {spell('crs')}"
            )
        union = area.make_valid().union_all()  # polygons may cross themselves
        region = union if region is None else region.intersection(union)
        shapes = (mapping(region),)
    if region is None:
        return Region.of(scene)
    if region.is_empty:
        return None
    window = grid.window_of(get_coordinates(region))
    part = Region(grid.window(*window), window, shapes)
    return None if part.empty else part
