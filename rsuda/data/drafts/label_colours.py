"""Count the colours or values of label rasters, also where compression or resampling has smeared them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import colour_bytes
from rsuda.geo.rasters.info import sample, sample_windows
from rsuda.geo.rasters.labels import LEAST_GAP
from rsuda.geo.rasters.raster import RasterFile

_SAME = 12  # greatest distance of smeared colours that are one class
_NO_NOISE = 0.1  # share of the pixels of a nearly equal value from which on another is a class of its own
_PURE = 6  # distance from 0 and 255 within which a smeared colour is rounded to them


def count_colours(file: RasterFile) -> Counter[tuple[int, ...]]:
    """Count the pixels of each value (value,) or colour (r, g, b) in a sample of a file.

    Raises InputError for a file that holds fractions.
    """
    values, _, _ = sample(file, _numbers(file))
    return _count(values, file)


def count_flat(files: Sequence[RasterFile]) -> Counter[tuple[int, ...]]:
    """Count as ``count_colours``, but only pixels whose eight neighbours are equal to them.

    Inside of the areas of a class smeared labels are flat.
    """
    counts: Counter[tuple[int, ...]] = Counter()
    for file in files:
        for raster in sample_windows(file, _numbers(file)):
            counts += _count(raster.values[:, _flat(raster.values, raster.valid)], file)
    return counts


def joined(counts: Counter[tuple[int, ...]]) -> Counter[tuple[int, ...]]:
    """Join nearly equal colours or values of smeared labels under the most frequent one, and leave out rare ones."""
    groups: Counter[tuple[int, ...]] = Counter()
    for colour, count in counts.most_common():
        near = (key for key in groups if math.dist(key, colour) <= _SAME)
        groups[next(near, colour)] += count
    pure: Counter[tuple[int, ...]] = Counter()
    for colour, count in groups.items():
        if count >= counts.total() / 1000:
            pure[tuple(map(_rounded, colour))] += count
    return pure


def are_blurred(counts: Counter[tuple[int, ...]]) -> bool:
    """Check whether values of smeared labels, by their flat pixels, are too near each other to be distinguished."""
    values = sorted((key[0], count) for key, count in counts.items() if len(set(key)) == 1)
    if len(values) < len(counts):
        return False  # colours
    pairs = combinations([pair for pair in values if pair[1] >= counts.total() / 1000], 2)
    return any(
        other - value < LEAST_GAP and (other - value > _SAME or min(count, pixels) >= _NO_NOISE * max(count, pixels))
        for (value, count), (other, pixels) in pairs
    )


def are_mixed(frequent: Collection[tuple[int, ...]], flat: Counter[tuple[int, ...]]) -> bool:
    """Check whether labels are smeared by resampling: colours of borders alone are mixtures of two colours of areas."""
    areas = [np.array(key, float) for key, count in flat.items() if count >= flat.total() / 1000]
    borders = [np.array(key, float) for key in frequent if key not in flat]
    is_colour = len(next(iter(frequent), ())) == 3
    if len(borders) < (2 if is_colour else len(areas) + 1) or (not is_colour and are_blurred(flat)):
        return False
    return all(any(_lies_between(key, *pair) for pair in combinations(areas, 2)) for key in borders)


def _lies_between(colour: np.ndarray, first: np.ndarray, second: np.ndarray) -> bool:
    line = second - first
    place = float(np.clip((colour - first) @ line / (line @ line), 0, 1))
    return float(np.linalg.norm(first + place * line - colour)) <= _SAME


def _rounded(value: int) -> int:
    return 0 if abs(value) <= _PURE else 255 if abs(value - 255) <= _PURE else value


def _numbers(file: RasterFile) -> list[int]:
    return [1, 2, 3] if file.count >= 3 else [1]


def _flat(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mark (H, W) the pixels of (bands, H, W) whose eight neighbours are equal and valid; none at the border."""
    flat = np.zeros(valid.shape, bool)
    inner, middle = np.ones(flat[1:-1, 1:-1].shape, bool), values[:, 1:-1, 1:-1]
    height, width = valid.shape
    for row in range(3 if inner.size else 0):
        for col in range(3):
            neighbours = np.s_[..., row : row + height - 2, col : col + width - 2]
            inner &= valid[neighbours] & (values[neighbours] == middle).all(0)
    flat[1:-1, 1:-1] = inner
    return flat


def _count(values: np.ndarray, file: RasterFile) -> Counter[tuple[int, ...]]:
    """Count the values (bands, n) of a file."""
    if not values.size:
        return Counter()
    if not np.array_equal(values, np.trunc(values)):
        raise InputError(
            f"the label {file.path} holds fractions, such as {float(values[values % 1 != 0][0]):g}; if it was resampled, "
            "do it by nearest neighbour (gdalwarp -r near)"
        )
    if len(values) == 3:
        (red, green, blue), fits = colour_bytes(values)
        if fits.all():
            codes, number = np.unique(
                (red.astype(np.int64) << 16) | (green.astype(np.int64) << 8) | blue, return_counts=True
            )
            keys = [(int(k) >> 16, int(k) >> 8 & 255, int(k) & 255) for k in codes]
            return Counter(dict(zip(keys, map(int, number), strict=True)))
    single, number = np.unique(values[0], return_counts=True)
    return Counter({(int(value),): int(count) for value, count in zip(single, number, strict=True)})
