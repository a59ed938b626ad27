"""Polygons of strangers, out of any vector file that GDAL reads."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from rsuda.core.errors import InputError


def read_frame(path: Path) -> gpd.GeoDataFrame:
    """What a vector file holds. Raises InputError when it holds no geometries, or cannot be read."""
    try:
        found = gpd.read_file(path)
        if isinstance(found, gpd.GeoDataFrame):
            found.geometry  # noqa: B018 (a frame may have lost its geometries)
            return found
    except Exception as error:  # pyogrio, pyproj, pandas and GEOS each have errors of their own for a damaged file
        told = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{path} cannot be read as polygons: {told[0][:300]}") from None
    raise InputError(f"{path} cannot be read as polygons: it holds no geometries")


def whole(shapes: gpd.GeoSeries) -> np.ndarray:
    """(n,) bool: which shapes are polygons of finite corners, and not empty."""
    kind = np.array(shapes.geom_type.isin(["Polygon", "MultiPolygon"]) & ~shapes.is_empty)
    corners, shape = shapely.get_coordinates(
        np.asarray(shapes.values), return_index=True
    )  # bounds pass over some that are no numbers
    kind[shape[~np.isfinite(corners).all(1)]] = False
    return kind


def projected(shapes: gpd.GeoSeries, crs: str, what: str, keep_all: bool = False) -> gpd.GeoSeries:
    """Shapes in another CRS. Those with corners that have no place there are left out, or empty with ``keep_all``.

    Raises InputError when none has, or there is no way from one CRS to the other.
    """
    try:
        moved = shapes.to_crs(crs)
    except Exception as error:  # of pyproj, for the many ways in which a CRS can be wrong
        raise InputError(f"{what} cannot be brought to the scene's CRS: {str(error).splitlines()[0][:300]}") from None
    there = whole(moved)
    if len(moved) and not there.any():
        raise InputError(f"{what} has no place in the scene's CRS: is its own CRS the one that it declares?")
    return moved.where(there, shapely.Polygon()) if keep_all else moved[there]
