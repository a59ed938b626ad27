"""Values, their valid mask and their grid: read any window of a file at any GSD; files are written whole or not at all."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock, RLock
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spec import band_names
from rsuda.geo.grid import Grid
from rsuda.geo.limits import MOST_BANDS, check_header
from rsuda.geo.resample import axis_weights, weigh


def is_remote(path: str | Path) -> bool:
    """Whether GDAL reads this over a network or out of an archive: a URL, or one of its '/vsi…' paths."""
    return isinstance(path, str) and ("://" in path or path.startswith("/vsi"))


# GDAL's cache of decoded blocks, in MB: two rows of blocks of a wide scene, where the default is a share of all memory
os.environ.setdefault("GDAL_CACHEMAX", "256")
os.environ.setdefault("GDAL_MAX_BAND_COUNT", str(MOST_BANDS))  # opening a file that declares 65 535 takes long

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".vrt", ".jp2", ".img")


# CPLE errors are GDAL's own; rasterio lets some through
READ_ERRORS = (RasterioError, CRSError, CPLE_BaseError)

Window4 = tuple[int, int, int, int]  # row, col, height, width


@dataclass(frozen=True)
class Raster:
    """Pixels: ``values`` (bands, H, W), ``valid`` (H, W) bool, and where they lie."""

    values: np.ndarray
    valid: np.ndarray
    grid: Grid


@contextmanager
def quiet() -> Iterator[None]:
    """Without rasterio's warning of a missing georeference: Grid.georeferenced says it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


