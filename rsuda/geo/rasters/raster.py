"""Read any window of a raster file at any GSD: values, valid mask and grid."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from rsuda.core.band_names import advice, listed
from rsuda.core.display import quoted
from rsuda.core.errors import InputError, MissingError, missing_file
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.resample import axis_weights, weigh
from rsuda.geo.grids.windows import Window4 as Window4
from rsuda.geo.grids.windows import clip_window
from rsuda.geo.polygons.input import NAMED_VECTORS
from rsuda.geo.rasters.band_metadata import find_numbers, names_in_file, read_scaling
from rsuda.geo.rasters.dataset_names import is_remote as is_remote
from rsuda.geo.rasters.decoded_files import DecodedFiles
from rsuda.geo.rasters.header_limits import MOST_BANDS, check_header, what_lies_there
from rsuda.geo.rasters.openers import open_raster
from rsuda.geo.rasters.projection_file import grid_of
from rsuda.geo.rasters.sparse_sample import read_bands
from rsuda.geo.rasters.validity import Validity, check_nodata, is_one_hot, opaque_from

# GDAL's cache of decoded blocks, in MB: two rows of blocks of a wide scene, while the default is a share of all memory
os.environ.setdefault("GDAL_CACHEMAX", "256")
os.environ.setdefault("GDAL_MAX_BAND_COUNT", str(MOST_BANDS))  # a file that declares 65 535 bands takes long to open

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt", ".jp2", ".img")

# CPLE errors are GDAL's own; rasterio passes some of them on
READ_ERRORS = (RasterioError, CRSError, CPLE_BaseError)

_DECODED = DecodedFiles(1 << 30)
_TURN = RLock()  # held by the thread that reads through a shared handle


@dataclass(frozen=True)
class Raster:
    """Pixels: ``values`` (bands, H, W), ``valid`` (H, W) bool, and their grid."""

    values: np.ndarray
    valid: np.ndarray
    grid: Grid


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress rasterio's warning of a missing georeference; Grid.georeferenced has that information."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


class RasterFile:
    """A raster file that is read in windows. Its header is read once; the file is closed between reads.

    Args:
        path: a file that GDAL can read.
        bands: band names in file order, without bands of transparency; None to take them from the file.
        nodata: nodata value of all bands, which replaces the file's own; None to take it from the file.

    Raises:
        MissingError: the file is missing, or GDAL cannot open it.
        InputError: its header exceeds a limit of header_limits.py, or the nodata value is not a number.
    """

    def __init__(self, path: str | Path, bands: tuple[str, ...] | None = None, nodata: float | None = None) -> None:
        self.path: str | Path = path if is_remote(path) else Path(path)
        self._declared_nodata = check_nodata(nodata, f"the nodata value declared for {path}")
        self._handle: Any = None
        with self._open() as file:
            check_header(file, self.path)
            self.grid = grid_of(file, self.path)
            self.crs_is_beside = file.crs is None and self.grid.crs is not None
            self.count, self.driver = file.count, file.driver
            self.validity = Validity.of(file, self._declared_nodata)
            # what locates a file without a grid, and gdalwarp's option for it
            by_rpcs = ("RPCs", "-rpc") if file.rpcs is not None else None
            self.located_by = ("ground control points", "-tps") if file.gcps[0] else by_rpcs
            self.scaling = read_scaling(file)
            self.gcps, self.rpcs, self._descriptions = file.gcps, file.rpcs, file.descriptions
        if bands is not None and len(bands) > self.count:
            raise InputError(
                f"{self.path} has {self.count} band{'s' * (self.count > 1)}, but the band order has {len(bands)}: "
                f"{listed(bands)}"
            )
        self._bands = bands

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the file open inside the context, so that reads share GDAL's cache of decoded blocks. Threads take turns.

        A context within another one shares its handle, which the outer one closes.
        """
        if self._handle is not None:
            yield
            return
        with self._open() as file:
            self._handle = file
            try:
                yield
            finally:
                with _TURN:  # another thread may be reading through it
                    self._handle = None

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with _TURN if self._handle is not None else nullcontext():
                if self._handle is not None:
                    yield self._handle
                    return
            with quiet():
                file = open_raster(self.path)
            with file:
                yield file
        except MemoryError:
            raise MissingError(f"cannot read {self.path}: the memory is too small for a part of it") from None
        except READ_ERRORS as error:
            if isinstance(self.path, Path) and not self.path.exists():
                raise missing_file(self.path) from None
            reason = quoted(error.__cause__ or error)  # the cause of a failed read is more precise
            is_vector = str(self.path).lower().endswith(NAMED_VECTORS)
            reason = "it is a vector file, and a raster is expected" if is_vector else reason.rstrip(".")
            reason = what_lies_there(self.path) or reason
            raise MissingError(f"cannot read {self.path}: {reason}") from error

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The data type of each band."""
        return self.validity.types

    @property
    def dtype(self) -> str:
        """The data type that holds the values of all bands."""
        return str(self.validity.common_type(self.all_numbers))

    @property
    def nodata(self) -> float | None:
        """The nodata value of the first band that has one."""
        return next((value for value in self.validity.nodata if value is not None), None)

    @property
    def all_numbers(self) -> list[int]:
        """The 1-based numbers of all bands."""
        return list(range(1, self.count + 1))

    @property
    def image_numbers(self) -> list[int]:
        """The 1-based numbers of the bands without those of transparency; all bands if all are transparency."""
        return [n for n in self.all_numbers if n not in self.transparency] or self.all_numbers

    @cached_property
    def band_order(self) -> tuple[str, ...] | None:
        """Band names in file order: the caller's, else the file's descriptions, else its colour tags; None if unknown.

        Three bands tagged red, green and blue may be false colour (ISPRS tags IRRG tiles so); callers that know it pass
        ``bands``. A fourth band that is tagged as alpha, but is not a mask, is near infrared. Transparency is 'alpha'.
        """
        if self._bands is not None:
            return self._named_around_alpha(self._bands) if len(self._bands) == len(self.image_numbers) else self._bands
        if (names_of_file := names_in_file(self._descriptions, self._tags)) is not None:
            return names_of_file
        names = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
        colours = [names.get(self.validity.colours[n - 1]) for n in self.image_numbers]
        if colours == ["red", "green", "blue"]:
            return self._named_around_alpha(("red", "green", "blue"))
        if colours == ["red", "green", "blue", None] and self.validity.tagged_alpha == (4,):
            return ("red", "green", "blue", "ir")
        return None

    def _named_around_alpha(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Put the names of the imagery at their bands, and 'alpha' at the others up to the last of them."""
        places = dict(zip(self.image_numbers, names, strict=True))
        return tuple(places.get(n, "alpha") for n in range(1, max(places) + 1))

    @cached_property
    def transparency(self) -> dict[int, float]:
        """The bands that hold transparency, in any position: 1-based number to the least value that is opaque.

        A band tagged alpha is imagery if its pixels are those of near infrared, or if the caller names it.
        """
        alpha_bands = self.validity.tagged_alpha
        if not alpha_bands or (
            self._bands is not None and len(self._bands) == self.count and "alpha" not in self._bands
        ):
            return {}
        with self._open() as file:
            opaque = opaque_from(file, alpha_bands)
        if self._bands is not None and len(self._bands) != self.count - len(opaque):  # the names begin at band 1
            names = dict(enumerate(self._bands, 1))
            return {number: least for number, least in opaque.items() if names.get(number, "alpha") == "alpha"}
        return opaque

    @property
    def alpha_is_real(self) -> bool:
        """Whether the file holds transparency: a band tagged alpha that is not near infrared."""
        return bool(self.transparency)

    @cached_property
    def is_one_hot(self) -> bool:
        """Whether each of the four bands is a class, as ``rsuda.geo.rasters.validity.is_one_hot`` finds."""
        with self._open() as file:
            return is_one_hot(file)

    def band_numbers(self, bands: tuple[str, ...]) -> list[int]:
        """Find the 1-based numbers of bands in this file by name.

        A file without band names that has as many bands, without transparency, is assumed to have them in this order.

        Raises:
            InputError: the file has too few bands, lacks one of the names, or has an unknown band order.
        """
        if self.count < len(bands):
            palette = ""
            if self.count == 1 and self.validity.colours[0] == ColorInterp.palette:
                palette = "; its values are numbers of a palette: gdal_translate -expand rgb in.tif out.tif"
            raise InputError(
                f"{self.path} has {self.count} band{'s' * (self.count > 1)}, but {len(bands)} are needed ({listed(bands)})"
                f"{palette}"
            )
        names = self.band_order
        numbers = find_numbers(bands, names, () if self._bands else self._descriptions)
        if numbers is None and len(self.image_numbers) == len(bands) and self._bands is None:
            return self.image_numbers
        if numbers is None:
            has = f"{self.count} bands of unknown order, and" if names is None else f"the bands {listed(names)}, but"
            raise InputError(f"{self.path} has {has} {listed(bands)} are needed: {advice(self.count)}")
        return numbers

    def _tags(self) -> list[dict[str, str]]:
        """Read the metadata of each band; those of GDAL's domain IMAGERY win."""
        with self._open() as file:
            return [file.tags(number) | file.tags(number, ns="IMAGERY") for number in range(1, self.count + 1)]

    def valid(self, numbers: list[int], window: Window4) -> np.ndarray | None:
        """Read the valid mask (height, width) bool of a window inside the file; None if all pixels of the file are valid."""
        if not self.validity.may_be_invalid(numbers, [*self.transparency]):
            return None
        return self.read(numbers, window).valid

    def read(self, numbers: list[int] | None = None, window: Window4 | None = None) -> Raster:
        """Read a window (row, col, height, width) inside the file at the file's own resolution.

        Values are of the bands' common type; NaN and infinite values are 0, and invalid.

        Args:
            numbers: 1-based band numbers; all bands by default.
            window: the whole file by default.
        """
        window = window or (0, 0, self.grid.height, self.grid.width)
        numbers = numbers or self.all_numbers
        values, mask = self.pixels(numbers, window)
        valid = np.ones(values.shape[1:], bool) if mask is None else mask.copy()
        nodata = self.validity.is_nodata(values, numbers)
        if nodata is not None:
            valid &= ~nodata
        if np.issubdtype(values.dtype, np.floating):
            bad = ~np.isfinite(values)
            if bad.any():
                valid &= ~bad.any(0)
                values = np.where(bad, 0, values)
        return Raster(values, valid, self.grid.window(*window))

    def pixels(self, numbers: list[int], window: Window4) -> tuple[np.ndarray, np.ndarray | None]:
        """Read values as they are in the file, and where masks and transparency show them.

        Returns:
            values (bands, height, width) of the file's dtype; (height, width) bool, or None where all pixels are shown.
        """
        row, col, height, width = window
        if self.driver in ("PNG", "JPEG"):  # without blocks each window would decode the whole file
            key = (str(self.path), None if is_remote(self.path) else os.stat(self.path).st_mtime_ns, self._bands)
            values, mask = _DECODED.get(key, lambda: self._decode(self.all_numbers, None))
            place = np.s_[..., row : row + height, col : col + width]
            return values[place][[n - 1 for n in numbers]], None if mask is None else mask[place]
        return self._decode(numbers, Window(col, row, width, height))

    def _decode(self, numbers: list[int], window: Window | None) -> tuple[np.ndarray, np.ndarray | None]:
        transparency = self.transparency
        with self._open() as file:
            values = read_bands(file, numbers, window=window)
            masks = [file.read(alpha, window=window) >= least for alpha, least in transparency.items()]
            if with_mask := self.validity.masks(numbers):
                masks += list(file.read_masks(with_mask, window=window) > 0)
        return values, np.logical_and.reduce(masks) if masks else None

    def read_at(self, numbers: list[int] | None, step: tuple[float, float], window: Window4) -> Raster:
        """Read a window of the grid whose pixels are ``step`` (down, across) of this file's pixels long.

        The window (row, col, height, width) counts in those pixels and may reach outside the file, where values are 0
        and invalid. Coarsening weights by area, refining is bilinear; invalid pixels have weight 0.

        Returns:
            values (bands, height, width): the file's dtype if step is 1, else float32.
        """
        row, col, height, width = window
        grid = self.grid.at(*step).window(row, col, height, width)
        if step == (1.0, 1.0):
            return self._slice(numbers, window, grid)
        top, bottom, down = axis_weights(self.grid.height, row * step[0], step[0], height)
        left, right, across = axis_weights(self.grid.width, col * step[1], step[1], width)
        if bottom <= top or right <= left:
            return Raster(
                np.zeros((len(numbers or range(self.count)), height, width), np.float32),
                np.zeros((height, width), bool),
                grid,
            )
        raw = self.read(numbers, (top, left, bottom - top, right - left))
        share = weigh(raw.valid, down, across)
        values = weigh(raw.values * raw.valid if not raw.valid.all() else raw.values, down, across)
        np.divide(values, share, out=values, where=share > 1e-6)
        return Raster(values, share >= 0.5, grid)

    def _slice(self, numbers: list[int] | None, window: Window4, grid: Grid) -> Raster:
        _, _, height, width = window
        bands = len(numbers) if numbers else self.count
        dtype = self.validity.common_type(numbers or self.all_numbers)
        values, valid = np.zeros((bands, height, width), dtype), np.zeros((height, width), bool)
        inner, place = clip_window(window, self.grid.height, self.grid.width)
        if inner == window:
            return self.read(numbers, window)
        if inner[2] > 0 and inner[3] > 0:
            part = self.read(numbers, inner)
            values[place], valid[place] = part.values, part.valid
        return Raster(values, valid, grid)

    @cached_property
    def palette(self) -> dict[int, tuple[int, ...]] | None:
        """The colour table of a 1-band file: value to (r, g, b, a); None without one."""
        with self._open() as file:
            try:
                return dict(file.colormap(1))
            except ValueError:
                return None
