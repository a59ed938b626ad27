"""What a raster's header may ask for, checked before a pixel is read: a file of a few bytes can declare terabytes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.core.errors import InputError, MissingError

MOST_SIDE = 20_000_000  # pixels: the Earth around at 2 m
MOST_BANDS = 1000
MOST_BLOCK = 1 << 29  # bytes that GDAL decodes at once for a window of one pixel
MOST_DECODED = 1 << 32  # bytes of a PNG or JPEG, which are decoded whole
LEAST_INDEX = 2  # bytes of a GeoTIFF that tell where a block is; sparse files have them for blocks without pixels too
_TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"}


def check_header(file: Any, path: str | Path) -> None:
    """Raises InputError for an open dataset whose size, blocks, type or place rsuda cannot work with.

    A sparse file, or a virtual raster, of any size that the Earth has stays welcome: reading it costs a window at a time.
    """
    size, types = f"{file.width} x {file.height} px", {str(t) for t in file.dtypes}
    if any(t.startswith("complex") for t in types):
        raise InputError(f"{path} holds complex numbers: write their amplitude to a file first")
    if not types <= _TYPES:
        raise InputError(f"{path} holds pixels of type {', '.join(sorted(types - _TYPES))}, which rsuda does not read")
    if max(file.width, file.height) > MOST_SIDE:
        raise InputError(f"{path} declares {size}, and rsuda reads at most {MOST_SIDE} along a side")
    if file.count > MOST_BANDS:
        raise InputError(f"{path} declares {file.count} bands, and rsuda reads at most {MOST_BANDS}")
    bytes_of = max(np.dtype(t).itemsize for t in types)
    together = file.count if str(file.profile.get("interleave", "")).lower() == "pixel" else 1
    block = max(h * w for h, w in file.block_shapes) * bytes_of * together
    if block > MOST_BLOCK:
        raise InputError(
            f"{path} of {size} is stored in blocks that take {_gib(block)} each, and the least part of it that can be read is "
            f"a block: rewrite it in tiles (gdal_translate -co TILED=YES -co COMPRESS=DEFLATE in.tif out.tif)"
        )
    whole = file.width * file.height * file.count * bytes_of
    if file.driver in ("PNG", "JPEG") and whole > MOST_DECODED:
        raise InputError(
            f"{path} of {size} takes {_gib(whole)} to decode whole, as a {file.driver} must be: make it a GeoTIFF"
        )
    if file.driver == "GTiff" and Path(path).is_file():
        height, width = file.block_shapes[0]
        blocks = math.ceil(file.height / height) * math.ceil(file.width / width) * (1 if together > 1 else file.count)
        if blocks * LEAST_INDEX > os.path.getsize(path):
            raise InputError(
                f"{path} has {os.path.getsize(path)} bytes and declares {size} in {blocks} blocks, which is more than it could "
                "even list: it is damaged, or made to deceive"
            )
    if not all(math.isfinite(v) and abs(v) < 1e15 for v in file.transform[:6]) or not file.transform.determinant:
        raise InputError(f"{path} lies nowhere: its transform is {tuple(file.transform[:6])}")


def check_memory(needed: int, what: str, instead: str) -> None:
    """Raises InputError for bytes that this machine does not have, before they are asked for one by one."""
    has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > has:
        raise InputError(f"{what} needs {_gib(needed)} of memory, and this machine has {_gib(has)}: {instead}")


def check_disk(needed: int, folder: Path, what: str) -> None:
    """Raises MissingError for bytes that do not fit on the disk of a folder, which need not be there yet."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
    held = os.statvfs(there)
    free = held.f_bavail * held.f_frsize
    if needed > free:
        raise MissingError(
            f"{what} needs {_gib(needed)} on the disk of {there}, which has {_gib(free)} left: take another --out"
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 // 10 else f"{count / 2**10:.0f} KiB"
