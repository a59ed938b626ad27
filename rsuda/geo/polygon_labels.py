"""Read labels that are polygons, such as drawn or corrected in a GIS, as class indices on the scene's grid."""

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
from rsuda.geo.label_windows import resample_labels
from rsuda.geo.polygon_input import are_whole, project, read_frame
from rsuda.geo.windows import Window4

VECTORS = (".gpkg", ".fgb", ".geojson", ".shp")


class DrawnLabels:
    """Labels from polygons with the attribute 'name' (a class of the legend) or 'class' (its index), as predict writes them.

    Pixels without a polygon, or under one without a class, are unlabelled. Of overlapping polygons the last one counts.

    Args:
        grid: grid of the scene's image.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self.path = path
        # polygons over an image without a georeference use the coordinates in which GIS programs draw it
        self.grid = Grid(grid.height, grid.width, grid.display_transform, grid.crs)

    @cached_property
    def polygons(self) -> gpd.GeoDataFrame:
        """The polygons in the grid's CRS.

        Raises:
            MissingError: the file is missing.
            InputError: it has no polygons, or they have no attribute for the class.
        """
        if not self.path.is_file():
            raise MissingError(f"there is no file {self.path}")
        frame = read_frame(self.path)
        if not {"name", "class"} & set(frame.columns):
            raise InputError(f"the polygons of {self.path} have no class: add the attribute 'name' or 'class'")
        frame = frame[are_whole(frame.geometry)].reset_index(drop=True)
        if frame.crs is not None and self.grid.crs is not None:
            geometry = project(frame.geometry, self.grid.crs.to_wkt(), str(self.path), keep_all=True)
            frame = frame.set_geometry(geometry)
        return frame

    def classes(self, legend: Legend) -> np.ndarray:
        """Look up the class index (n,) uint8 of each polygon, 255 without a class. Raises InputError for an unknown class."""
        by_name = "name" in self.polygons.columns
        indices: dict[Any, int] = (
            {name: k for k, name in enumerate(legend.names)} if by_name else {k: k for k in range(len(legend))}
        )
        classes = np.full(len(self.polygons), IGNORE, np.uint8)
        for i, value in enumerate(self.polygons["name" if by_name else "class"]):
            if _is_empty(value):
                continue
            if not isinstance(value, Hashable) or value not in indices:
                raise unknown("class of a polygon", printable(value)[:100], [str(name) for name in indices])
            classes[i] = indices[value]
        return classes

    def labels_at(self, legend: Legend, step: tuple[float, float], window: Window4) -> tuple[np.ndarray, int]:
        """Read the class indices of a window as ``RasterFile.labels_at``; there are no off-palette pixels."""
        classes = self.classes(legend)

        def burn(inner: Window4) -> tuple[np.ndarray, int]:
            part = self.grid.window(*inner)
            near = np.sort(self.polygons.sindex.query(box(*part.bounds)))
            shapes = [(self.polygons.geometry.iloc[i], int(classes[i])) for i in near if classes[i] != IGNORE]
            size = (part.height, part.width)
            if not shapes:
                return np.full(size, IGNORE, np.uint8), 0
            pixels: np.ndarray = rasterize(shapes, size, fill=IGNORE, transform=part.transform, dtype="uint8")
            return pixels, 0

        return resample_labels(self.grid, len(legend), step, window, burn)


def _is_empty(value: Any) -> bool:
    """Whether an attribute is None, nan or an empty text."""
    return value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value)
