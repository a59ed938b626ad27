"""Convert a class raster to polygons that share their borders."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import shapely

from rsuda.core.errors import InputError, unknown
from rsuda.core.legend import Legend
from rsuda.core.machine import return_freed_memory, usable_cores
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.polygons.rings import Rings, find_rings
from rsuda.geo.polygons.run_lengths import CERTAIN, Components, RunLengths, Strip, encode, find_components
from rsuda.geo.polygons.small_areas import find_borders, have_borders, merge_single_pixels, merge_small
from rsuda.geo.polygons.table import PolygonTable, wkb_of

_SQUARE = 1e-3  # deviation of a pixel's shape from the square
PART = 50_000  # polygons that are drawn at a time
_AT_ONCE = 2  # parts that are drawn at once: each takes memory
MOST = 2_000_000  # polygons; few programs draw more


def polygon_table(
    classes: np.ndarray | Iterable[Strip],
    grid: Grid,
    legend: Legend,
    gsd: tuple[float, float],
    min_area: float = 0.0,
    simplify: float = 0.0,
    most: int = MOST,
) -> PolygonTable:
    """Convert each connected component of a class to the bytes of a polygon.

    Pixels are connected over edges. The polygons are a valid coverage: they have no gaps and no overlaps, and neighbours
    share all vertices of their common border.

    Args:
        classes: (H, W) uint8, 255 is left out; or its strips (h, W) from top to bottom; or pairs of these strips and
            their confidences. Confidences are (h, W) uint8, 0 to 254 for 0..1 and 255 for unknown. Only one strip is in
            memory at a time.
        gsd: (down, across) metres per pixel.
        min_area: square metres. Smaller components merge into the neighbour with the longest common border; those
            surrounded by nodata have no neighbour and stay.
        simplify: metres by which borders may be straightened: detail smaller than about its square is removed. Common
            borders stay common.
        most: number of polygons. If there are more, the smallest components are merged as by ``min_area``, with a note.

    Returns:
        columns class (index, int32), name, area_m2 of the drawn polygon, confidence (mean over the pixels to 4 digits, if
        confidences are passed) and outlines in the grid's CRS, in the order of the components' first pixels. Without a
        georeference x is the column and y minus the row, as GIS programs draw such a raster. Its notes are sentences for the
        user.

    Raises:
        InputError: a class outside of the legend, or a negative ``min_area`` or ``simplify``.
        ValueError: the strips do not make up the grid.
    """
    if not (min_area >= 0 and simplify >= 0):
        raise InputError(
            f"the least area is {min_area:g} m2 and the simplification {simplify:g} m; both must be at least 0"
        )
    strips: Iterable[Strip] = [classes] if isinstance(classes, np.ndarray) else classes
    pixel = gsd[0] * gsd[1]
    least = math.ceil(min(min_area / pixel, grid.height * grid.width) - 1e-9)
    runs, components, notes = _areas(strips, grid, legend, least, most, pixel)
    transform = grid.display_transform
    north_up = transform.a * transform.e - transform.b * transform.d < 0
    rings = find_rings(runs, components.of_run, len(components), clockwise=not north_up)
    del runs
    return_freed_memory()  # what rings of noise leave behind is more than its outlines take
    outlines = _simplified(rings, simplify, gsd, grid) if simplify and len(components) else _exact(rings, grid)
    area = (components.pixels if outlines.pixels is None else outlines.pixels) * pixel
    if outlines.centres is not None and len(area):
        factors = grid.area_factors(outlines.centres[:, 1], outlines.centres[:, 0])
        area = area if factors is None else area * factors
    index = components.value.astype(np.int32)
    columns = {"class": index, "name": np.array(legend.names, object)[index], "area_m2": np.round(area, 4)}
    if components.confidence is not None and components.confidence_pixels is not None:
        counts = np.where(components.confidence_pixels > 0, components.confidence_pixels, np.nan)
        columns["confidence"] = np.round(components.confidence / (CERTAIN * counts), 4)
    return PolygonTable(columns, outlines.outlines, grid.crs, notes)


@dataclass(frozen=True)
class _Outlines:
    """Polygons in world coordinates.

    Attributes:
        outlines: (n,) their WKB.
        centres: (n, 2) float64 their centroids on the lattice (col, row); None where the grid's pixels have one area.
        pixels: (n,) float64 their areas in pixels, if borders were straightened.
    """

    outlines: np.ndarray
    centres: np.ndarray | None
    pixels: np.ndarray | None = None


def _exact(rings: Rings, grid: Grid) -> _Outlines:
    """Draw components as they are, a part of them at a time, since coordinates take more memory than rings."""
    equal = grid.has_equal_areas

    def draw(first: int) -> tuple[np.ndarray, np.ndarray]:
        part = rings.part(first, first + PART)
        lattice = _lattice(part)
        centres = np.zeros((0, 2)) if equal else _centres(_polygons(lattice, part))
        return wkb_of(_world(lattice, grid), part), centres

    with ThreadPoolExecutor(min(_AT_ONCE, usable_cores())) as threads:
        parts = list(threads.map(draw, range(0, len(rings.component) - 1, PART)))
    outlines = np.concatenate([np.zeros(0, object), *(outlines for outlines, _ in parts)])
    centres = None if equal else np.concatenate([np.zeros((0, 2)), *(centres for _, centres in parts)])
    return _Outlines(outlines, centres)


def _simplified(rings: Rings, metres: float, gsd: tuple[float, float], grid: Grid) -> _Outlines:
    """Draw components with straightened borders: all at once, since neighbours share them."""
    # on the lattice, so that the choice between equal corners does not depend on the position of the grid
    polygons = _simplify(_polygons(_lattice(rings), rings), metres, gsd)
    world = shapely.orient_polygons(shapely.transform(polygons, lambda points: _world(points, grid)))
    return _Outlines(
        shapely.to_wkb(world), None if grid.has_equal_areas else _centres(polygons), shapely.area(polygons)
    )


def _simplify(polygons: np.ndarray, metres: float, gsd: tuple[float, float]) -> np.ndarray:
    """Straighten a coverage in pixels (col, row); oblong pixels are drawn in their shape meanwhile."""
    down, across = gsd
    pixel = math.sqrt(down * across)
    if abs(down / across - 1) < _SQUARE:
        simplified: np.ndarray = shapely.coverage_simplify(polygons, metres / pixel)
        return simplified
    shape = np.array([across / pixel, down / pixel])
    simplified = shapely.coverage_simplify(shapely.transform(polygons, lambda points: points * shape), metres / pixel)
    # corners are corners of pixels, so that equal ones are equal to the last bit
    straight: np.ndarray = shapely.transform(simplified, lambda points: np.round(points / shape))
    return straight


def _areas(
    strips: Iterable[Strip], grid: Grid, legend: Legend, least: int, most: int, pixel: float
) -> tuple[RunLengths, Components, list[str]]:
    """Find components, and merge those below ``least`` pixels, then below 2, 4, 8 ... pixels until there are at most ``most``.

    Args:
        pixel: square metres of a pixel.

    Returns:
        the runs and their components, and notes for the user.
    """
    runs = encode(strips, grid.height, grid.width)
    components = find_components(runs)
    count, limit = len(components), least
    if count and components.value.max() >= len(legend):
        raise InputError(
            f"a pixel has class {components.value.max()}, but the classes of the legend are 0 to {len(legend) - 1}"
        )
    if not (count > most or (least > 1 and count and components.pixels.min() < least)):
        return runs, components, []
    if least > 1 or have_borders(runs, components):
        runs = merge_single_pixels(runs, components)
        del components  # before those of the joined runs, since noise has many
        components = find_components(runs)
        limit = max(limit, 2)
    borders = find_borders(runs, components)
    components, borders = merge_small(components, borders, limit)
    while len(components) > most and len(borders.one):
        limit = 1 << max(1, limit.bit_length())  # the next power of two
        components, borders = merge_small(components, borders, limit)
    total = f"the mask has {_readable(count)} areas, more than {_readable(most)}"
    islands = f"{_readable(len(components))} surrounded by nodata have no neighbour and stay"
    if limit > least:
        change = f"{total}: areas below {limit} pixels ({limit * pixel:.3g} m2) are merged into their neighbours"
        return (
            runs,
            components,
            [f"{change}{f', {islands}' if len(components) > most else ''}; {spell('min_area')} sets the limit"],
        )
    return runs, components, [f"{total}: {islands}"] if len(components) > most else []


def _readable(count: int) -> str:
    return f"{count / 1e6:.3g} million" if count >= 1e6 else f"{count:,}"


def _world(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Transform lattice points (col, row) to world coordinates (n, 2); equal points have bit-equal coordinates."""
    t, col, row = grid.display_transform, points[:, 0], points[:, 1]
    world = np.empty(points.shape)
    world[:, 0] = t.a * col + t.b * row + t.c
    world[:, 1] = t.d * col + t.e * row + t.f
    return world


