"""Compare the places of two grids on Earth: how much of one the other covers, and whether they overlap at all."""

from __future__ import annotations

import math

import numpy as np
from pyproj.exceptions import ProjError

from rsuda.core.errors import InputError
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.projection import lon_lat

_POINTS = 65  # along each side of a grid, to compare places


def covered_share(image: Grid, other: Grid) -> float:
    """Estimate the share of an image's pixels whose centres are inside of another grid."""
    return float(_inside(image, other).mean())


def check_overlap(image: Grid, other: Grid, image_name: str, other_name: str) -> None:
    """Raise InputError with both places if two grids with a georeference have no ground in common."""
    if _inside(image, other).any() or _inside(other, image).any() or (_near(image, other) and _near(other, image)):
        return
    raise InputError(
        f"{other_name} and its image {image_name} have no ground in common: their centres are at {_place(other)} and "
        f"{_place(image)}: correct the georeference, or pair other files"
    )


def _inside(grid: Grid, other: Grid) -> np.ndarray:
    """Sample a grid: whether pixel centres are inside of another one."""
    rows, cols = (np.linspace(0.5, length - 0.5, min(length, _POINTS)) for length in (grid.height, grid.width))
    rows, cols = grid.points_in(other, *np.meshgrid(rows, cols, indexing="ij"))
    inside: np.ndarray = (rows >= 0) & (rows < other.height) & (cols >= 0) & (cols < other.width)
    return inside


def _near(grid: Grid, other: Grid) -> bool:
    """Check whether the rectangle around a grid's edge overlaps another grid by more than 1/100 px."""
    rows, cols = (np.linspace(0, length, _POINTS) for length in (grid.height, grid.width))
    rows, cols = grid.points_in(other, *np.meshgrid(rows, cols, indexing="ij"))
    has_position = ~np.isnan(rows + cols)
    if not has_position.any():
        return False
    sides = ((rows[has_position], other.height), (cols[has_position], other.width))
    return all(places.max() > 0.01 and places.min() < length - 0.01 for places, length in sides)


def _place(grid: Grid) -> str:
    """Name a grid's centre in longitude and latitude, or in its units."""
    x, y = grid.world(grid.height / 2, grid.width / 2)
    if grid.crs is None:
        return f"x {x:.10g}, y {y:.10g} (without a CRS)"
    plain = f"x {x:.10g}, y {y:.10g} in {grid.crs.to_string()[:60]}"
    try:
        lon, lat = (float(value) for value in lon_lat(grid.crs, x, y))
    except ProjError:
        return plain
    return f"longitude {lon:.5f}, latitude {lat:.5f} ({plain})" if math.isfinite(lon + lat) else plain
