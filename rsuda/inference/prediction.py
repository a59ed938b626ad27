"""What prediction wrote for a scene, and its arrays and polygons read back when they are asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from rsuda.core.errors import InputError
from rsuda.geo.grid import Grid
from rsuda.geo.polygons import read_polygons
from rsuda.geo.raster import RasterFile


@dataclass(frozen=True)
class Prediction:
    """What was written for a scene: files, polygon count, square metres by class, seconds, notes for the user.

    ``skipped`` where an earlier run of the same scene, network and options had finished. Nothing is held in memory: the
    methods read the files.
    """

    scene: Path | str
    raster: Path
    polygons: Path | None
    footprints: Path | None
    confidence: Path | None
    probabilities: Path | None
    stac: Path | None
    polygon_count: int | None
    area_m2: dict[str, float]
    pixels: int
    seconds: float
    notes: tuple[str, ...]
    skipped: bool = False

    def as_fields(self) -> dict[str, Any]:
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    @property
    def grid(self) -> Grid:
        """Where the pixels of all rasters lie: ``grid.transform``, ``grid.crs``, ``grid.bounds``."""
        return RasterFile(self.raster).grid

    def classes(self) -> np.ndarray:
        """Class indices (H, W) uint8 in the order of the legend, 255 where there is no data."""
        return self._read(self.raster, "")[0]

    def confidences(self) -> np.ndarray:
        """Probability of each pixel's class (H, W) float32 in 0..1, nan where there is no data.

        Raises InputError when the raster was not asked for.
        """
        return self._shares(self.confidence, "confidence")[0]

    def class_probabilities(self) -> np.ndarray:
        """Probabilities (K, H, W) float32 in 0..1 in the order of the legend, nan where there is no data.

        Raises InputError when the raster was not asked for.
        """
        return self._shares(self.probabilities, "probabilities")

    def polygons_frame(self) -> gpd.GeoDataFrame:
        """The polygons with class, name, area_m2, confidence, in the CRS of their file.

        Raises InputError when no polygons were asked for.
        """
        if self.polygons is None:
            raise InputError(f"no polygons were written for {self.scene}: ask for a polygon format, such as gpkg")
        return read_polygons(self.polygons)

    def _read(self, file: Path | None, name: str) -> np.ndarray:
        if file is None:
            raise InputError(f"no {name} raster was written for {self.scene}: predict with {name}=True")
        opened = RasterFile(file)
        grid, numbers = opened.grid, list(range(1, opened.count + 1))
        return opened.read(numbers, (0, 0, grid.height, grid.width)).values

    def _shares(self, file: Path | None, name: str) -> np.ndarray:
        values = self._read(file, name)
        return np.where(values == 255, np.float32(np.nan), values.astype(np.float32) / 254)
