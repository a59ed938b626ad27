"""A class raster as polygons that share their borders, and files of them."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.legend import Legend
from rsuda.core.vector_formats import check_format
from rsuda.geo.grid import Grid
from rsuda.geo.rings import Rings, find_rings
from rsuda.geo.run_lengths import (
    CERTAIN,
    Components,
    RunLengths,
    Strip,
    encode,
    find_borders,
    find_patches,
    merge_small,
)

MOST = 2_000_000  # polygons: more than that, few programs draw


def polygonise(
    classes: np.ndarray | Iterable[Strip],
    grid: Grid,
    legend: Legend,
    gsd: tuple[float, float],
    min_area: float = 0.0,
    simplify: float = 0.0,
    most: int = MOST,
) -> gpd.GeoDataFrame:
    """One polygon per patch of a class, pixels joined over edges, as a valid coverage: no gaps, no overlaps, and
    neighbours have the vertices of their common border in common.

    Args:
        classes: (H, W) uint8, 255 is left out; or strips (h, W) of it from top to bottom; or pairs of such strips and
            (h, W) uint8 confidences, where 0 to 254 is 0 to 1, and 255 none. Strips are not kept.
        gsd: (down, across) metres per pixel.
        min_area: square metres. Smaller patches become parts of the neighbours they have the longest borders with; those
            amid no data have none and stay.
        simplify: metres by which borders may be drawn straighter than their pixels: detail of less than about this
            size squared goes. What two polygons share stays shared.
        most: patches. Where there are more, the smallest are merged as by ``min_area``, and a note says so.

    Returns:
        columns class (index, int32), name, area_m2 of the drawn polygon, confidence (mean over the pixels, if there are
        any; to 4 digits) and geometry, in the grid's CRS, in the order of the patches' first pixels. Without a
        georeference x is the column and y minus the row, which is where GIS programs draw such a raster.
        ``attrs["notes"]`` is a list of sentences for the user.

    Raises:
        InputError: a class that the legend lacks; a negative ``min_area`` or ``simplify``.
        ValueError: strips that do not make up the grid.
    """
    if not (min_area >= 0 and simplify >= 0):
        raise InputError(f"least area {min_area:g} m2 and simplification {simplify:g} m must not be negative")
    strips: Iterable[Strip] = [classes] if isinstance(classes, np.ndarray) else classes
    runs = encode(strips, grid.height, grid.width)
    patches = find_patches(runs)
    if len(patches) and patches.value.max() >= len(legend):
        raise InputError(f"a pixel has class {patches.value.max()}, but the legend has {len(legend)} classes from 0 on")
    pixel = gsd[0] * gsd[1]
    least = math.ceil(min(min_area / pixel, grid.height * grid.width) - 1e-9)
    patches, notes = _generalise(runs, patches, least, most, pixel)
    north_up = grid.drawn.a * grid.drawn.e - grid.drawn.b * grid.drawn.d < 0
    rings = find_rings(runs, patches.of_run, len(patches), clockwise=not north_up)
    lattice = np.stack([rings.col, rings.row], 1).astype(float)
    area = patches.pixels * pixel
    if simplify and len(patches):
        # on the lattice, so that of corners that are equally worth keeping the same go wherever the grid lies
        polygons = _polygons(lattice, rings)
        polygons = shapely.coverage_simplify(polygons, simplify / math.sqrt(pixel))
        area = shapely.area(polygons) * pixel
        polygons = shapely.orient_polygons(shapely.transform(polygons, lambda points: _world(points, grid)))
    else:
        polygons = _polygons(_world(lattice, grid), rings)
    index = patches.value.astype(np.int32)
    columns = {"class": index, "name": np.array(legend.names, object)[index], "area_m2": np.round(area, 4)}
    if patches.confidence is not None and patches.told is not None:
        told = np.where(patches.told > 0, patches.told, np.nan)
        columns["confidence"] = np.round(patches.confidence / (CERTAIN * told), 4)
    frame = gpd.GeoDataFrame(columns, geometry=polygons, crs=grid.crs)
    frame.attrs["notes"] = notes
    return frame


def _generalise(
    runs: RunLengths, patches: Components, least: int, most: int, pixel: float
) -> tuple[Components, list[str]]:
    """Patches of at least ``least`` pixels; and of 2, 4, 8 ... pixels, until there are no more than ``most``.

    Args:
        pixel: square metres of one.
    """
    found, raised = len(patches), least
    if not (found > most or (least > 1 and found and patches.pixels.min() < least)):
        return patches, []
    borders = find_borders(runs, patches)
    patches, borders = merge_small(patches, borders, least)
    while len(patches) > most and len(borders.one):
        raised = 1 << max(1, raised.bit_length())  # the next power of two
        patches, borders = merge_small(patches, borders, raised)
    told = f"the mask has {_many(found)} patches, more than {_many(most)}"
    left = f"{_many(len(patches))} amid no data have no neighbour and stay"
    if raised > least:
        merged = f"{told}: patches under {raised} pixels ({raised * pixel:.3g} m2) were merged into their neighbours"
        return patches, [f"{merged}{f', {left}' if len(patches) > most else ''}; --min-area chooses"]
    return patches, [f"{told}: {left}"] if len(patches) > most else []


def _many(count: int) -> str:
    return f"{count / 1e6:.3g} million" if count >= 1e6 else f"{count:,}"


def _world(points: np.ndarray, grid: Grid) -> np.ndarray:
    """World coordinates (n, 2) of lattice points (col, row); those of equal points are equal to the last bit."""
    t, col, row = grid.drawn, points[:, 0], points[:, 1]
    world = np.empty(points.shape)
    world[:, 0] = t.a * col + t.b * row + t.c
    world[:, 1] = t.d * col + t.e * row + t.f
    return world


def _polygons(points: np.ndarray, rings: Rings) -> np.ndarray:
    polygons: np.ndarray = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (rings.ring, rings.patch))
    return polygons


def regularise(
    frame: gpd.GeoDataFrame, names: Iterable[str], grid: Grid, legend: Legend, gsd: tuple[float, float]
) -> gpd.GeoDataFrame:
    """The footprints of the named classes with edges at right angles, or half ones where a border runs so.

    They overlap and leave gaps, so they are a layer of their own. Footprints of a few pixels may vanish.

    Args:
        frame: of ``polygonise``, with the same ``grid``, ``legend`` and ``gsd``.

    Returns:
        the columns of ``frame``, area_m2 that of the new outline.

    Raises:
        InputError: a name that the legend lacks; the package buildingregulariser is not installed.
    """
    check_footprints(names := list(names), legend)
    from buildingregulariser import regularize_geodataframe

    chosen = frame[frame["name"].isin(names)].reset_index(drop=True)
    if not len(chosen):
        return chosen
    down, across = grid.pixel_size if grid.georeferenced else (1.0, 1.0)
    pixel = math.sqrt(down * across)
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):  # of the package's own calls to GeoPandas
            warnings.simplefilter("ignore", category)
        # Three pixels take the stairs off slanted walls. Without half angles walls slightly off grow steps.
        squared = regularize_geodataframe(
            chosen, parallel_threshold=2 * pixel, simplify_tolerance=3 * pixel, allow_circles=False, num_cores=1
        )
    squared["area_m2"] = np.round(squared.area * (gsd[0] * gsd[1]) / (down * across), 4)
    return squared


def check_footprints(names: Iterable[str], legend: Legend) -> None:
    """Raises InputError when the footprints of these classes cannot be made regular here."""
    for name in names:
        if name not in legend.names:
            raise unknown("class", name, legend.names)
        if find_spec("buildingregulariser") is None:
            raise InputError(
                "right-angled footprints need a package that is not installed: pip install 'rsuda[vector]'"
            )


def _layer(path: Path) -> str:
    """A file's name as that of its layer: GeoPackage takes none that begins with a sign."""
    return re.sub(r"^\W", "_", path.stem)


def write_polygons(frame: gpd.GeoDataFrame, path: Path, overwrite: bool = False) -> None:
    """Write polygons in the format that the suffix of ``path`` names, whole or not at all."""
    vector_format = check_format(path.suffix.lstrip("."))
    with atomic_write(path, overwrite) as temporary:
        if vector_format.driver is None:
            frame.to_parquet(temporary)
        else:
            options = vector_format.located_options if frame.crs else {}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "'crs' was not provided")  # the caller says so in its own words
                frame.to_file(temporary, driver=vector_format.driver, layer=_layer(path), engine="pyogrio", **options)


def read_polygons(path: Path) -> gpd.GeoDataFrame:
    """Polygons that ``write_polygons`` wrote. Raises MissingError when the file is gone."""
    if not path.is_file():
        raise MissingError(f"there is no file {path}: predict the scene again")
    parquet = check_format(path.suffix.lstrip(".")).driver is None
    return gpd.read_parquet(path) if parquet else gpd.read_file(path)
