"""The files of one place: an image, perhaps its labels, and the GSD and band order that the files do not tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.geo.grid import Grid
from rsuda.geo.limits import check_memory
from rsuda.geo.polygon_labels import VECTORS, DrawnLabels
from rsuda.geo.raster import Raster, RasterFile


@dataclass(frozen=True)
class Scene:
    """One scene of a domain.

    Attributes:
        name: unique within its domain.
        image: image file; text for one that GDAL reads over a network.
        label: label file, or None. Reading it is the caller's decision: adaptation never does so for target scenes.
        bands: band names of the image in file order, or None to take them from the file.
        declared_gsd: metres per pixel, wins over the file's own georeference; None to take the file's.
        crs: used when the file has a transform but no CRS (ISPRS world files).
    """

    name: str
    image: Path | str
    label: Path | None = None
    bands: tuple[str, ...] | None = None
    declared_gsd: float | None = None
    crs: str | None = None

    @cached_property
    def file(self) -> RasterFile:
        return RasterFile(self.image, self.bands)

    @cached_property
    def label_file(self) -> RasterFile | DrawnLabels:
        """The label file, a raster or polygons. Raises InputError when there is none or its size is not the image's."""
        if self.label is None:
            raise InputError(f"scene '{self.name}' ({self.image}) has no label")
        if self.label.suffix.lower() in VECTORS:
            return DrawnLabels(self.label, self.grid)
        file = RasterFile(self.label)
        if (file.grid.height, file.grid.width) != (self.file.grid.height, self.file.grid.width):
            raise InputError(
                f"label {self.label} is {file.grid.width} x {file.grid.height} px, "
                f"its image {self.image} is {self.file.grid.width} x {self.file.grid.height} px"
            )
        return file

    @cached_property
    def grid(self) -> Grid:
        """The image's grid, with the domain's CRS where the file has a transform and no CRS."""
        grid = self.file.grid
        if grid.crs is None and grid.georeferenced and self.crs:
            try:
                return Grid(grid.height, grid.width, grid.transform, CRS.from_string(self.crs))
            except CRSError:
                raise InputError(
                    f"the CRS '{self.crs}' given for scene '{self.name}' is not known: write it as EPSG:32633"
                ) from None
        return grid

    @cached_property
    def gsd(self) -> tuple[float, float]:
        """(down, across) metres per pixel. Raises InputError when neither the domain nor the file tells, or not sensibly."""
        if self.declared_gsd is not None:
            if not 0 < self.declared_gsd < math.inf:
                raise InputError(f"the GSD declared for {self.image} must be above 0 metres, not {self.declared_gsd:g}")
            return self.declared_gsd, self.declared_gsd
        try:
            metres = self.grid.metres()
        except InputError as error:
            raise InputError(f"{self.image}: {error}") from None
        if metres is None:
            if self.file.located_by is None:
                raise InputError(
                    f"the GSD of {self.image} is unknown, since it has no georeference: declare it (metres per pixel)"
                )
            points, warp = self.file.located_by
            raise InputError(
                f"{self.image} is placed by {points}, so its pixels are not on a grid yet: warp it (gdalwarp {warp} -t_srs "
                "EPSG:… in.tif out.tif, with a projected CRS), or declare its GSD (metres per pixel) for results in pixels"
            )
        return metres

    def step(self, gsd: float | None) -> tuple[float, float]:
        """How many of this scene's pixels a pixel of ``gsd`` metres is long; differences under 0.1 % count as none.

        None means the scene's own pixels, here and in the functions below.
        """
        if gsd is None:
            return 1.0, 1.0
        down, across = (gsd / g for g in self.gsd)
        return (1.0 if abs(down - 1) < 1e-3 else down, 1.0 if abs(across - 1) < 1e-3 else across)

    def grid_at(self, gsd: float | None) -> Grid:
        """The scene's grid resampled to square pixels of ``gsd`` metres."""
        return self.grid.at(*self.step(gsd))

    def read(self, bands: tuple[str, ...], gsd: float | None, window: tuple[int, int, int, int]) -> Raster:
        """Bands by name of a window (row, col, height, width) of ``grid_at(gsd)``; see RasterFile.read_at."""
        return self.file.read_at(self.file.band_numbers(bands), self.step(gsd), window)

    def valid(self, bands: tuple[str, ...], window: tuple[int, int, int, int]) -> np.ndarray | None:
        """Where a window of the scene's own pixels holds data, (height, width) bool; None where all of the file does."""
        return self.file.valid(self.file.band_numbers(bands), window)

    def read_label(
        self, legend: Legend, gsd: float | None, window: tuple[int, int, int, int]
    ) -> tuple[np.ndarray, int]:
        """Class indices of the same window, and the number of off-palette label pixels met."""
        file = self.label_file
        try:
            return file.labels_at(legend, self.step(gsd), window)
        except InputError as error:
            raise InputError(f"{self.label}: {error}") from None

    def whole_label(self, legend: Legend) -> tuple[np.ndarray, int]:
        """``read_label`` of the whole scene. Raises InputError when most of it is outside the legend."""
        height, width = self.file.grid.height, self.file.grid.width
        check_memory(20 * height * width, f"the whole label {self.label} ({width} x {height} px)", "cut it into tiles")
        label, outside = self.read_label(legend, None, (0, 0, height, width))
        if outside > label.size / 2:
            raise InputError(
                f"{outside / label.size:.0%} of the pixels of label {self.label} are outside the legend "
                f"({', '.join(legend.names)}): it is no label of this domain, or the legend is another's"
            )
        return label, outside
