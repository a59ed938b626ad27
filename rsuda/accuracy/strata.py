"""Count the pixels and the ground area of a map by class and confidence, and divide the map into strata."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from rsuda.accuracy.class_map import ClassMap
from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE

LEVELS = 255  # values of confidence, 0 to 254 for 0 to 1
OUTSIDE = 65535  # stratum of pixels without a class
_CELLS, _COLUMNS, _ROWS = 256, 16, 64  # parts of a map within which its pixels have one area


@dataclass(frozen=True)
class Census:
    """What a map has of each class and confidence.

    Attributes:
        pixels: (classes, levels) number of pixels; one level without confidence.
        area: (classes, levels) square metres, or pixels where the GSD is unknown.
    """

    pixels: np.ndarray
    area: np.ndarray


@dataclass(frozen=True)
class Stratum:
    """A part of a map from which points are drawn.

    Attributes:
        name: of the class, with the limits of its confidence where there are any.
        map_class: name of the class; '' where a stratum has several.
        low, high: confidence, 0 to 1, from and below (at the top: up to and with).
        pixels: number of pixels.
        area: square metres, or pixels where the GSD is unknown.
        expected: share of its pixels that is expected to be right, 0 to 1.
        points: number of points drawn.
    """

    name: str
    map_class: str
    low: float
    high: float
    pixels: int
    area: float
    expected: float
    points: int = 0

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def census(map_: ClassMap, *, confidence: bool) -> Census:
    """Count a map in one pass, one strip of it in memory at a time.

    Raises InputError if no pixel has a class.
    """
    shape = len(map_.legend), LEVELS if confidence else 1
    pixels, area = np.zeros(shape, np.int64), np.zeros(shape)
    side = None if map_.has_equal_areas else map_.grid.height
    for first, classes, levels in map_.strips(confidence=confidence):
        parts = cells(classes.shape, side)
        middle = np.array([((rows.start + rows.stop) / 2, (cols.start + cols.stop) / 2) for rows, cols in parts])
        areas = map_.areas(first + middle[:, 0], middle[:, 1])
        for (rows, cols), pixel_area in zip(parts, areas, strict=True):
            part = classes[rows, cols]
            valid = part != IGNORE
            index = part[valid].astype(np.int64) * shape[1]
            if levels is not None:
                index += levels[rows, cols][valid]
            counts = np.bincount(index, minlength=pixels.size).reshape(shape)
            pixels += counts
            area += counts * pixel_area
    if not pixels.any():
        raise InputError(f"no pixel of {map_.place} holds a class")
    return Census(pixels, area)


def cells(shape: tuple[int, ...], height: int | None) -> list[tuple[slice, slice]]:
    """Cover a strip by cells that are small in a map of this height; None for a map whose pixels are equal."""
    rows = _ROWS if height is None else min(_ROWS, max(1, height // _CELLS))
    cols = shape[1] if height is None else -(-shape[1] // _COLUMNS)
    return [
        (slice(row, min(row + rows, shape[0])), slice(col, min(col + cols, shape[1])))
        for row in range(0, shape[0], rows)
        for col in range(0, shape[1], cols)
    ]


def divide(map_: ClassMap, counts: Census, bands: int, expected: dict[str, float]) -> tuple[list[Stratum], np.ndarray]:
    """Divide a map into strata: its classes, or bands of confidence within them.

    Args:
        bands: of confidence in a class; 1 for classes alone.
        expected: share of right pixels by class; the mean confidence, or 0.8 without one, by default.

    Returns:
        the strata, which are not empty; and the table (256, 256 or 1) uint16 from class and confidence to the stratum.
    """
    strata: list[Stratum] = []
    table = np.full((256, 256 if counts.pixels.shape[1] > 1 else 1), OUTSIDE, np.uint16)
    for k, name in enumerate(map_.legend.names):
        for low, high in _limits(counts.pixels[k], bands):
            pixels, levels = counts.pixels[k, low:high], np.arange(low, high)
            if not pixels.any():
                continue
            table[k, low:high] = len(strata)
            single = counts.pixels.shape[1] == 1
            start, end = (0.0, 1.0) if single else (low / (LEVELS - 1), min(high / (LEVELS - 1), 1.0))
            strata.append(
                Stratum(
                    name if bands == 1 else f"{name}, confidence {start:.2f} to {end:.2f}",
                    name,
                    start,
                    end,
                    int(pixels.sum()),
                    float(counts.area[k, low:high].sum()),
                    expected.get(name, 0.8 if single else float(pixels @ levels / pixels.sum() / (LEVELS - 1))),
                )
            )
    return strata, table


def _limits(pixels: np.ndarray, bands: int) -> list[tuple[int, int]]:
    """Divide levels of confidence into bands with equal sums of the root of their pixels (Dalenius and Hodges 1959)."""
    sums, levels = np.cumsum(np.sqrt(pixels)), np.flatnonzero(pixels)[:-1]
    if not len(levels):
        return [(0, len(pixels))]
    inner = [int(levels[np.abs(sums[levels] - sums[-1] * band / bands).argmin()]) + 1 for band in range(1, bands)]
    return list(pairwise(sorted({0, *inner, len(pixels)})))
