"""Align the colours of source patches with the target's, or vary them so that a network relies on them less."""

from __future__ import annotations

import numpy as np

_LEVELS = np.linspace(0, 1, 129)  # quantiles that represent a distribution


class ColourMatching:
    """Monotone maps of the source's bands that give each band the distribution of the target's.

    There is one map per band for the whole domain: a patch of water stays darker than one of sand. (Matching each patch to
    a random target window was tried; it gives classes the colours of other classes.)

    Args:
        source, target: pixels (bands, n) on 0..1, sampled over each domain.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        before, after = (np.quantile(pixels, _LEVELS, axis=1).T for pixels in (source, target))
        self.maps = [_monotone(*quantiles) for quantiles in zip(before, after, strict=True)]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Map an image (bands, H, W) on 0..1 to the target's colours, float32."""
        bands = [np.interp(band, before, after) for band, (before, after) in zip(image, self.maps, strict=True)]
        return np.stack(bands).astype(np.float32)


def _monotone(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the knots of a map between quantiles; a value of several quantiles maps to the mean of their images."""
    values, which = np.unique(before, return_inverse=True)
    return values, np.bincount(which, after) / np.bincount(which)


def mix_bands(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Replace each band of (bands, H, W) by a random convex mixture of all bands.

    A band becomes (1 - u) * band + u * mixture, with u uniform up to ``strength``. Texture and contrast, which sensors
    share, stay; the spectral response of one sensor is hidden.
    """
    bands = len(image)
    weights = rng.dirichlet(np.ones(bands), bands)
    share = rng.uniform(0, strength)
    matrix = (1 - share) * np.eye(bands) + share * weights
    return np.tensordot(matrix.astype(np.float32), image, 1)
