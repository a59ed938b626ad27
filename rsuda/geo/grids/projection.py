"""Transform positions between coordinate reference systems, and measure a system's units on the ground."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pyproj
from pyproj.exceptions import CRSError as ProjectionCRSError
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsuda.core.display import quoted
from rsuda.core.errors import InputError

_SYSTEMS = 256


@lru_cache(_SYSTEMS)
def _system(wkt: str) -> pyproj.CRS:
    return pyproj.CRS.from_wkt(wkt)


@lru_cache(_SYSTEMS)
def _geodetic(wkt: str) -> tuple[pyproj.Transformer | None, pyproj.Geod, float]:
    """Return the transformer to longitude and latitude, the ellipsoid, and degrees per unit.

    The transformer is None for a system that has longitude and latitude.
    """
    system = _system(wkt)
    ellipsoid = system.get_geod()
    if system.is_geographic:
        return None, ellipsoid or pyproj.Geod(ellps="WGS84"), _degrees(system)
    base = system.geodetic_crs
    if base is None or ellipsoid is None:
        raise ProjError("no ellipsoid")
    return pyproj.Transformer.from_crs(system, base, always_xy=True), ellipsoid, _degrees(base)


def _degrees(system: pyproj.CRS) -> float:
    """Return the degrees per unit of a geographic system, whose units may be grads or radians."""
    return math.degrees(system.axis_info[0].unit_conversion_factor) if system.axis_info else 1.0


def crs_of_wkt(text: str) -> CRS | None:
    """Read a system from WKT of any dialect, by its EPSG code where it has one; None for any other text."""
    try:
        system = pyproj.CRS.from_wkt(text.strip())  # GDAL would keep its error for a later call
        code = system.to_epsg()
        return CRS.from_epsg(code) if code else CRS.from_wkt(system.to_wkt())
    except (ProjectionCRSError, CRSError):
        return None


def metres_of_local(crs: CRS) -> float | None:
    """Return the metres per unit of a local system, such as that of a building site, whose place on Earth is unknown.

    None for all other systems, and for a local one without a unit of length.
    """
    try:
        system = _system(crs.to_wkt())
    except (ProjectionCRSError, CRSError):
        return None
    axes = system.axis_info
    if not system.is_engineering or not axes or axes[0].unit_name.lower() in ("unknown", "degree", ""):
        return None
    return float(axes[0].unit_conversion_factor) or None


@lru_cache(_SYSTEMS)
def _transformer(before: str, after: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(_system(before), _system(after), always_xy=True)


def same_system(one: CRS | None, other: CRS | None) -> bool:
    """Check whether two systems are equal; a missing one is taken to be the other."""
    return one is None or other is None or one == other


def transform_points(before: CRS, after: CRS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transform positions (x, y) of any shape from one system to another; nan where there is no such position.

    Raises:
        InputError: PROJ has no transformation between the two systems.
    """
    try:
        xs, ys = _transformer(before.to_wkt(), after.to_wkt()).transform(x, y)
    except (ProjError, ProjectionCRSError, CRSError) as error:
        raise InputError(
            f"positions cannot be transformed from {before.to_string()} to {after.to_string()} "
            f"({quoted(error)}): reproject one of the files"
        ) from None
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    bad = ~(np.isfinite(xs) & np.isfinite(ys))
    return np.where(bad, np.nan, xs), np.where(bad, np.nan, ys)


def lon_lat(crs: CRS, x: np.ndarray | float, y: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Transform positions to longitude and latitude in degrees on the system's own ellipsoid.

    Args:
        x, y: world positions of one shape, in the system's units.

    Returns:
        longitude and latitude, float64 of that shape; inf outside of the projection.

    Raises:
        ProjError: the system has no ellipsoid.
    """
    transformer, _, degrees = _geodetic(crs.to_wkt())
    x, y = np.asarray(x, float), np.asarray(y, float)
    if transformer is not None:
        x, y = transformer.transform(x, y)
    return np.asarray(x) * degrees, np.asarray(y) * degrees


def ground_vector(crs: CRS, before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float] | None:
    """Measure the line between two near positions on the ellipsoid: (east, north) metres; None outside of the projection."""
    try:
        lon, lat = lon_lat(crs, *np.array([before, after], float).T)
        if not (np.isfinite(lon).all() and np.isfinite(lat).all() and np.abs(lat).max() <= 90):
            return None
        azimuth, back, length = _geodetic(crs.to_wkt())[1].inv(lon[0], lat[0], lon[1], lat[1])
    except (ProjError, ProjectionCRSError):
        return None
    # the mean of the azimuths at both ends, so that the convergence of meridians cancels
    middle = math.radians(azimuth + ((back + 180 - azimuth + 180) % 360 - 180) / 2)
    return length * math.sin(middle), length * math.cos(middle)


def ground_areas(crs: CRS, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Measure small quadrangles with corners (4, n) in square metres on the ellipsoid (n,); nan outside of the projection."""
    try:
        lon, lat = lon_lat(crs, x, y)
        ellipsoid = _geodetic(crs.to_wkt())[1]
    except (ProjError, ProjectionCRSError):
        return np.full(x.shape[1:], np.nan)
    inside = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = np.where(inside, lon, np.nan), np.where(inside, lat, np.nan)  # infinite ones would make numpy warn
    middle = np.radians(lat.mean(0))
    curve = 1 - ellipsoid.es * np.sin(middle) ** 2
    north = ellipsoid.a * (1 - ellipsoid.es) / curve**1.5  # metres per radian
    east = ellipsoid.a / np.sqrt(curve) * np.cos(middle)
    one, other = (
        (np.radians((v[2] - v[0] + 180) % 360 - 180), np.radians((v[3] - v[1] + 180) % 360 - 180)) for v in (lon, lat)
    )
    areas: np.ndarray = np.abs(one[0] * other[1] - one[1] * other[0]) / 2 * east * north
    return np.where(np.isfinite(areas) & (np.abs(lat).max(0) <= 90), areas, np.nan)
