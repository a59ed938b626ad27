"""A class raster as polygons."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import geopandas as gpd
import numpy as np
from rasterio.features import shapes
from shapely.geometry import shape

from rsuda.errors import InputError, unknown
from rsuda.grid import Grid
from rsuda.legend import IGNORE, Legend
from rsuda.raster import whole_file

FORMATS = {"gpkg": "GPKG", "fgb": "FlatGeobuf", "geojson": "GeoJSON", "parquet": None}


def polygonise(classes: np.ndarray, grid: Grid, legend: Legend, gsd: tuple[float, float]) -> gpd.GeoDataFrame:
    """One polygon per patch of a class, pixels joined over edges; their borders are pixel edges.

    Args:
        classes: (H, W) uint8, 255 is left out.
        gsd: (down, across) metres per pixel, for areas.

    Returns:
        columns class (index), name, area_m2 and geometry, in the grid's CRS. Without a georeference x is the column
        and y minus the row, which is where GIS programs draw such a raster.
    """
    found = list(shapes(classes, mask=classes != IGNORE, connectivity=4, transform=grid.drawn))
    polygons = gpd.GeoSeries([shape(g) for g, _ in found], crs=grid.crs)
    index = np.array([int(v) for _, v in found], np.int32)
    down, across = grid.pixel_size if grid.georeferenced else (1.0, 1.0)
    metres = polygons.area.to_numpy() * (gsd[0] * gsd[1]) / (down * across)
    names = np.array(legend.names, object)
    return gpd.GeoDataFrame(
        {"class": index, "name": names[index] if len(index) else [], "area_m2": np.round(metres, 4)},
        geometry=polygons.values, crs=grid.crs,
    )  # fmt: skip


def check_format(name: str) -> str:
    """Raises InputError for a polygon format that is not in FORMATS, or cannot be written here."""
    if name not in FORMATS:
        raise unknown("polygon format", name, FORMATS)
    if name == "parquet" and find_spec("pyarrow") is None:
        raise InputError("polygons as parquet need pyarrow, which is not installed: pip install pyarrow, or use gpkg")
    return name


def write_polygons(frame: gpd.GeoDataFrame, path: Path, overwrite: bool = False) -> None:
    """Write polygons in the format that the suffix of ``path`` names, whole or not at all."""
    driver = FORMATS[check_format(path.suffix.lstrip("."))]
    with whole_file(path, overwrite) as temporary:
        if driver is None:
            frame.to_parquet(temporary)
        else:
            # RFC 7946 wants GeoJSON in longitude and latitude; GDAL reprojects when asked for it
            options = {"RFC7946": "YES"} if driver == "GeoJSON" and frame.crs else {}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "'crs' was not provided")  # the caller says so in its own words
                frame.to_file(temporary, driver=driver, layer=path.stem, engine="pyogrio", **options)
        assert os.path.exists(temporary)
