"""Resample rasters by one separable weighting per axis.

Weights depend on absolute positions only, so a pixel's value does not depend on the window that is read. (In a warped virtual
raster it does, see rasterio issue 2839.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TIE = 1e-5  # pixels, so that a position on an edge belongs to the same pixel in all windows


@dataclass(frozen=True)
class AxisWeights:
    """Input pixels and weights of each output pixel along one axis.

    Attributes:
        pixel: (count, taps) int, counted from the first input pixel.
        weight: (count, taps) float32; rows sum to 1, or to 0 outside of the input.
    """

    pixel: np.ndarray
    weight: np.ndarray


def axis_weights(length: int, start: float, step: float, count: int) -> tuple[int, int, AxisWeights]:
    """Compute the weights of one axis: output pixel i covers input positions ``start + i*step`` to ``start + (i+1)*step``.

    Coarsening (step > 1) weights each input pixel by its covered share; refining interpolates linearly between pixel
    centres. Output pixels outside 0..length get weights of 0. If one reaches past the end, only its inner part counts.

    Returns:
        first, last: the range of input pixels, ``first <= p < last``;
        weights: of these pixels.
    """
    edges = start + step * np.arange(count + 1)
    inside = (edges[1:] > 1e-6) & (
        edges[:-1] < length - 1e-6
    )  # a tolerance, so that rounding does not depend on the window
    if step > 1:
        first = int(np.clip(np.floor(edges[0]), 0, length))
        last = int(np.clip(np.ceil(edges[-1] - 1e-9), first, length))
        pixels = np.floor(edges[:-1]).astype(int)[:, None] + np.arange(int(np.ceil(step)) + 1)
        weights = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        weights = np.where((pixels >= first) & (pixels < last), np.clip(weights, 0, None), 0)
    else:
        centres = (edges[:-1] + edges[1:]) / 2
        low = np.floor(centres - 0.5)
        share = centres - 0.5 - low
        pixels = np.clip(np.stack([low, low + 1], 1), 0, length - 1).astype(int)
        first, last = int(pixels.min()), int(pixels.max()) + 1
        weights = np.stack([1 - share, share], 1)
        weights[pixels[:, 0] == pixels[:, 1]] = (1, 0)  # at the ends
    weights[~inside] = 0
    total = weights.sum(1, keepdims=True)
    weights = np.divide(weights, total, out=weights, where=total > 0).astype(np.float32)
    return first, last, AxisWeights(np.clip(pixels - first, 0, max(0, last - first - 1)), weights)


def placed_weights(
    length: int, start: float, step: float, count: int, *, nearest: bool
) -> tuple[int, int, AxisWeights]:
    """Compute the weights of one axis as ``axis_weights``, for any start and for steps below 0, which run backwards.

    Args:
        nearest: whether refining takes the pixel around each centre; output pixels whose centre is outside get weights of 0.
    """
    if step < 0:
        first, last, weights = placed_weights(length, start + count * step, -step, count, nearest=nearest)
        return first, last, AxisWeights(weights.pixel[::-1], weights.weight[::-1])
    if step > 1 or not nearest:
        return axis_weights(length, start, step, count)
    pixels = np.floor(start + step * (np.arange(count) + 0.5) + _TIE).astype(int)
    inside = (pixels >= 0) & (pixels < length)
    if not inside.any():
        return 0, 0, AxisWeights(np.zeros((count, 1), int), np.zeros((count, 1), np.float32))
    first, last = int(pixels[inside].min()), int(pixels[inside].max()) + 1
    taps = np.clip(pixels - first, 0, last - first - 1)[:, None]
    return first, last, AxisWeights(taps, inside[:, None].astype(np.float32))


def weigh(values: np.ndarray, down: AxisWeights, across: AxisWeights) -> np.ndarray:
    """Apply the weights of both axes: (..., H, W) of the input range becomes (..., h, w) float32."""
    return _gather(_gather(values.astype(np.float32, copy=False), down, -2), across, -1)


def _gather(values: np.ndarray, weights: AxisWeights, axis: int) -> np.ndarray:
    """Add up weighted pixels along the last axis but one (-2) or the last (-1), tap by tap."""
    out: np.ndarray | None = None
    for pixel, weight in zip(weights.pixel.T, weights.weight.T, strict=True):
        if out is None or weight.any():
            part = np.take(values, pixel, axis)
            part *= weight[:, None] if axis == -2 else weight
            out = part if out is None else np.add(out, part, out=out)
    assert out is not None  # there is a tap at least
    return out
