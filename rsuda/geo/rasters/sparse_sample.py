"""Read bands of several data types together, and sample a whole raster sparsely in bounded time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.windows import Window

WHOLE = 16_000_000  # pixels of a file without overviews that may be decoded for a sample
_SIDE, _POINTS = 512, 32  # samples along a side: of a file that is read whole or by an overview, and of any other


def read_bands(file: Any, numbers: Sequence[int], **options: Any) -> np.ndarray:
    """Read bands (by 1-based number) of an open dataset as (bands, h, w) of their common type.

    Bands of a virtual raster may have several types, which rasterio reads apart only.

    Args:
        options: ``window`` and ``out_shape`` (h, w) of rasterio's read.
    """
    types = [str(file.dtypes[n - 1]) for n in numbers]
    if len(set(types)) == 1:
        return np.asarray(_read(file, list(numbers), options))
    parts = [_read(file, [number], options)[0] for number in numbers]
    return np.stack([part.astype(np.result_type(*map(np.dtype, types)), copy=False) for part in parts])


def _read(file: Any, numbers: list[int], options: dict[str, Any]) -> np.ndarray:
    shape = {"out_shape": (len(numbers), *options["out_shape"])} if "out_shape" in options else {}
    return np.asarray(file.read(numbers, **{**options, **shape}))


def sparse_sample(file: Any, numbers: Sequence[int]) -> np.ndarray:
    """Sample bands of an open dataset on a regular grid over all of it.

    A large file without overviews is read at 32 x 32 points, so that a fraction of its blocks is decoded.

    Returns:
        (bands, h, w) of the bands' common type, with at most 512 rows and columns.
    """
    if file.height * file.width <= WHOLE or file.overviews(numbers[0]):
        return read_bands(file, numbers, out_shape=(min(file.height, _SIDE), min(file.width, _SIDE)))
    rows, cols = (np.linspace(0, length - 1, _POINTS).astype(int) for length in (file.height, file.width))
    points = [read_bands(file, numbers, window=Window(int(col), int(row), 1, 1)) for row in rows for col in cols]
    return np.stack([point[:, 0, 0] for point in points], 1).reshape(len(numbers), len(rows), len(cols))
