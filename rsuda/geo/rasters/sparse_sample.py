"""Read bands of several data types together, and sample a whole raster sparsely in bounded time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.windows import Window

WHOLE = 16_000_000  # pixels of a file without overviews that may be decoded for a sample
_SIDE, POINTS = 512, 32  # samples along a side: of a file that is read whole or by an overview, and of any other


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
    if not is_sampled_by_points(file, numbers):
        return read_bands(file, numbers, out_shape=(min(file.height, _SIDE), min(file.width, _SIDE)))
    return _points(file, numbers, np.ones((POINTS, POINTS), bool)).reshape(len(numbers), POINTS, POINTS)


def is_sampled_by_points(file: Any, numbers: Sequence[int]) -> bool:
    """Check whether ``sparse_sample`` reads POINTS x POINTS single pixels of an open dataset."""
    return file.height * file.width > WHOLE and not file.overviews(numbers[0])


def rim_points(file: Any, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Read the outermost points of ``sparse_sample``, and those next to them: (bands, n) each."""
    depth = np.minimum.outer(*2 * [np.minimum(np.arange(POINTS), np.arange(POINTS)[::-1])])
    return _points(file, numbers, depth == 0), _points(file, numbers, depth == 1)


def _points(file: Any, numbers: Sequence[int], mask: np.ndarray) -> np.ndarray:
    """Read chosen points (POINTS, POINTS) of a regular grid as (bands, n)."""
    rows, cols = (np.linspace(0, length - 1, POINTS).astype(int) for length in (file.height, file.width))
    places = [(int(rows[i]), int(cols[j])) for i, j in np.argwhere(mask)]
    return np.stack([read_bands(file, numbers, window=Window(col, row, 1, 1))[:, 0, 0] for row, col in places], 1)
