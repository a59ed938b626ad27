"""Check the limits of raster headers before pixels are read: a file of a few bytes can declare terabytes."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from rsuda.core.band_names import MOST_BANDS as MOST_BANDS
from rsuda.core.display import size_text
from rsuda.core.errors import InputError
from rsuda.geo.rasters.openers import open_raster

MOST_SIDE = 20_000_000  # pixels: the circumference of the Earth at 2 m
MOST_BLOCK = 1 << 29  # bytes of a block, which GDAL decodes for a window of one pixel
MOST_DECODED = 1 << 32  # bytes of a PNG or JPEG, which are decoded whole
LEAST_INDEX = 2  # bytes of a GeoTIFF for the position of each block, also in sparse files
_MOST_NAMES = 50  # data sets of a file that are opened to find an image
_TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"}


def check_header(file: Any, path: str | Path) -> None:
    """Raise InputError for an open dataset whose size, blocks, data type or geotransform rsuda cannot use.

    Sparse files and virtual rasters may be as large as the Earth, since they are read in windows.
    """
    check_bands(file, path)
    size, types = f"{file.width} x {file.height} px", {str(t) for t in file.dtypes}
    if any(t.startswith("complex") for t in types):
        raise InputError(f"{path} has complex pixels: write their amplitude to a file first")
    if not types <= _TYPES:
        raise InputError(
            f"{path} has pixels of type {', '.join(sorted(types - _TYPES))}: convert them, for example to float32"
        )
    if max(file.width, file.height) > MOST_SIDE:
        raise InputError(f"{path} declares {size}; rsuda reads at most {MOST_SIDE} px along a side")
    bytes_of = max(np.dtype(t).itemsize for t in types)
    together = file.count if str(file.profile.get("interleave", "")).lower() == "pixel" else 1
    block = max(h * w for h, w in file.block_shapes) * bytes_of * together
    if block > MOST_BLOCK:
        raise InputError(
            f"{path} of {size} is stored in blocks of {size_text(block)}, and blocks are read whole: rewrite it "
            "in tiles (gdal_translate -co TILED=YES -co COMPRESS=DEFLATE in.tif out.tif)"
        )
    whole = file.width * file.height * file.count * bytes_of
    if file.driver in ("PNG", "JPEG") and whole > MOST_DECODED:
        raise InputError(
            f"{path} of {size} needs {size_text(whole)} of memory, since {file.driver} is decoded whole: convert it to GeoTIFF"
        )
    if file.driver == "GTiff" and Path(path).is_file():
        height, width = file.block_shapes[0]
        blocks = math.ceil(file.height / height) * math.ceil(file.width / width) * (1 if together > 1 else file.count)
        if blocks * LEAST_INDEX > os.path.getsize(path):
            raise InputError(
                f"{path} has {os.path.getsize(path)} bytes and declares {size} in {blocks} blocks, more blocks than "
                "a file of this size can index: it is corrupt or malicious"
            )
    if not all(math.isfinite(v) and abs(v) < 1e15 for v in file.transform[:6]) or not file.transform.determinant:
        raise InputError(f"{path} has no usable geotransform: {tuple(file.transform[:6])}")


def check_bands(file: Any, path: str | Path) -> None:
    """Raise InputError for an open dataset without bands, such as a netCDF of several data sets, or with too many."""
    if file.count > MOST_BANDS:
        raise InputError(f"{path} declares {file.count} bands; rsuda reads at most {MOST_BANDS}")
    names = file.subdatasets
    if not file.count and names:
        image = _first_image(names)
        raise InputError(
            f"{path} holds {len(names)} data sets, and a scene is one raster: name one ({image}), or join several as "
            f"bands (gdalbuildvrt -separate scene.vrt {image} …)"
        )
    if not file.count:
        raise InputError(f"{path} has no bands")


def _first_image(names: Sequence[str]) -> str:
    """Find the first data set of a file that has rows and columns; lists of coordinates or times are skipped."""
    for name in sorted(names)[:_MOST_NAMES]:
        with suppress(RasterioError), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with open_raster(name) as file:
                if min(file.height, file.width) > 1:
                    return name
    return names[0]


_LICENSED = {".ecw": "ECW", ".sid": "MrSID"}


def what_lies_there(path: str | Path) -> str | None:
    """Say what a folder, an empty file, a web page or a licensed format in the place of a raster is; None for other files."""
    if isinstance(path, Path) and path.is_dir():
        return "it is a folder: name a raster in it"
    if not isinstance(path, Path) or not path.is_file():
        return None
    with path.open("rb") as file:
        begin = file.read(256).lstrip().lower()
    if not begin:
        return "it is empty"
    if path.suffix.lower() in _LICENSED:
        return f"GDAL reads {_LICENSED[path.suffix.lower()]} with a licensed driver alone, which is missing: export a GeoTIFF"
    return "it is a web page: download the file again" if begin.startswith((b"<!doctype html", b"<html")) else None
