"""Read untrusted polygons from any vector file that GDAL reads."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from rsuda.core.errors import InputError


def read_frame(path: Path) -> gpd.GeoDataFrame:
    """Read a vector file. Raises InputError if it is unreadable or has no geometries."""
    try:
        frame = gpd.read_file(path)
        if isinstance(frame, gpd.GeoDataFrame):
            frame.geometry  # noqa: B018 (a frame may have lost its geometries)
            return frame
    except Exception as error:  # pyogrio, pyproj, pandas and GEOS each raise their own errors for a damaged file
        reasons = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{path} cannot be read as polygons: {reasons[0][:300]}") from None
    raise InputError(f"{path} cannot be read as polygons: it has no geometries")


def are_whole(shapes: gpd.GeoSeries) -> np.ndarray:
    """Mark (n,) bool the shapes that are polygons, not empty, with finite corners."""
    whole = np.array(shapes.geom_type.isin(["Polygon", "MultiPolygon"]) & ~shapes.is_empty)
    # bounds ignore some corners that are not finite
    corners, shape = shapely.get_coordinates(np.asarray(shapes.values), return_index=True)
    whole[shape[~np.isfinite(corners).all(1)]] = False
    return whole


def project(shapes: gpd.GeoSeries, crs: str, what: str, *, keep_all: bool = False) -> gpd.GeoSeries:
    """Project shapes to another CRS.

    Args:
        what: noun for the shapes in error messages.
        keep_all: replace shapes that cannot be projected by empty ones instead of leaving them out.

    Raises:
        InputError: no shape can be projected, or there is no transformation between the CRSs.
    """
    try:
        projected = shapes.to_crs(crs)
    except Exception as error:  # of pyproj, for many kinds of invalid CRS
        raise InputError(f"{what} cannot be projected to the scene's CRS: {str(error).splitlines()[0][:300]}") from None
    valid = are_whole(projected)
    if len(projected) and not valid.any():
        raise InputError(f"{what} is outside of the scene's CRS: check the CRS that it declares")
    return projected.where(valid, shapely.Polygon()) if keep_all else projected[valid]