def _lattice(rings: Rings) -> np.ndarray:
    """Return the points of rings as float64 (n, 2): col, row."""
    return np.stack([rings.col, rings.row], 1).astype(float)


def _centres(polygons: np.ndarray) -> np.ndarray:
    """Return the centroids (n, 2) of polygons."""
    centres: np.ndarray = shapely.get_coordinates(shapely.centroid(polygons))
    return centres


def _polygons(points: np.ndarray, rings: Rings) -> np.ndarray:
    polygons: np.ndarray = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, points, (rings.ring, rings.component)
    )
    return polygons


def regularise(
    frame: gpd.GeoDataFrame, names: Iterable[str], grid: Grid, legend: Legend, gsd: tuple[float, float]
) -> gpd.GeoDataFrame:
    """Square the footprints of the named classes: edges meet at 90 degrees, or at 45 where the border runs so.

    The results overlap and leave gaps, so they are a separate layer. Footprints of a few pixels may vanish.

    Args:
        frame: of ``polygon_table`` with the same ``grid``, ``legend`` and ``gsd``.

    Returns:
        the columns of ``frame``, with area_m2 of the new outlines.

    Raises:
        InputError: a class outside of the legend, or the package buildingregulariser is not installed.
    """
    check_footprints(names := list(names), legend)
    from buildingregulariser import regularize_geodataframe

    footprints = frame[frame["name"].isin(names)].reset_index(drop=True)
    if not len(footprints):
        return footprints
    down, across = grid.pixel_size if grid.georeferenced else (1.0, 1.0)
    oblong = abs(gsd[0] / down * across / gsd[1] - 1) > _SQUARE  # such as degrees
    if oblong:  # squared in metres from the grid's first corner
        outlines, crs = footprints.geometry.values, footprints.crs
        footprints = footprints.set_crs(None, allow_override=True)
        footprints = footprints.set_geometry(shapely.transform(outlines, lambda points: _metres(points, grid, gsd)))
        down, across = gsd
    pixel = math.sqrt(down * across)
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):  # of the package's own calls to GeoPandas
            warnings.simplefilter("ignore", category)
        # Three pixels remove the steps of slanted walls. Without half angles, slightly slanted walls get steps.
        regular_footprints = regularize_geodataframe(
            footprints, parallel_threshold=2 * pixel, simplify_tolerance=3 * pixel, allow_circles=False, num_cores=1
        )
    area = regular_footprints.area.to_numpy() * (gsd[0] * gsd[1]) / (down * across)
    if oblong:
        regular_footprints = regular_footprints.set_geometry(
            shapely.transform(regular_footprints.geometry.values, lambda points: _from_metres(points, grid, gsd)),
            crs=crs,
        )
    positions = shapely.get_coordinates(shapely.centroid(regular_footprints.geometry.values))
    rows, cols = (np.array(part) for part in grid.pixel(*positions.T))
    factors = grid.area_factors(rows, cols) if grid.georeferenced else None
    regular_footprints["area_m2"] = np.round(area if factors is None else area * factors, 4)
    return regular_footprints


def _metres(points: np.ndarray, grid: Grid, gsd: tuple[float, float]) -> np.ndarray:
    """Transform world positions (n, 2) to metres right and up from the grid's first corner."""
    rows, cols = grid.pixel(points[:, 0], points[:, 1])  # type: ignore[arg-type]
    return np.stack([cols * gsd[1], -rows * gsd[0]], 1)


def _from_metres(points: np.ndarray, grid: Grid, gsd: tuple[float, float]) -> np.ndarray:
    """Transform metres of ``_metres`` to world positions (n, 2)."""
    return _world(np.stack([points[:, 0] / gsd[1], -points[:, 1] / gsd[0]], 1), grid)


def check_footprints(names: Iterable[str], legend: Legend) -> None:
    """Raise InputError for a class outside of the legend, or without the package that squares footprints."""
    for name in names:
        if name not in legend.names:
            raise unknown("class", name, legend.names)
        if find_spec("buildingregulariser") is None:
            raise InputError(
                "squared footprints need the package buildingregulariser, which is not installed: pip install 'rsuda[vector]'"
            )
