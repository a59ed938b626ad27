"""Labels that are polygons: what a person drew or corrected in a GIS, read as class indices on the scene's grid."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from rasterio.features import rasterize
from shapely.geometry import box

from rsuda.core.display import printable
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grid import Grid
from rsuda.geo.polygon_input import projected, read_frame, whole
from rsuda.geo.raster import resampled_labels

VECTORS = (".gpkg", ".fgb", ".geojson", ".shp")


class DrawnLabels:
    """Polygons with a class by the attribute 'name' (a class of the legend), or else 'class' (its index), as `rsuda predict`
    writes them. What no polygon covers, or one without a class, is not labelled; of overlapping ones the later wins.

    Args:
        grid: of the scene's image.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self.path = path
        # polygons over an image without a georeference lie where GIS programs draw it
        self.grid = Grid(grid.height, grid.width, grid.drawn, grid.crs)

    @cached_property
    def polygons(self) -> gpd.GeoDataFrame:
        """In the grid's CRS. Raises MissingError or InputError when the file holds none, or none that has a class."""
        if not self.path.is_file():
            raise MissingError(f"there is no file {self.path}")
        found = read_frame(self.path)
        if not {"name", "class"} & set(found.columns):
            raise InputError(f"the polygons of {self.path} have no attribute 'name' or 'class' that tells their class")
        found = found[whole(found.geometry)].reset_index(drop=True)
        if found.crs is not None and self.grid.crs is not None:
            moved = projected(found.geometry, self.grid.crs.to_wkt(), str(self.path), keep_all=True)
            found = found.set_geometry(moved)
        return found

    def classes(self, legend: Legend) -> np.ndarray:
        """(n,) uint8, the index of each polygon's class, 255 for none. Raises InputError for a class that is none of the
        legend's."""
        by_name = "name" in self.polygons.columns
        index: dict[Any, int] = (
            {n: k for k, n in enumerate(legend.names)} if by_name else {k: k for k in range(len(legend))}
        )
        found = np.full(len(self.polygons), IGNORE, np.uint8)
        for i, value in enumerate(self.polygons["name" if by_name else "class"]):
            if value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value):
                continue
            if not isinstance(value, Hashable) or value not in index:
                raise unknown("class of a polygon", printable(value)[:100], [str(v) for v in index])
            found[i] = index[value]
        return found

    def labels_at(
        self, legend: Legend, step: tuple[float, float], window: tuple[int, int, int, int]
    ) -> tuple[np.ndarray, int]:
        """Class indices of a window as of a label raster, see RasterFile.labels_at; no pixel is off-palette."""
        classes = self.classes(legend)

        def burn(inner: tuple[int, int, int, int]) -> tuple[np.ndarray, int]:
            part = self.grid.window(*inner)
            near = np.sort(self.polygons.sindex.query(box(*part.bounds)))
            shapes = [(self.polygons.geometry.iloc[i], int(classes[i])) for i in near if classes[i] != IGNORE]
            size = (part.height, part.width)
            if not shapes:
                return np.full(size, IGNORE, np.uint8), 0
            return rasterize(shapes, size, fill=IGNORE, transform=part.transform, dtype="uint8"), 0

        return resampled_labels(self.grid, len(legend), step, window, burn)
