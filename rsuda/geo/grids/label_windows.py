"""Read windows of labels at any GSD: class indices by majority."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rsuda.core.legend import IGNORE
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.resample import axis_weights, weigh
from rsuda.geo.grids.windows import Window4, clip_window


def resample_labels(
    grid: Grid,
    classes: int,
    step: tuple[float, float],
    window: Window4,
    read: Callable[[Window4], tuple[np.ndarray, int]],
) -> tuple[np.ndarray, int]:
    """Read a window of the grid whose pixels are ``step`` (down, across) of ``grid``'s pixels long, by majority.

    Args:
        classes: number of classes.
        window: (row, col, height, width) in pixels of that coarser or finer grid; it may reach outside.
        read: returns class indices (h, w) uint8 of a window inside ``grid``, and their number of off-palette pixels.

    Returns:
        (height, width) uint8 class indices, 255 where ignored or outside; the number of off-palette pixels read.
    """
    row, col, height, width = window
    index = np.full((height, width), IGNORE, np.uint8)
    if step == (1.0, 1.0):
        inner, place = clip_window(window, grid.height, grid.width)
        if inner[2] <= 0 or inner[3] <= 0:
            return index, 0
        index[place], off_palette = read(inner)
        return index, off_palette
    top, bottom, down = axis_weights(grid.height, row * step[0], step[0], height)
    left, right, across = axis_weights(grid.width, col * step[1], step[1], width)
    if bottom <= top or right <= left:
        return index, 0
    pixels, off_palette = read((top, left, bottom - top, right - left))
    vote(index, classes, lambda k: weigh(pixels == k, down, across) if (pixels == k).any() else None)
    return index, off_palette


def vote(
    index: np.ndarray, classes: int, votes_of: Callable[[int], np.ndarray | None], least: float = 0.0
) -> np.ndarray:
    """Set the class of most votes in ``index`` (height, width) uint8; the first of equal votes wins.

    Args:
        votes_of: returns the votes (height, width) of a class index or of 255, None without any.
        least: by how much a later class needs more votes than an earlier one.
    """
    most = np.zeros(index.shape, np.float32)
    for k in [*range(classes), IGNORE]:
        votes = votes_of(k)
        if votes is not None:
            index[votes > most + least if least else votes > most] = k
            np.maximum(votes, most, out=most)
    return index
