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
from rsuda.core.spelling import spell
from rsuda.geo.grids.projection import ground_areas, ground_vector, metres_of_local, same_system, transform_points

_TRUE_LENGTH, _TRUE_AREA = (
    0.02,
    0.01,
)  # deviations of a projection's scales from 1 up to which its units are ground metres
_SAME = 0.01  # pixels
_SLANTED = 0.3  # sine of the angle between a pixel's edges below which azimuths are doubted
_EVERY = 16  # pixels between exact positions of another CRS


@dataclass(frozen=True)
class Grid:
    """Geometry of a raster: size in pixels, affine transform (col, row) -> (x, y), coordinate reference system."""

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
        """Compute the GSD (down, across) in metres on the ground at the grid's centre; None without a georeference.

        The edges of a pixel are measured on the ellipsoid, also where the CRS is in degrees. If pixels are slanted on the
        ground, both lengths shrink so that their product is the pixel's area. Where a projection's areas are true to 1 % and
        its lengths to 2 % (UTM, national grids), its own units count. Without a CRS, the units of a world file are assumed to
        be metres (ISPRS delivers its tiles so).

        Raises:
            InputError: the CRS is not a map projection, or pixels have no usable size.
        """
        if not self.georeferenced:
            return None
        down, across = self.pixel_size
        usable = 1e-12 < down < 1e9 and 1e-12 < across < 1e9
        if self.crs is not None and self.crs.is_geographic and usable:
            return self._degrees_in_metres()
        if not (usable and min(down, across) > 1e-6):
            raise InputError(
                f"a pixel is {down:g} by {across:g} units of the CRS: declare the GSD ({spell('gsd')}, metres per pixel)"
            )
        if self.crs is None:
            return down, across
        try:
            factor = metres_of_local(self.crs) or self.crs.linear_units_factor[1]
        except CRSError:
            raise InputError(
                f"the CRS '{self.crs.to_string()}' is not a map projection, so the size of a pixel is unknown: "
                f"declare the GSD ({spell('gsd')}, metres per pixel)"
            ) from None
        if not 0 < factor < math.inf:
            raise InputError(
                f"a unit of the CRS '{self.crs.to_string()}' is {factor} metres: declare the GSD ({spell('gsd')}, metres "
                "per pixel)"
            )
        units = down * factor, across * factor
        ground = self.ground_metres(self.height / 2, self.width / 2) if self.crs.is_projected else None
        return units if ground is None or _is_true(ground, units) else ground

    def _degrees_in_metres(self) -> tuple[float, float]:
        metres = self.ground_metres(self.height / 2, self.width / 2)
        if metres is None or min(metres) <= 0:
            x, y = self.world(self.height / 2, self.width / 2)
            system = self.crs.to_string() if self.crs is not None else ""
            raise InputError(
                f"the centre ({x:.6g}, {y:.6g}) is not a position of {system}: correct the georeference, or declare the CRS"
            )
        return metres

    def ground_metres(self, row: float, col: float) -> tuple[float, float] | None:
        """Measure the pixel (down, across) around a position in metres on the ellipsoid, true to its area; None outside of the
        projection."""
        assert self.crs is not None
        vectors = []
        for down, across in ((1, 0), (0, 1)):
            length = self.pixel_size[0 if down else 1]
            # about 100 m or 0.0005 degrees, since very short lines have rounding errors
            half = max(0.5, (5e-4 if self.crs.is_geographic else 50.0) / length)
            before = self.world(row - half * down, col - half * across)
            vector = ground_vector(self.crs, before, self.world(row + half * down, col + half * across))
            if vector is None:
                return None
            vectors.append((vector[0] / (2 * half), vector[1] / (2 * half)))
        (east_down, north_down), (east_across, north_across) = vectors
        lengths = math.hypot(east_down, north_down), math.hypot(east_across, north_across)
        if min(lengths) == 0:
            return None
        slant = abs(east_down * north_across - north_down * east_across) / (lengths[0] * lengths[1])
        slant = self._slant_by_diagonals(row, col) if slant < _SLANTED else slant
        return lengths[0] * math.sqrt(slant), lengths[1] * math.sqrt(slant)

    def _slant_by_diagonals(self, row: float, col: float) -> float:
        """Measure the sine of the angle between a pixel's edges, also at a pole, where azimuths turn; 1 where it is unknown."""
        assert self.crs is not None
        half = max(0.5, (5e-4 if self.crs.is_geographic else 50.0) / min(self.pixel_size))

        def length(down: float, across: float) -> float:
            ends = (self.world(row + sign * half * down, col + sign * half * across) for sign in (-1, 1))
            vector = ground_vector(self.crs, *ends)
            return math.hypot(*vector) if vector is not None else math.nan

        cosine = (length(1, 1) ** 2 - length(1, -1) ** 2) / (4 * length(1, 0) * length(0, 1))
        return math.sqrt(1 - cosine**2) if abs(cosine) < 1 else 1.0

    def area_factors(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray | None:
        """Compute how many times the area of the grid's central pixel the ground area at pixel positions is.

        Returns:
            factors (n,); None where the areas of the grid's pixels differ by less than 1 %, or are unknown.
        """
        if not self.georeferenced or self.crs is None or not (self.crs.is_geographic or self.crs.is_projected):
            return None
        middle = self.height / 2, self.width / 2
        places = [(row, col) for row in (0, middle[0], self.height) for col in (0, middle[1], self.width)]
        areas = self._pixel_areas(*np.array(places, float).T)
        centre = areas[len(places) // 2]
        finite = areas[np.isfinite(areas)]
        if not (np.isfinite(centre) and centre > 0 and finite.max() - finite.min() > 0.01 * centre):
            return None
        factors = self._pixel_areas(np.asarray(rows, float), np.asarray(cols, float)) / centre
        return np.where(np.isfinite(factors), factors, 1.0)

    @property
    def has_equal_areas(self) -> bool:
        """Whether the ground areas of the grid's pixels differ by less than 1 %, or are unknown."""
        return self.area_factors(np.zeros(1), np.zeros(1)) is None

    def _pixel_areas(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Measure pixels (n,) around positions in square metres on the ellipsoid; nan outside of the projection."""
        assert self.crs is not None
        half = [max(0.5, (5e-4 if self.crs.is_geographic else 50.0) / length) for length in self.pixel_size]
        corners = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
        x, y = _apply(
            self.transform,
            np.stack([cols + across * half[1] for _, across in corners]),
            np.stack([rows + down * half[0] for down, _ in corners]),
        )
        return ground_areas(self.crs, x, y) / (4 * half[0] * half[1])

    def same_pixels(self, other: Grid) -> bool:
        """Check whether two grids have equal pixels, up to 1/100 px.

        Without a georeference of both, check whether they are equally large.
        """
        if (self.height, self.width) != (other.height, other.width):
            return False
        if not (self.georeferenced and other.georeferenced):
            return True
        if not same_system(self.crs, other.crs):
            return False
        corners = ((0, 0), (0, self.width), (self.height, 0), (self.height, self.width))
        return all(
            abs(place - corner_position) <= _SAME
            for corner in corners
            for place, corner_position in zip(other.pixel(*self.world(*corner)), corner, strict=True)
        )

    def axes_in(self, other: Grid) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Find where the axes of this grid lie in another one, in the other's pixels.

        Returns:
            (start, step) down and across, a step below 0 for opposite directions; None unless both axes are parallel.
        """
        if not same_system(self.crs, other.crs):
            return None
        t = ~other._near(self).transform @ self.transform
        if abs(t.b) > 1e-6 * abs(t.a) or abs(t.d) > 1e-6 * abs(t.e):
            return None
        down, across = (math.copysign(1, v) if abs(abs(v) - 1) < 1e-6 else v for v in (t.e, t.a))
        return (t.f, down), (t.c, across)

    def positions_in(self, other: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Find the centres of this grid's pixels in another grid.

        The transformation between two CRSs is exact every 16 pixels and linear between them. These nodes are fixed in the
        world, so a position does not depend on the window.

        Returns:
            rows and cols (height, width) float64 in the other's pixels; nan where there is no such position.
        """
        if same_system(self.crs, other.crs):
            rows, cols = np.mgrid[: self.height, : self.width] + 0.5
            return self.points_in(other, rows, cols)
        down, across = self.pixel(0, 0)  # of the world's origin
        row_nodes, row_places = _nodes(self.height, down)
        col_nodes, col_places = _nodes(self.width, across)
        rows, cols = self.points_in(other, *np.meshgrid(row_nodes, col_nodes, indexing="ij"))
        if other.crs is not None and other.crs.is_geographic:  # no position between nodes on both sides of the cut
            turn = 180 / other.pixel_size[1]
            is_seam = np.zeros(cols.shape, bool)
            is_seam[:, 1:] |= np.abs(np.diff(cols, axis=1)) > turn
            is_seam[1:] |= np.abs(np.diff(cols, axis=0)) > turn
            cols[is_seam] = np.nan
        rows, cols = (_between(_between(nodes, row_places).T, col_places).T for nodes in (rows, cols))
        return rows, cols

    def points_in(self, other: Grid, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Transform pixel positions of this grid to those of another one.

        Args:
            rows, cols: positions of one shape.

        Returns:
            rows and cols, float64 of that shape; nan where the other grid has no such position.
        """
        x, y = _apply(self.transform, np.asarray(cols, float), np.asarray(rows, float))
        if self.crs is not None and other.crs is not None and self.crs != other.crs:
            x, y = transform_points(self.crs, other.crs, x, y)
            if other.crs.is_geographic:  # the longitudes around the other grid
                middle = other.world(other.height / 2, other.width / 2)[0]
                x = middle + (x - middle + 180) % 360 - 180
            cols, rows = _apply(~other.transform, x, y)
        else:
            cols, rows = _apply(~other._near(self).transform, x, y)
        return rows, cols

    def _near(self, other: Grid) -> Grid:
        """Turn this grid by 360 degrees if another grid of its CRS has longitudes on the other side of the date line."""
        if self.crs is None or not self.crs.is_geographic:
            return self
        apart = other.world(other.height / 2, other.width / 2)[0] - self.world(self.height / 2, self.width / 2)[0]
        turns = 360 * round(apart / 360)
        return Grid(self.height, self.width, Affine.translation(turns, 0) @ self.transform, self.crs)

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


def _is_true(ground: tuple[float, float], units: tuple[float, float]) -> bool:
    """Check whether a projection is true enough that its units count as metres on the ground (down, across)."""
    down, across = (g / unit for g, unit in zip(ground, units, strict=True))
    return max(abs(down - 1), abs(across - 1)) <= _TRUE_LENGTH and abs(down * across - 1) <= _TRUE_AREA


def _nodes(length: int, origin: float) -> tuple[np.ndarray, np.ndarray]:
    """Place nodes around 0..length at fixed distances from the world's origin.

    Returns:
        positions (n,); the pixels' centres (length,) counted in nodes from the first one.
    """
    first = math.floor(origin + 1e-3) % _EVERY - _EVERY
    nodes = first + _EVERY * np.arange((length - first) // _EVERY + 2)
    return nodes.astype(float), (np.arange(length) + 0.5 - first) / _EVERY


def _between(nodes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate values (n, m) of nodes linearly at places (length,): (length, m)."""
    before = np.floor(places).astype(int)
    share = (places - before)[:, None]
    values: np.ndarray = nodes[before] * (1 - share) + nodes[before + 1] * share
    return values


def _apply(transform: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transform positions of any shape."""
    t = transform
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f