class RasterFile:
    """A raster file opened for windows. Its header is read once; nothing stays open.

    Args:
        path: file GDAL can read.
        bands: band names in file order where the caller knows them; otherwise they are taken from the file.

    Raises:
        MissingError: there is no such file, or GDAL cannot open it.
        InputError: its header asks for more than rsuda reads, see limits.py.
    """

    def __init__(self, path: str | Path, bands: tuple[str, ...] | None = None) -> None:
        self.path: str | Path = path if is_remote(path) else Path(path)
        self._kept: Any = None
        with self._open() as file:
            check_header(file, self.path)
            self.grid = Grid(file.height, file.width, file.transform, file.crs)
            self.count, self.dtype, self.driver = file.count, str(file.dtypes[0]), file.driver
            # what places a file that has no grid, and gdalwarp's option for it
            self.located_by = (
                ("ground control points", "-tps")
                if file.gcps[0]
                else ("RPCs", "-rpc")
                if file.rpcs is not None
                else None
            )
            self.gcps, self.nodata = file.gcps, file.nodata
            self._interp, self._flags = file.colorinterp, file.mask_flag_enums
            self._described = file.descriptions
        if bands is not None and len(bands) > self.count:
            raise InputError(f"{self.path} has {self.count} bands, too few for the band order {', '.join(bands)}")
        self._bands = bands

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """While this lasts, reads share one handle, and with it GDAL's cache of decoded blocks. Threads take turns."""
        with self._open() as file:
            before, self._kept = self._kept, file
            try:
                yield
            finally:
                self._kept = before

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            if self._kept is not None:
                with _TURN:
                    yield self._kept
                return
            with quiet():
                file = rasterio.open(self.path)
            with file:
                yield file
        except MemoryError:
            raise MissingError(f"cannot read {self.path}: there is not enough memory for a part of it") from None
        except READ_ERRORS as error:
            if isinstance(self.path, Path) and not self.path.exists():
                raise MissingError(f"there is no file {self.path}") from None
            reason = str(error.__cause__ or error) or type(error).__name__  # a failed read's cause says what failed
            raise MissingError(f"cannot read {self.path}: {reason.splitlines()[0]}") from error

    @cached_property
    def named_bands(self) -> tuple[str, ...] | None:
        """Band names in file order: as given, else from descriptions, else from colour tags; None when unknown.

        Three bands tagged red, green, blue may really be false colour (ISPRS IRRG tiles are tagged so); callers that
        know better pass ``bands``. A fourth band beside red, green and blue that is no real alpha is near infrared.
        """
        if self._bands is not None:
            return self._bands
        if all(self._described) and len(set(self._described)) == self.count:
            return band_names([str(d) for d in self._described])
        names = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
        told = [names.get(i) for i in self._interp]
        if told[:3] == ["red", "green", "blue"]:
            if self.count == 3 or (self.count == 4 and self.alpha_is_real):
                return ("red", "green", "blue")
            if self.count == 4:
                return ("red", "green", "blue", "ir")
        return None

    @cached_property
    def alpha_is_real(self) -> bool:
        """Whether a band tagged alpha holds transparency (nearly all pixels 0 or one other value), not near infrared."""
        if ColorInterp.alpha not in self._interp:
            return False
        if self._bands is not None and self._interp.index(ColorInterp.alpha) < len(self._bands):
            return False  # the caller named this band, so it is imagery
        with self._open() as file:
            shape = min(file.height, 512), min(file.width, 512)
            alpha = file.read(self._interp.index(ColorInterp.alpha) + 1, out_shape=shape)
        return float(np.mean((alpha == 0) | (alpha == alpha.max()))) > 0.95

    def band_numbers(self, wanted: tuple[str, ...]) -> list[int]:
        """1-based numbers of the wanted bands in this file.

        Without known names, a file with exactly as many bands as wanted is taken to hold them in that order.
        Raises InputError when bands are too few, missing by name, or their order cannot be known.
        """
        if self.count < len(wanted):
            palette = ""
            if self.count == 1 and self._interp[0] == ColorInterp.palette:
                palette = ", and its values are numbers of a palette: gdal_translate -expand rgb in.tif out.tif"
            raise InputError(
                f"{self.path} has {self.count} band{'s' * (self.count > 1)}, but {len(wanted)} are needed ({', '.join(wanted)})"
                f"{palette}"
            )
        names = self.named_bands
        if names is not None and set(wanted) <= set(names):
            return [names.index(b) + 1 for b in wanted]
        if self.count == len(wanted) and self._bands is None:
            return list(range(1, self.count + 1))
        if names is None:
            raise InputError(
                f"{self.path} has {self.count} bands of unknown order, and {', '.join(wanted)} are needed: "
                "name its bands, for example --bands RGBIR"
            )
        raise InputError(f"{self.path} has the bands {', '.join(names)}, but {', '.join(wanted)} are needed")

    def valid(self, numbers: list[int], window: tuple[int, int, int, int]) -> np.ndarray | None:
        """Where a window (row, col, height, width) inside the file holds data, (height, width) bool; None for a file whose
        every pixel does."""
        sees_all = all(MaskFlags.all_valid in self._flags[n - 1] for n in numbers) or (
            any(MaskFlags.alpha in self._flags[n - 1] for n in numbers) and not self.alpha_is_real
        )
        return None if sees_all and not self.dtype.startswith("float") else self.read(numbers, window).valid

    def read(self, numbers: list[int] | None = None, window: tuple[int, int, int, int] | None = None) -> Raster:
        """Pixels of a window (row, col, height, width) that lies inside the file, at the file's own resolution.

        Args:
            numbers: 1-based band numbers; all bands by default.
        """
        row, col, height, width = window or (0, 0, self.grid.height, self.grid.width)
        numbers = numbers or list(range(1, self.count + 1))
        if self.driver in ("PNG", "JPEG"):  # no blocks: a window costs the whole file, so keep the decoded file
            values, valid = _decoded(self)
            here = np.s_[..., row : row + height, col : col + width]
            values, valid = values[here][[n - 1 for n in numbers]], valid[here].copy()
            return Raster(values, valid, self.grid.window(row, col, height, width))
        values, valid = self._read(numbers, Window(col, row, width, height))
        return Raster(values, valid, self.grid.window(row, col, height, width))

    def _read(self, numbers: list[int], window: Window | None) -> tuple[np.ndarray, np.ndarray]:
        with self._open() as file:
            values = file.read(numbers, window=window)
            valid = np.ones(values.shape[1:], bool)
            flags = [self._flags[n - 1] for n in numbers]
            by_alpha = [n for n, f in zip(numbers, flags, strict=True) if MaskFlags.alpha in f]
            if not all(MaskFlags.all_valid in f for f in flags) and not (by_alpha and not self.alpha_is_real):
                # the alpha band itself has no alpha, so its own mask says that all is valid
                valid = file.read_masks(by_alpha or numbers, window=window).any(0)
        if np.issubdtype(values.dtype, np.floating):
            bad = ~np.isfinite(values)
            if bad.any():
                valid &= ~bad.any(0)
                values = np.where(bad, 0, values)
        return values, valid

    def read_at(
        self, numbers: list[int] | None, step: tuple[float, float], window: tuple[int, int, int, int]
    ) -> Raster:
        """A window of the grid whose pixels are ``step`` (down, across) of this file's pixels long.

        The window (row, col, height, width) counts in those pixels and may reach outside the file: there values are 0
        and not valid. Area-weighted when coarsening, bilinear when refining; invalid pixels weigh nothing.

        Returns:
            values (bands, height, width): the file's dtype when step is 1, float32 otherwise.
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

    def _slice(self, numbers: list[int] | None, window: tuple[int, int, int, int], grid: Grid) -> Raster:
        _, _, height, width = window
        bands = len(numbers) if numbers else self.count
        values, valid = np.zeros((bands, height, width), self.dtype), np.zeros((height, width), bool)
        inner, here = _inside(self.grid, window)
        if inner == window:
            return self.read(numbers, window)
        if inner[2] > 0 and inner[3] > 0:
            found = self.read(numbers, inner)
            values[here], valid[here] = found.values, found.valid
        return Raster(values, valid, grid)

    def labels_at(
        self, legend: Legend, step: tuple[float, float], window: tuple[int, int, int, int]
    ) -> tuple[np.ndarray, int]:
        """Class indices of a window as in ``read_at``, by majority over the covered label pixels.

        Returns:
            (height, width) uint8, 255 where ignored or outside; the count of off-palette file pixels met.
        """
        colours = self.palette if self.count == 1 else None
        return resampled_labels(
            self.grid, len(legend), step, window, lambda inner: legend.encode(self.read(None, inner).values, colours)
        )

    @cached_property
    def palette(self) -> dict[int, tuple[int, ...]] | None:
        """The colour table of a 1-band file, or None."""
        with self._open() as file:
            try:
                return dict(file.colormap(1))
            except ValueError:
                return None


def _inside(grid: Grid, window: Window4) -> tuple[Window4, Any]:
    """The part of a window of file pixels that lies in the file, and where it lies in the window."""
    row, col, height, width = window
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + height, grid.height), min(col + width, grid.width)
    return (top, left, bottom - top, right - left), np.s_[..., top - row : bottom - row, left - col : right - col]


def resampled_labels(
    grid: Grid,
    classes: int,
    step: tuple[float, float],
    window: Window4,
    read: Callable[[Window4], tuple[np.ndarray, int]],
) -> tuple[np.ndarray, int]:
    """Class indices of a window of the grid whose pixels are ``step`` of ``grid``'s long, by majority; see labels_at.

    Args:
        read: class indices (h, w) uint8 of a window inside ``grid``, and a count of off-palette pixels.
    """
    row, col, height, width = window
    nothing = np.full((height, width), IGNORE, np.uint8)
    if step == (1.0, 1.0):
        inner, here = _inside(grid, window)
        if inner[2] <= 0 or inner[3] <= 0:
            return nothing, 0
        nothing[here], off = read(inner)
        return nothing, off
    top, bottom, down = axis_weights(grid.height, row * step[0], step[0], height)
    left, right, across = axis_weights(grid.width, col * step[1], step[1], width)
    if bottom <= top or right <= left:
        return nothing, 0
    index, off = read((top, left, bottom - top, right - left))
    winner, most = nothing, np.zeros((height, width), np.float32)
    for k in [*range(classes), IGNORE]:  # of equal votes the first one's count
        here = index == k
        if here.any():
            votes = weigh(here, down, across)
            winner[votes > most] = k
            np.maximum(votes, most, out=most)
    return winner, off


_CACHE: OrderedDict[tuple[Any, ...], tuple[np.ndarray, np.ndarray]] = OrderedDict()
_CACHE_BYTES = 1 << 30
_LOCK = Lock()
_TURN = RLock()  # of the threads that read through one handle


def _decoded(file: RasterFile) -> tuple[np.ndarray, np.ndarray]:
    """All pixels of a PNG or JPEG, kept while the decoded files stay under 1 GiB together."""
    key = (str(file.path), os.stat(file.path).st_mtime_ns, file._bands)
    with _LOCK:
        if key in _CACHE:
            _CACHE.move_to_end(key)
            return _CACHE[key]
    entry = file._read(list(range(1, file.count + 1)), None)
    with _LOCK:
        _CACHE[key] = entry
        while len(_CACHE) > 1 and sum(v.nbytes + m.nbytes for v, m in _CACHE.values()) > _CACHE_BYTES:
            _CACHE.popitem(last=False)
    return entry
