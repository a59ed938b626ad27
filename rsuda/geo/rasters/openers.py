"""Open a raster by a function of one's own where its address has one, so that GDAL asks no network itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import rasterio

Opener = Callable[..., BinaryIO]  # of a path and a mode

_OPENERS: dict[str, Opener] = {}


@contextmanager
def opened_by(address: str, opener: Opener) -> Iterator[str]:
    """Let all rasters of this address be opened by a function, in every thread. Gives the address.

    Args:
        opener: of a path and a mode; GDAL asks it for the files beside the raster too. It raises OSError for those that it
            does not open.
    """
    _OPENERS[address] = opener
    try:
        yield address
    finally:
        del _OPENERS[address]


def open_raster(path: Any) -> Any:
    """Open a raster for reading, as ``rasterio.open`` does, or by the function of its address."""
    opener = _OPENERS.get(path) if isinstance(path, str) else None
    return rasterio.open(path, opener=opener) if opener else rasterio.open(path)
