"""Draw pixels of strata at random, reproducibly, with one strip of the map in memory at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from rsuda.accuracy.class_map import ClassMap
from rsuda.accuracy.strata import OUTSIDE, Stratum

_SMALL = 100_000  # pixels of a stratum that are all put in random order
_ORDER = 1 << 31  # key of the order of points


@dataclass(frozen=True)
class SamplePixels:
    """Pixels of a sample, in random order, so that the first ones are a sample too.

    Attributes:
        stratum: (n,) number of the stratum.
        rows, cols: (n,) pixels of the map.
        confidence: (n,) confidence of the class, 0 to 1; None without one.
    """

    stratum: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    confidence: np.ndarray | None

    def __len__(self) -> int:
        return len(self.rows)


def draw(map_: ClassMap, strata: list[Stratum], table: np.ndarray, counts: np.ndarray, seed: int) -> SamplePixels:
    """Draw ``counts`` (H,) pixels of the strata; a larger count draws the same pixels first.

    Args:
        table: from class and confidence to the stratum; see ``divide``.
        seed: at least 0; the draws of a stratum depend on it, on the stratum's number and on its pixels alone.
    """
    draws = [
        _indices(stratum.pixels, int(count), (seed, number))
        for number, (stratum, count) in enumerate(zip(strata, counts, strict=True))
    ]
    entries: list[tuple[int, int, int, int, int]] = []  # place of the draw, stratum, row, col, confidence
    before = np.zeros(len(strata), np.int64)
    with_confidence = table.shape[1] > 1
    for first, classes, levels in map_.strips(confidence=with_confidence):
        parts = table[classes, levels] if levels is not None else table[classes, 0]
        in_strip = np.bincount(parts[parts != OUTSIDE], minlength=len(strata))
        for number in np.flatnonzero(in_strip):
            places = np.flatnonzero(
                (draws[number] >= before[number]) & (draws[number] < before[number] + in_strip[number])
            )
            if not len(places):
                continue
            flat = np.flatnonzero(parts == number)[draws[number][places] - before[number]]
            for place, pixel in zip(places, flat, strict=True):
                row, col = divmod(int(pixel), classes.shape[1])
                entries.append(
                    (int(place), int(number), first + row, col, 0 if levels is None else int(levels[row, col]))
                )
        before += in_strip
    return _in_random_order(entries, seed, with_confidence)


def _indices(pixels: int, count: int, key: tuple[int, int]) -> np.ndarray:
    """Draw different numbers below ``pixels``."""
    rng = np.random.default_rng(key)
    if pixels <= _SMALL:
        return rng.permutation(pixels)[:count]
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        numbers |= dict.fromkeys(rng.integers(0, pixels, 64).tolist())
    return np.array(list(numbers)[:count], np.int64)


def _in_random_order(
    entries: Collection[tuple[int, int, int, int, int]], seed: int, with_confidence: bool
) -> SamplePixels:
    """Sort by stratum and draw, and shuffle."""
    values = np.array(sorted(entries, key=lambda entry: (entry[1], entry[0])), np.int64).reshape(-1, 5)
    values = values[np.random.default_rng((seed, _ORDER)).permutation(len(values))]
    return SamplePixels(values[:, 1], values[:, 2], values[:, 3], values[:, 4] / 254 if with_confidence else None)
