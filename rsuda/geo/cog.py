"""Cloud Optimized GeoTIFFs of classes and of probabilities, written row by row."""

from __future__ import annotations

import logging
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.shutil import copy
from rasterio.windows import Window

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError, WriteError
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.grid import Grid

_BLOCK = 512
_LOSSLESS = ("NONE", "LZW", "DEFLATE", "ZSTD", "LZMA", "PACKBITS")
_OPTIONS = {"COMPRESS": "DEFLATE", "BLOCKSIZE": str(_BLOCK), "BIGTIFF": "IF_SAFER", "NUM_THREADS": "ALL_CPUS"}

Rows = Callable[[int, int], np.ndarray]  # (first row, rows) -> (rows, width) uint8


def creation_options(given: Sequence[str]) -> dict[str, str]:
    """'NAME=VALUE' of GDAL's COG driver, tried on a raster of one pixel. Raises InputError for what GDAL does not take."""
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise InputError(f"--co takes NAME=VALUE of GDAL's COG driver, such as COMPRESS=ZSTD, not '{text}'")
        found[name.strip().upper()] = value.strip()
    if found:
        complaints = _Complaints()
        logger = logging.getLogger(
            "rasterio._env"
        )  # GDAL's warnings arrive here, and are all that tells a wrong option
        before, logger.propagate = logger.propagate, False
        logger.addHandler(complaints)
        try:
            with tempfile.TemporaryDirectory() as folder:
                one = [("one pixel", lambda row, count: np.zeros((count, 1), np.uint8))]
                write_cog(Path(folder, "one.tif"), one, Grid(1, 1), options=found)
        except RasterioError as error:
            complaints.texts.append(str(error.__cause__ or error))
        finally:
            logger.removeHandler(complaints)
            logger.propagate = before
        if complaints.texts:
            told = complaints.texts[0].partition(" in ")[2] or complaints.texts[0]
            raise InputError(f"GDAL's COG driver does not take --co {' --co '.join(given)}: {told.splitlines()[0]}")
    return found


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def write_cog(
    path: str | Path,
    bands: list[tuple[str, Rows]],
    grid: Grid,
    legend: Legend | None = None,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    gcps: tuple[list[Any], Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write uint8 bands with nodata 255, tiled and compressed, with overviews.

    Args:
        bands: description and pixels of each band.
        legend: for a class raster (one band): colour table, class names, overviews by mode. Otherwise overviews are means.
        options: creation options of GDAL's COG driver, over the defaults.
        gcps: ground control points and their CRS, for a grid without a georeference.

    Raises ExistsError when the file exists and ``overwrite`` is False, WriteError when there is no room.
    """
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": grid.height, "width": grid.width, "count": len(bands), "dtype": "uint8",
        "crs": grid.crs, "nodata": IGNORE, "tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK,
        "BIGTIFF": "IF_SAFER", "INTERLEAVE": "BAND",
    }  # fmt: skip
    if grid.georeferenced:
        profile["transform"] = grid.transform
    resampling = "MODE" if legend else "AVERAGE"
    with atomic_write(path, overwrite) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        staging = temporary.with_name("staging.tif")  # the COG driver copies a whole file
        written: dict[tuple[int, int], int] = {}  # checksums by band and first row
        with rasterio.open(staging, "w", **profile) as out:
            for number, (description, rows) in enumerate(bands, 1):
                for row in range(0, grid.height, _BLOCK):
                    count = min(_BLOCK, grid.height - row)
                    pixels = rows(row, count)
                    written[number, row] = zlib.crc32(pixels.tobytes())
                    out.write(pixels, number, window=Window(0, row, grid.width, count))
                out.set_band_description(number, description)
            if legend:
                out.write_colormap(1, {k: (*c, 255) for k, c in enumerate(legend.palette)} | {IGNORE: (0, 0, 0, 0)})
                names = {f"CLASS_{k}": n for k, n in enumerate(legend.names)}
                out.update_tags(1, CLASS_NAMES=",".join(legend.names), **names)
            out.update_tags(**(tags or {}))
            if gcps and gcps[0]:
                out.gcps = gcps
        made = {**_OPTIONS, "OVERVIEW_RESAMPLING": resampling, **(options or {})}
        copy(staging, temporary, driver="COG", **made)
        staging.unlink()
        _check(temporary, path, written if made["COMPRESS"].upper() in _LOSSLESS else {})


def _check(file: Path, path: str | Path, written: dict[tuple[int, int], int]) -> None:
    """Read a raster back: GDAL writes its last blocks while it closes a file, and then says nothing of a full disk.

    Raises WriteError when pixels cannot be read or, where ``written`` has them, are others than were written.
    """
    try:
        with rasterio.open(file) as found:
            for level in range(len(found.overviews(1))):
                with rasterio.open(file, OVERVIEW_LEVEL=level) as overview:
                    overview.read()
            for (number, row), checksum in written.items():
                window = Window(0, row, found.width, min(_BLOCK, found.height - row))
                if zlib.crc32(found.read(number, window=window).tobytes()) != checksum:
                    raise WriteError(f"cannot write {path}: what is on the disk is not what was written; is it full?")
    except RasterioError as error:
        raise WriteError(f"cannot write {path}: it cannot be read back; is the disk full?") from error
