"""Read several rasters of one scene as one: an orthophoto and its heights, or the bands of a satellite in files of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsuda.core.band_names import MOST_BANDS, advice, listed
from rsuda.core.errors import InputError
from rsuda.geo.grids.windows import Window4
from rsuda.geo.rasters.alignment import PlacedFile
from rsuda.geo.rasters.band_metadata import find_numbers
from rsuda.geo.rasters.raster import Raster, RasterFile


@dataclass(frozen=True)
class ExtraRaster:
    """A further raster of a scene, with the names of its bands in file order."""

    path: Path | str
    bands: tuple[str, ...]
    nodata: float | None = None


class RasterStack:
    """Rasters of one scene that are read as one file with the bands of all, on the grid of the finest.

    The others are read by position (``rsuda.geo.rasters.alignment``). A pixel is valid where all bands that are read are valid.

    Attributes:
        path: the first raster.
        grid: of the raster with the finest GSD, the first among equals.

    Args:
        rasters: the rasters with the names of their bands.

    Raises:
        MissingError: a raster is missing, or GDAL cannot open it.
        InputError: rasters have no ground in common, a size that differs where one lacks a georeference, or too many bands.
    """

    def __init__(self, rasters: Sequence[ExtraRaster]) -> None:
        files = [RasterFile(raster.path, raster.bands, raster.nodata) for raster in rasters]
        reference = min(files, key=_pixel_area)  # min takes the first among equals
        self.path, self.grid = files[0].path, reference.grid
        self.crs_is_beside = reference.crs_is_beside
        self.gcps, self.located_by, self.driver = reference.gcps, reference.located_by, reference.driver
        self.nodata = reference.nodata
        parts = [PlacedFile.of(file, self.grid, reference.path, "raster") for file in files]
        self._bands = [
            (part, number)
            for part, raster in zip(parts, rasters, strict=True)
            for number in part.file.band_numbers(raster.bands)
        ]
        self.band_order = tuple(band for raster in rasters for band in raster.bands)
        self.count = len(self._bands)
        if self.count > MOST_BANDS:
            raise InputError(f"the rasters of {self.path} have {self.count} bands; rsuda reads at most {MOST_BANDS}")

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The data type of each band in its file."""
        return tuple(part.file.dtypes[number - 1] for part, number in self._bands)

    @property
    def scaling(self) -> tuple[tuple[float, float], ...]:
        """Scale and offset of each band in its file."""
        return tuple(part.file.scaling[number - 1] for part, number in self._bands)

    @property
    def dtype(self) -> str:
        """The data type that holds the values of all bands."""
        return str(np.result_type(*(np.dtype(name) for name in self.dtypes)))

    @property
    def all_numbers(self) -> list[int]:
        """The 1-based numbers of all bands."""
        return list(range(1, self.count + 1))

    @property
    def image_numbers(self) -> list[int]:
        """The 1-based numbers of all bands, none of which is transparency."""
        return self.all_numbers

    @property
    def alpha_is_real(self) -> bool:
        """Whether a raster holds transparency."""
        return any(part.file.alpha_is_real for part, _ in self._bands)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep all files open inside the context, as RasterFile.opened."""
        with ExitStack() as stack:
            for file in {id(part.file): part.file for part, _ in self._bands}.values():
                stack.enter_context(file.opened())
            yield

    def band_numbers(self, bands: tuple[str, ...]) -> list[int]:
        """Find the 1-based numbers of bands in the stack by name. Raises InputError if it lacks one."""
        numbers = find_numbers(bands, self.band_order, ())
        if numbers is None:
            raise InputError(
                f"{self.path} and the rasters beside it have the bands {listed(self.band_order)}, but {listed(bands)} are "
                f"needed: {advice(self.count)}"
            )
        return numbers

    def valid(self, numbers: list[int], window: Window4) -> np.ndarray | None:
        """Read the valid mask (height, width) bool of a window inside the grid; None if all pixels are valid."""
        masks = []
        for part, inner, _ in self._by_file(numbers):
            mask = part.file.valid(inner, window) if part.by_pixel else part.read_at(inner, (1.0, 1.0), window).valid
            if mask is not None:
                masks.append(mask)
        return np.logical_and.reduce(masks) if masks else None

    def read(self, numbers: list[int] | None = None, window: Window4 | None = None) -> Raster:
        """Read a window (row, col, height, width) inside the grid; see RasterFile.read."""
        return self.read_at(numbers, (1.0, 1.0), window or (0, 0, self.grid.height, self.grid.width))

    def read_at(self, numbers: list[int] | None, step: tuple[float, float], window: Window4) -> Raster:
        """Read a window of the grid at a step; see RasterFile.read_at.

        Returns:
            values (bands, height, width) of the common type of what is read: float32 where a raster is resampled.
        """
        numbers = numbers or self.all_numbers
        parts = [(part.read_at(inner, step, window), places) for part, inner, places in self._by_file(numbers)]
        height, width = window[2:]
        values = np.empty((len(numbers), height, width), np.result_type(*(raster.values for raster, _ in parts)))
        for raster, places in parts:
            values[places] = raster.values
        valid = np.logical_and.reduce([raster.valid for raster, _ in parts])
        return Raster(values, valid, self.grid.at(*step).window(*window))

    def files_of(self, numbers: Sequence[int]) -> list[tuple[RasterFile, list[int]]]:
        """Find the files that hold some bands of the stack, with the numbers of these bands in each."""
        return [(part.file, inner) for part, inner, _ in self._by_file(list(numbers))]

    def _by_file(self, numbers: list[int]) -> list[tuple[PlacedFile, list[int], list[int]]]:
        """Group bands by file: the file, the numbers of its bands, and their places among ``numbers``."""
        groups: dict[int, tuple[PlacedFile, list[int], list[int]]] = {}
        for place, number in enumerate(numbers):
            part, inner = self._bands[number - 1]
            group = groups.setdefault(id(part), (part, [], []))
            group[1].append(inner)
            group[2].append(place)
        return list(groups.values())


def _pixel_area(file: RasterFile) -> float:
    """Compute the area of a pixel in square metres, in steps of 1 %; pixels without a georeference are the largest."""
    metres = file.grid.metres() if file.grid.georeferenced else None
    return round(math.log(metres[0] * metres[1]) * 100) if metres else math.inf
