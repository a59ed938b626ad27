"""Colours of source patches brought nearer to the target's, or made to vary so much that a network stops trusting them."""

from __future__ import annotations

import numpy as np

_LEVELS = np.linspace(0, 1, 129)  # quantiles that a distribution is kept by


class ColourMatching:
    """Maps each band of the source monotonically so that its distribution over the domain becomes the target's.

    One map for the whole domain: a patch of water stays darker than one of sand. (Giving each patch the colours of some
    target window was tried and gives classes the colours of other classes.)

    Args:
        source, target: pixels (bands, n) on 0..1, sampled over each domain.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray) -> None:
        own, new = (np.quantile(pixels, _LEVELS, axis=1).T for pixels in (source, target))
        self.maps = [_monotone(o, n) for o, n in zip(own, new, strict=True)]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(bands, H, W) on 0..1 in the target's colours."""
        mapped = [np.interp(band, own, new) for band, (own, new) in zip(image, self.maps, strict=True)]
        return np.stack(mapped).astype(np.float32)


def _monotone(own: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots of a map of quantiles; a value that fills several quantiles goes to the mean of what they go to."""
    values, which = np.unique(own, return_inverse=True)
    return values, np.bincount(which, new) / np.bincount(which)


def mix_bands(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Each band of (bands, H, W) replaced by a random convex mixture of all: (1 - u) own + u mixture, u uniform up to
    ``strength``. What is left is texture and contrast, which sensors share, rather than one sensor's spectral response."""
    bands = len(image)
    weights = rng.dirichlet(np.ones(bands), bands)
    share = rng.uniform(0, strength)
    matrix = (1 - share) * np.eye(bands) + share * weights
    return np.tensordot(matrix.astype(np.float32), image, 1)
