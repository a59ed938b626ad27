"""Grids: the only module with affine transforms and with arithmetic between pixel and world positions.

Pixel positions are (row, col), world positions (x, y). (0, 0) is the outer corner of the first pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsuda.core.errors import InputError


@dataclass(frozen=True)
class Grid:
    """A raster's geometry: size in pixels, affine transform (col, row) -> (x, y), coordinate reference system."""

    height: int
    width: int
    transform: Affine = Affine.identity()
    crs: CRS | None = None

    @property
    def georeferenced(self) -> bool:
        """Whether the transform locates the pixels; files without georeference report the identity."""
        return self.transform != Affine.identity() and self.transform != Affine.scale(1, -1)

    @property
    def display_transform(self) -> Affine:
        """The transform in which GIS programs draw the raster: without a georeference, rows run down from y = 0."""
        return self.transform if self.georeferenced else Affine.scale(1, -1)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """(down, across) length of one pixel's edges in CRS units, also of rotated and south-up grids."""
        t = self.transform
        return math.hypot(t.b, t.e), math.hypot(t.a, t.d)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of the grid's four corners in world coordinates."""
        corners = [self.world(r, c) for r in (0, self.height) for c in (0, self.width)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def world(self, row: float, col: float) -> tuple[float, float]:
        """Transform a pixel position to (x, y)."""
        return self.transform @ (col, row)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Transform a world position to (row, col)."""
        col, row = ~self.transform @ (x, y)
        return row, col

    def metres(self) -> tuple[float, float] | None:
        """Compute the GSD (down, across) in metres; None without a georeference.

        Without a CRS the units of a world file are assumed to be metres (ISPRS delivers its tiles so). Web Mercator units
        are converted to metres on the ground at the grid's centre.

        Raises:
            InputError: the CRS is geographic (its units are degrees) or not a map projection, or pixels have no usable size.
        """
        if not self.georeferenced:
            return None
        down, across = self.pixel_size
        if not (1e-6 < down < 1e9 and 1e-6 < across < 1e9):
            raise InputError(f"a pixel is {down:g} by {across:g} units of the CRS: declare the GSD (metres per pixel)")
        if self.crs is None:
            return down, across
        if self.crs.is_geographic:
            raise InputError(
                f"CRS {self.crs.to_string()} is geographic (a pixel is {across:.3g} degrees): reproject first, "
                f"for example gdalwarp -t_srs {self.utm()} in.tif out.tif"
            )
        try:
            factor = self.crs.linear_units_factor[1]
        except CRSError:
            raise InputError(
                f"the CRS '{self.crs.to_string()}' is not a map projection, so the size of a pixel is unknown: "
                "declare the GSD (metres per pixel)"
            ) from None
        if self.crs.to_epsg() == 3857:  # web maps: a unit is a metre at the equator only
            _, northing = self.world(self.height / 2, self.width / 2)
            factor /= math.cosh(min(20, abs(northing) / 6378137))
        if not 0 < factor < math.inf:
            raise InputError(
                f"a unit of the CRS '{self.crs.to_string()}' is {factor} metres: declare the GSD (metres per pixel)"
            )
        return down * factor, across * factor

    def utm(self) -> str:
        """Find the EPSG code of the UTM zone at the centre of a geographic grid."""
        lon, lat = self.world(self.height / 2, self.width / 2)
        zone = min(60, max(1, int((lon + 180) // 6) + 1))
        return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"

    def window(self, row: int, col: int, height: int, width: int) -> Grid:
        """Make the grid of a pixel rectangle, which may reach outside."""
        return Grid(height, width, self.transform @ Affine.translation(col, row), self.crs)

    def window_of(self, points: Iterable[tuple[float, float]]) -> tuple[int, int, int, int]:
        """Find the smallest window (row, col, height, width) of this grid around world positions (x, y).

        Height or width is 0 if all positions are outside of the grid.
        """
        rows, cols = zip(*(self.pixel(x, y) for x, y in points), strict=True)
        top, left = (
            max(0, math.floor(min(v) + 1e-6)) for v in (rows, cols)
        )  # a position on an edge does not need the next pixel
        bottom, right = (min(n, math.ceil(max(v) - 1e-6)) for v, n in ((rows, self.height), (cols, self.width)))
        return top, left, max(0, bottom - top), max(0, right - left)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Transform world positions (n, 2) of x and y to pixel positions (n, 2) of row and col."""
        t = ~self.transform
        x, y = points[:, 0], points[:, 1]
        return np.stack([t.d * x + t.e * y + t.f, t.a * x + t.b * y + t.c], 1)

    def pad(self, pixels: int) -> Grid:
        """Extend this grid by ``pixels`` on each side."""
        return self.window(-pixels, -pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def at(self, step_down: float, step_across: float) -> Grid:
        """Make the grid over the same ground, from the same first corner, whose pixels are ``step`` of these pixels long.

        The last row and column may reach past the edge, so that all ground is covered.
        """
        height = max(1, math.ceil(self.height / step_down - 1e-6))
        width = max(1, math.ceil(self.width / step_across - 1e-6))
        return Grid(height, width, self.transform @ Affine.scale(step_across, step_down), self.crs)
