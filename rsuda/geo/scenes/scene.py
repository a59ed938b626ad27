"""A scene: its image and label files, and the GSD, band order and CRS that the files lack."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsuda.core.capacity import check_memory
from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spec import band_code
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.windows import Window4
from rsuda.geo.polygons.classes import PolygonLayer
from rsuda.geo.polygons.input import NAMED_VECTORS
from rsuda.geo.polygons.labels import PolygonLabels
from rsuda.geo.rasters.alignment import PlacedFile
from rsuda.geo.rasters.info import frequent_values, highest_colour
from rsuda.geo.rasters.labels import JOIN_BANDS
from rsuda.geo.rasters.raster import Raster, RasterFile
from rsuda.geo.rasters.stack import ExtraRaster, RasterStack

STRIP = 1024  # rows of a label that are read at once
_OBLONG, _DIFFERENT = 1.02, 1.05  # ratios of two lengths


@dataclass(frozen=True, repr=False)
class Scene:
    """One scene of a domain.

    Attributes:
        name: unique within its domain.
        image: image file; text for a path that GDAL reads over a network.
        label: label file, or None; text for a file in an archive. Adaptation never reads the label of a target scene.
        bands: band names of the image file in its order, or None to take them from the file.
        declared_gsd: metres per pixel, which overrides the file's georeference; None to use the file's.
        crs: CRS of a file that has a transform but no CRS (ISPRS world files).
        nodata: value that marks pixels of the image without data, in all bands; None to use the file's own.
        legend: what the label is read with in a domain that joins several; None for the domain's legend.
        assumed_gsd: metres per pixel of a file without a georeference.
        polygons: how to read a label of polygons, from the lowest layer to the highest; by default the label's attributes.
        more: further rasters of the scene, whose bands follow those of the image; see ``RasterStack``.
    """

    name: str
    image: Path | str
    label: Path | str | None = None
    bands: tuple[str, ...] | None = None
    declared_gsd: float | None = None
    crs: str | None = None
    polygons: tuple[PolygonLayer, ...] = ()
    legend: Legend | None = None
    nodata: float | None = None
    more: tuple[ExtraRaster, ...] = ()
    assumed_gsd: float | None = None

    def __repr__(self) -> str:
        files = (
            f"image: {str(self.image)!r}, label: {str(self.label)!r}" if self.label else f"image: {str(self.image)!r}"
        )
        every = (self.bands or ()) + tuple(band for raster in self.more for band in raster.bands)
        bands = f", bands: {band_code(every)}" if every else ""
        gsd = f", GSD: {self.declared_gsd:g} m" if self.declared_gsd else ""
        return f"Scene({self.name!r}, {files}{bands}{gsd})"

    @property
    def images(self) -> list[Path | str]:
        """All rasters of the scene's imagery, the first one first."""
        return [self.image, *(raster.path for raster in self.more)]

    @cached_property
    def file(self) -> RasterFile | RasterStack:
        """The image file, or all rasters of the scene as one; headers are read at the first use."""
        if self.more:
            return RasterStack([ExtraRaster(self.image, self.bands or (), self.nodata), *self.more])
        return RasterFile(self.image, self.bands, self.nodata)

    @property
    def has_polygons(self) -> bool:
        """Whether the label holds polygons."""
        return self.label is not None and (bool(self.polygons) or Path(self.label).suffix.lower() in NAMED_VECTORS)

    @cached_property
    def label_file(self) -> PlacedFile | PolygonLabels:
        """The label file over the image's place, a raster or polygons.

        Raises:
            InputError: it is missing, or lies elsewhere; without a georeference of both files, their sizes differ.
        """
        if self.label is None:
            raise InputError(f"scene '{self.name}' ({self.image}) has no label")
        if self.has_polygons:
            return PolygonLabels(self.polygons or PolygonLayer(Path(self.label)), self.grid)
        return PlacedFile.of(RasterFile(self.label), self.grid, self.image)

    @cached_property
    def grid(self) -> Grid:
        """Grid of the image; a file with a transform and without CRS gets the domain's CRS, also in place of a .prj's.

        Raises:
            InputError: the domain's CRS is unknown.
        """
        grid = self.file.grid
        if (grid.crs is None or self.file.crs_is_beside) and grid.georeferenced and self.crs:
            try:
                code = f"EPSG:{self.crs}" if self.crs.isdigit() else self.crs
                return Grid(grid.height, grid.width, grid.transform, CRS.from_string(code))
            except CRSError:
                raise InputError(
                    f"the CRS '{self.crs}' of scene '{self.name}' is unknown: write it as EPSG:32633"
                ) from None
        return grid

    @cached_property
    def gsd(self) -> tuple[float, float]:
        """(down, across) metres per pixel.

        A declared GSD overrides the file's, except in degrees and where pixels are oblong on the ground.

        Raises:
            InputError: neither the domain nor the file has a valid GSD.
        """
        for gsd in (self.declared_gsd, self.assumed_gsd):
            if gsd is not None and not 0 < gsd < math.inf:
                raise InputError(
                    f"the GSD declared for {self.image} is {gsd:g}; it must be a number above 0 (metres per pixel)"
                )
        if self.declared_gsd is not None:
            gsd_of_grid = self._located_gsd
            crs = self.grid.crs
            if gsd_of_grid is not None and crs is not None and (crs.is_geographic or _ratio(*gsd_of_grid) > _OBLONG):
                return gsd_of_grid
            return self.declared_gsd, self.declared_gsd
        try:
            metres = self.grid.metres()
        except InputError as error:
            raise InputError(f"{self.image}: {error}") from None
        if metres is None and self.assumed_gsd is not None:
            return self.assumed_gsd, self.assumed_gsd
        if metres is None:
            if self.file.located_by is None:
                raise InputError(
                    f"the GSD of {self.image} is unknown, since the file has no georeference: declare it "
                    f"({spell('gsd')}, metres per pixel)"
                )
            points, warp = self.file.located_by
            raise InputError(
                f"{self.image} is located by {points}, not by a grid: warp it (gdalwarp {warp} -t_srs "
                "EPSG:… in.tif out.tif, with a projected CRS), or declare its GSD "
                f"({spell('gsd')}, metres per pixel) for results in pixels"
            )
        return metres

    @cached_property
    def _located_gsd(self) -> tuple[float, float] | None:
        """(down, across) metres per pixel by the file's georeference; None without one."""
        try:
            return self.grid.metres()
        except InputError:
            return None

    @property
    def gsd_note(self) -> str | None:
        """Say that a declared GSD and the file's georeference differ by more than 5 %, and which of them counts."""
        if self.declared_gsd is None or self._located_gsd is None or self.grid.crs is None:
            return None
        down, across = self._located_gsd
        if max(_ratio(self.declared_gsd, down), _ratio(self.declared_gsd, across)) <= _DIFFERENT:
            return None
        verdict = "its georeference counts" if self.gsd == self._located_gsd else "the declared GSD counts"
        return (
            f"the pixels of {self.image} are {across:.4g} x {down:.4g} m (across, down) by its georeference, and "
            f"{self.declared_gsd:g} m are declared: {verdict}"
        )

    def step(self, gsd: float | None) -> tuple[float, float]:
        """Compute how many of this scene's pixels (down, across) a pixel of ``gsd`` metres is long.

        Differences below 0.1 % are rounded to 1. ``gsd`` None means the scene's own pixels, as in the methods below.
        """
        if gsd is None:
            return 1.0, 1.0
        down, across = (gsd / g for g in self.gsd)
        return (1.0 if abs(down - 1) < 1e-3 else down, 1.0 if abs(across - 1) < 1e-3 else across)

    def grid_at(self, gsd: float | None) -> Grid:
        """Resample the scene's grid to square pixels of ``gsd`` metres."""
        return self.grid.at(*self.step(gsd))

    def read(self, bands: tuple[str, ...], gsd: float | None, window: Window4) -> Raster:
        """Read bands by name in a window (row, col, height, width) of ``grid_at(gsd)``; see RasterFile.read_at."""
        return self.file.read_at(self.file.band_numbers(bands), self.step(gsd), window)

    def valid(self, bands: tuple[str, ...], window: Window4) -> np.ndarray | None:
        """Read the valid mask (height, width) bool of a window of the scene's own pixels; None if the whole file is valid."""
        return self.file.valid(self.file.band_numbers(bands), window)

    def read_label(self, legend: Legend, gsd: float | None, window: Window4) -> tuple[np.ndarray, int]:
        """Read the class indices of a window as in ``read``.

        Returns:
            (height, width) uint8, 255 where ignored; the number of off-palette label pixels read.
        """
        index, outside = self._read_label(self.legend or legend, gsd, window)
        return (index if self.legend is None else legend.mapping_from(self.legend)[index]), outside

    def _read_label(self, legend: Legend, gsd: float | None, window: Window4) -> tuple[np.ndarray, int]:
        file = self.label_file
        if isinstance(file, PolygonLabels):
            return file.labels_at(legend, self.step(gsd), window)
        try:
            return file.labels_at(legend, self.step(gsd), window)
        except InputError as error:
            raise InputError(f"{self.label}: {error}") from None

    def label_strips(self, legend: Legend) -> Iterator[tuple[int, np.ndarray, int]]:
        """Read the label of the whole scene from top to bottom, in strips of STRIP rows.

        Yields:
            the first row; class indices (rows, width) uint8; the number of off-palette pixels.

        Raises:
            InputError: after the last strip, if most of the label is outside the legend.
        """
        height, width, file = self.file.grid.height, self.file.grid.width, self.label_file
        off_palette = label_pixels = 0
        with file.opened() if isinstance(file, PlacedFile) else nullcontext():
            for row in range(0, height, STRIP):
                label, outside = self.read_label(legend, None, (row, 0, min(STRIP, height - row), width))
                off_palette += outside
                label_pixels += int(np.count_nonzero(label != IGNORE))
                yield row, label, outside
        if off_palette > label_pixels:
            holds = "" if not isinstance(file, PlacedFile) else f", and it holds mostly {frequent_values(file.file)}"
            raise InputError(
                f"{off_palette / (off_palette + label_pixels):.0%} of the labelled pixels of {self.label} are outside the legend "
                f"({', '.join(legend.names)}){holds}: {self._legend_advice(legend)}"
            )

    def _legend_advice(self, legend: Legend) -> str:
        file = self.label_file
        most = highest_colour(file.file) if isinstance(file, PlacedFile) and legend.by_value else 0
        if most > 1:
            return "it holds colours, and the classes have values: leave 'value' out, so that 'colour' is read"
        if most:
            return JOIN_BANDS
        return "use a label of this domain, or another legend"

    def whole_label(self, legend: Legend) -> tuple[np.ndarray, int]:
        """Read the label of the whole scene.

        Returns:
            (height, width) uint8, 255 where ignored; the number of off-palette label pixels.

        Raises:
            InputError: most of the label is outside the legend.
        """
        height, width = self.file.grid.height, self.file.grid.width
        check_memory(2 * height * width, f"the whole label {self.label} ({width} x {height} px)", "cut it into tiles")
        strips = [(label, outside) for _, label, outside in self.label_strips(legend)]
        return np.concatenate([label for label, _ in strips]), sum(outside for _, outside in strips)

    def without_label(self) -> Scene:
        """Copy the scene without its label; the copy shares the image's header, which is read now."""
        copy = replace(self, label=None, polygons=())
        copy.__dict__["file"] = self.file  # where a cached property keeps its value
        return copy


def _ratio(one: float, other: float) -> float:
    """Compute how many times the smaller of two lengths the larger one is."""
    return max(one / other, other / one)
