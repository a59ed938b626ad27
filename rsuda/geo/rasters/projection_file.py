"""Read the CRS that a projection file (.prj) beside a raster declares, as providers deliver it with world files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from rasterio.crs import CRS

from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.projection import crs_of_wkt
from rsuda.geo.rasters.dataset_names import is_remote

_ENDINGS = (".prj", ".PRJ")
_MOST_BYTES = 1 << 16


def grid_of(file: Any, path: str | Path) -> Grid:
    """Read the grid of an open dataset; a transform without a CRS has that of the projection file beside it."""
    grid = Grid(file.height, file.width, file.transform, file.crs)
    crs = crs_beside(path) if grid.crs is None and grid.georeferenced else None
    return grid if crs is None else Grid(grid.height, grid.width, grid.transform, crs)


def crs_beside(raster: str | Path) -> CRS | None:
    """Read the CRS of a raster from the projection file of its name.

    Returns:
        None without such a file, where its text is not WKT, and where it belongs to a shapefile of the same name.
    """
    path = Path(raster)
    if is_remote(raster) or any(path.with_suffix(ending).is_file() for ending in (".shp", ".SHP")):
        return None
    for file in (path.with_suffix(ending) for ending in _ENDINGS):
        with suppress(OSError):
            if file.stat().st_size <= _MOST_BYTES:
                return crs_of_wkt(file.read_text(encoding="utf-8", errors="replace"))
    return None
