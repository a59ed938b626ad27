"""Find the class of label pixels that lossy compression or resampling has moved off their colours."""

from __future__ import annotations

import numpy as np

_CLEARLY = 0.5  # a class counts where its distance is at most this share of the next class's


def nearest_classes(
    pixels: np.ndarray, centres: np.ndarray, classes: np.ndarray, tolerance: float, otherwise: int
) -> np.ndarray:
    """Find the class of the nearest colour or value, where it is near and clearly nearer than that of any other class.

    Args:
        pixels: (n, bands) colours or values.
        centres: (m, bands) colours or values of the legend.
        classes: (m,) uint8 class of each.
        tolerance: greatest Euclidean distance.
        otherwise: what other pixels become.

    Returns:
        (n,) uint8 classes.
    """
    colours, place = np.unique(pixels, axis=0, return_inverse=True)
    distances = np.sqrt(((colours[:, None].astype(np.float64) - centres) ** 2).sum(2))
    names = np.unique(classes)
    of_class = np.stack([distances[:, classes == name].min(1) for name in names], 1)
    order = np.sort(of_class, 1)
    near = order[:, 0] <= tolerance
    if len(names) > 1:
        near &= order[:, 0] <= _CLEARLY * order[:, 1]
    result = np.where(near, names[of_class.argmin(1)], np.uint8(otherwise))
    return result[place.ravel()].astype(np.uint8)
