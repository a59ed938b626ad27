"""Describe what prediction wrote for a scene, and read its arrays and polygons back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.errors import InputError
from rsuda.geo.grids.grid import Grid
from rsuda.geo.polygons.files import read_polygons
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.rasters.raster import RasterFile
from rsuda.inference.products import PRODUCTS

_NAMES = ("polygons", "footprints", *(product.name for product in PRODUCTS if product.name != "classes"), "stac")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The files of a predicted scene and a few figures. Nothing stays in memory: the methods read the files.

    Attributes:
        scene: the scene's file or URL.
        files: paths by what they hold: 'classes', and as options ask 'polygons', 'footprints', 'confidence',
            'probabilities', 'stac'.
        area_m2: square metres by class name.
        pixels: number of pixels in the map.
        polygon_count: number of polygons; None if they were not written now.
        seconds: of computing and writing; 0 if skipped.
        notes: sentences for the user.
        skipped: whether an earlier run of the same scene, model and options had finished.
    """

    scene: Path | str
    files: Mapping[str, Path]
    area_m2: dict[str, float]
    pixels: int
    polygon_count: int | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    skipped: bool = True

    @property
    def raster(self) -> Path:
        """The class raster."""
        return self.files["classes"]

    @property
    def polygons(self) -> Path | None:
        """The file of polygons; None if not written."""
        return self.files.get("polygons")

    @property
    def footprints(self) -> Path | None:
        """The file of squared footprints; None if not written."""
        return self.files.get("footprints")

    @property
    def confidence(self) -> Path | None:
        """The raster of the class's probability; None if not written."""
        return self.files.get("confidence")

    @property
    def probabilities(self) -> Path | None:
        """The raster of all classes' probabilities; None if not written."""
        return self.files.get("probabilities")

    @property
    def stac(self) -> Path | None:
        """The STAC item; None if not written."""
        return self.files.get("stac")

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON; the path of a file that was not written is None."""
        paths = {name: self.files.get(name) for name in _NAMES}
        return {
            "scene": str(self.scene),
            "raster": str(self.raster),
            **{name: path and str(path) for name, path in paths.items()},
            "polygon_count": self.polygon_count,
            "area_m2": dict(self.area_m2),
            "pixels": self.pixels,
            "seconds": self.seconds,
            "notes": self.notes,
            "skipped": self.skipped,
        }

    @property
    def grid(self) -> Grid:
        """The grid of all rasters: ``grid.transform``, ``grid.crs``, ``grid.bounds``."""
        return RasterFile(self.raster).grid

    def classes(self) -> np.ndarray:
        """Read class indices (H, W) uint8 in the order of the legend; 255 is nodata."""
        return self._read("classes")[0]

    def confidences(self) -> np.ndarray:
        """Read the probability of each pixel's class, (H, W) float32 in 0..1; nan is nodata.

        Raises InputError when the raster was not written.
        """
        return self._shares("confidence")[0]

    def class_probabilities(self) -> np.ndarray:
        """Read probabilities (K, H, W) float32 in 0..1 in the order of the legend; nan is nodata.

        Raises InputError when the raster was not written.
        """
        return self._shares("probabilities")

    def polygons_frame(self) -> gpd.GeoDataFrame:
        """Read the polygons with class, name, area_m2 and confidence, in the CRS of their file.

        Raises InputError when polygons were not written.
        """
        if self.polygons is None:
            raise InputError(f"no polygons were written for {self.scene}: choose a polygon format, such as gpkg")
        return read_polygons(self.polygons)

    def _read(self, name: str) -> np.ndarray:
        if name not in self.files:
            raise InputError(f"no {name} raster was written for {self.scene}: predict with {name}=True")
        raster = RasterFile(self.files[name])
        grid, numbers = raster.grid, list(range(1, raster.count + 1))
        return raster.read(numbers, (0, 0, grid.height, grid.width)).values

    def _shares(self, name: str) -> np.ndarray:
        values = self._read(name)
        return np.where(values == 255, np.float32(np.nan), values.astype(np.float32) / 254)
