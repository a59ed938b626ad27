"""Write Cloud Optimized GeoTIFFs of classes and of probabilities row by row."""

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
from rsuda.core.display import quoted
from rsuda.core.errors import InputError, WriteError
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid

_BLOCK = 512
LOSSLESS = ("NONE", "LZW", "DEFLATE", "ZSTD", "LZMA", "PACKBITS")
_OPTIONS = {"COMPRESS": "DEFLATE", "BLOCKSIZE": str(_BLOCK), "BIGTIFF": "IF_SAFER", "NUM_THREADS": "ALL_CPUS"}

Rows = Callable[[int, int], np.ndarray]  # (first row, rows) -> (rows, width) uint8


def creation_options(texts: Sequence[str]) -> dict[str, str]:
    """Read 'NAME=VALUE' options of GDAL's COG driver. Raises InputError for options that GDAL does not accept."""
    options = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise InputError(
                f"{spell('co')} is '{text}'; it must be NAME=VALUE of GDAL's COG driver, such as COMPRESS=ZSTD"
            )
        options[name.strip().upper()] = value.strip()
    complaints = gdal_complaints(options) if options else []
    if complaints:
        reason = complaints[0].partition(" in ")[2] or complaints[0]
        raise InputError(f"GDAL's COG driver does not accept {spell('co')} {', '.join(texts)}: {quoted(reason)}")
    return options


def gdal_complaints(options: dict[str, str]) -> list[str]:
    """Write a raster of one pixel with creation options and collect GDAL's warnings and errors.

    GDAL reports invalid options only as warnings, which rasterio sends to a logger.
    """
    handler, logger = _Collector(), logging.getLogger("rasterio._env")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with tempfile.TemporaryDirectory() as folder:
            band = ("one pixel", lambda row, count: np.zeros((count, 1), np.uint8))
            write_cog(Path(folder, "one.tif"), [band], Grid(1, 1), options=options)
    except RasterioError as error:
        handler.texts.append(str(error.__cause__ or error))
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
    return handler.texts


class _Collector(logging.Handler):
    """Collects the texts of warnings."""

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
    *,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    gcps: tuple[list[Any], Any] | None = None,
    rpcs: Any = None,
    overwrite: bool = False,
) -> None:
    """Write uint8 bands with nodata 255, tiled and compressed, with overviews.

    Args:
        bands: description and pixels of each band.
        legend: of a class raster (one band), which gets a colour table, class names and overviews by mode. Without a
            legend, overviews are means.
        options: creation options of GDAL's COG driver, which override the defaults.
        gcps: ground control points and their CRS, for a grid without a georeference.
        rpcs: rational polynomial coefficients, rasterio's RPC, for such a grid.

    Raises:
        ExistsError: the file exists and ``overwrite`` is False.
        WriteError: the disk is full, or the file cannot be read back.
    """
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": len(bands),
        "dtype": "uint8",
        "crs": grid.crs,
        "nodata": IGNORE,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "BIGTIFF": "IF_SAFER",
        "INTERLEAVE": "BAND",
    }
    if grid.georeferenced:
        profile["transform"] = grid.transform
    resampling = "MODE" if legend else "AVERAGE"
    with atomic_write(path, overwrite=overwrite) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        staging = temporary.with_name("staging.tif")  # the COG driver copies a complete file
        checksums: dict[tuple[int, int], int] = {}  # by band and first row
        with rasterio.open(staging, "w", **profile) as out:
            for number, (description, rows) in enumerate(bands, 1):
                for row in range(0, grid.height, _BLOCK):
                    count = min(_BLOCK, grid.height - row)
                    pixels = rows(row, count)
                    checksums[number, row] = zlib.crc32(pixels.tobytes())
                    out.write(pixels, number, window=Window(0, row, grid.width, count))
                out.set_band_description(number, description)
            if legend:
                out.write_colormap(1, {k: (*c, 255) for k, c in enumerate(legend.palette)} | {IGNORE: (0, 0, 0, 0)})
                names = {f"CLASS_{k}": n for k, n in enumerate(legend.names)}
                # readers split these at commas; CLASS_0, CLASS_1, ... have the very names
                names_text = ",".join(name.replace(",", ";") for name in legend.names)
                out.update_tags(1, CLASS_NAMES=names_text, **names)
            out.update_tags(**(tags or {}))
            if gcps and gcps[0]:
                out.gcps = gcps
            if rpcs is not None:
                out.rpcs = rpcs
        creation = {**_OPTIONS, "OVERVIEW_RESAMPLING": resampling, **(options or {})}
        with rasterio.Env(COG_TMP_COMPRESSION="NONE"):  # of overviews in a temporary file
            copy(staging, temporary, driver="COG", **creation)
        staging.unlink()
        _check(temporary, path, checksums if creation["COMPRESS"].upper() in LOSSLESS else {})


def _check(file: Path, path: str | Path, checksums: dict[tuple[int, int], int]) -> None:
    """Read a raster back, since GDAL reports no full disk when it writes the last blocks while closing a file.

    Raises WriteError if pixels are unreadable or differ from the checksums of ``checksums``.
    """
    try:
        with rasterio.open(file) as raster:
            for level in range(len(raster.overviews(1))):
                with rasterio.open(file, OVERVIEW_LEVEL=level) as overview:
                    overview.read()
            for (number, row), checksum in checksums.items():
                window = Window(0, row, raster.width, min(_BLOCK, raster.height - row))
                if zlib.crc32(raster.read(number, window=window).tobytes()) != checksum:
                    raise WriteError(
                        f"cannot write {path}: the data on the disk differs from the data written; the disk may be full"
                    )
    except RasterioError as error:
        raise WriteError(f"cannot write {path}: it cannot be read back; the disk may be full") from error
