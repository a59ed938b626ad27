"""Windows: cover a rectangle with them, draw random ones, clip them to a raster, and blend overlapping ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Window4 = tuple[int, int, int, int]  # row, col, height, width


def clip_window(window: Window4, height: int, width: int) -> tuple[Window4, Any]:
    """Clip a window to a raster: the part inside of the raster, and the slices of this part within the window."""
    row, col, rows, cols = window
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + rows, height), min(col + cols, width)
    return (top, left, bottom - top, right - left), np.s_[..., top - row : bottom - row, left - col : right - col]


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """Place the fewest windows that cover 0..size, evenly spread and at most ``stride`` apart; return their first positions.

    If size <= window there is one window at 0. In all other cases the last window ends at ``size``.
    """
    if size <= window:
        return [0]
    count = math.ceil((size - window) / stride) + 1
    return [round(k * (size - window) / (count - 1)) for k in range(count)]


def full_windows(size: int, window: int, stride: int) -> list[int]:
    """Place windows ``stride`` apart that fit whole, without the remainder (as ST-DASegNet's tile lists)."""
    return [k * stride for k in range((size - window) // stride + 1)] if size >= window else []


def blend_weights(size: int, window: int, first: list[int]) -> list[np.ndarray]:
    """Compute weights along one axis for windows at ``first``: they sum to 1 at each of 0..size and are above 0 there.

    Each window's weight rises linearly to its centre. Division by the sum makes a partition of unity, which keeps the full
    weight at the scene's border; an added epsilon would not.

    Returns:
        one (window,) float32 array per window; positions beyond ``size`` have weight 0.
    """
    ramp = np.minimum(np.arange(window) + 1, window - np.arange(window)).astype(np.float64)
    total = np.zeros(max(size, first[-1] + window))
    for start in first:
        total[start : start + window] += ramp
    weights = []
    for start in first:
        share = ramp / total[start : start + window]
        share[max(0, size - start) :] = 0
        weights.append(share.astype(np.float32))
    return weights


def random_window(rng: np.random.Generator, height: int, width: int, size: int) -> tuple[int, int]:
    """Draw (row, col) of a window of ``size`` inside (height, width); it is centred if the rectangle is smaller."""
    row = int(rng.integers(0, height - size + 1)) if height >= size else (height - size) // 2
    col = int(rng.integers(0, width - size + 1)) if width >= size else (width - size) // 2
    return row, col
