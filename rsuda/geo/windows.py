"""Which windows cover a rectangle, where random windows lie, and the weights that blend overlapping windows."""

from __future__ import annotations

import math

import numpy as np


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """First positions of the fewest windows, at most ``stride`` apart and evenly spread, that cover 0..size.

    One window at 0 when size <= window; otherwise the last one ends exactly at ``size``.
    """
    if size <= window:
        return [0]
    count = math.ceil((size - window) / stride) + 1
    return [round(k * (size - window) / (count - 1)) for k in range(count)]


def full_windows(size: int, window: int, stride: int) -> list[int]:
    """First positions of the windows that fit whole, ``stride`` apart; the remainder is dropped (ST-DASegNet's lists)."""
    return [k * stride for k in range((size - window) // stride + 1)] if size >= window else []


def blend_weights(size: int, window: int, first: list[int]) -> list[np.ndarray]:
    """Weights along one axis for windows at ``first``: they sum to 1 at each of 0..size, and are never 0 at the edge.

    Each window's weight rises linearly to its centre; dividing by the sum makes a partition of unity (which, unlike an
    added epsilon, keeps full weight at the scene's border).

    Returns:
        one (window,) float32 array per window; positions past ``size`` weigh 0.
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
    """(row, col) of a random window of ``size`` inside (height, width); centred where the rectangle is smaller."""
    row = int(rng.integers(0, height - size + 1)) if height >= size else (height - size) // 2
    col = int(rng.integers(0, width - size + 1)) if width >= size else (width - size) // 2
    return row, col
