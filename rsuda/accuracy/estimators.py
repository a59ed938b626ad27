"""Estimate accuracies and areas of a map from a stratified random sample of its pixels.

Every estimate is a ratio of two totals, sum_h N_h mean_h(y) / sum_h N_h mean_h(x), over the strata h with N_h pixels.
These are equations 27 and 28 of S. V. Stehman, "Estimating area and map accuracy for stratified random sampling when
the strata are different from the map classes", International Journal of Remote Sensing 35 (2014). y and x are
indicators of a pixel, for class k:

    overall accuracy      y = map is reference                  x = 1
    user's accuracy       y = map is k and reference is k       x = map is k
    producer's accuracy   y = map is k and reference is k       x = reference is k
    F1                    y = 2 (map is k and reference is k)   x = (map is k) + (reference is k)
    share of the area     y = reference is k                    x = 1

Where the strata are the map's classes, these are equations 1 to 11 of P. Olofsson et al., "Good practices for
estimating area and assessing accuracy of land change", Remote Sensing of Environment 148 (2014), with the correction
for finite strata. x and y are both multiplied by the pixel's ground area. So shares are those of the area where pixels
are unequal, as in degrees.

A stratum whose points all agree has no variance in these equations, though it may hide errors. Of 57 points none may
show an error of 2 %. So intervals are not made of these standard errors: see ``intervals``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

QUANTILE = 1.959964  # of the normal distribution, for 95 %


@dataclass(frozen=True)
class Sample:
    """A stratified random sample.

    Attributes:
        sizes: (H,) pixels of each stratum; infinite ones have no correction for finite strata.
        stratum: (n,) stratum of each point, 0 to H - 1; each stratum has at least two points, or all of its pixels.
        area: (n,) ground area of each point's pixel, in any unit.
        weights: (H,) share of each stratum; by default its pixels.
    """

    sizes: np.ndarray
    stratum: np.ndarray
    area: np.ndarray
    weights: np.ndarray | None = None

    @property
    def counts(self) -> np.ndarray:
        """(H,) points of each stratum."""
        return np.bincount(self.stratum, minlength=len(self.sizes))

    def means(self, values: np.ndarray) -> np.ndarray:
        """Average values (n, m) by stratum: (H, m)."""
        members = self.stratum == np.arange(len(self.sizes))[:, None]
        means: np.ndarray = members.astype(float) @ values / np.maximum(self.counts, 1)[:, None]
        return means


def ratios(sample: Sample, numerator: np.ndarray, denominator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate ratios of two totals (Stehman 2014, equations 27 and 28).

    Args:
        numerator, denominator: (n, m) values of y and x at the points; m ratios.

    Returns:
        (m,) ratios and (m,) standard errors; nan where no point has the denominator.
    """
    above, below = numerator * sample.area[:, None], denominator * sample.area[:, None]
    weights = sample.sizes if sample.weights is None else sample.weights
    total = weights @ sample.means(below)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = weights @ sample.means(above) / total
        residual = above - value * below
        # equation 28 expands the variance of these residuals
        spread = (residual - sample.means(residual)[sample.stratum]) ** 2
        count = sample.counts[:, None]
        variance = sample.means(spread) * count / np.maximum(count - 1, 1)
        error = weights[:, None] ** 2 * (1 - count / sample.sizes[:, None]) * variance / np.maximum(count, 1)
        return value, np.sqrt(np.maximum(error.sum(0), 0)) / total


Measure = Callable[
    [np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]
]  # y and x from marks of the map and of labels

MEASURES: dict[str, Measure] = {
    "users": lambda map_class, reference: (map_class * reference, map_class),
    "producers": lambda map_class, reference: (map_class * reference, reference),
    "f1": lambda map_class, reference: (2 * map_class * reference, map_class + reference),
    "area": lambda map_class, reference: (reference, np.ones_like(reference)),
}


def usual_class(sample: Sample, map_class: np.ndarray) -> np.ndarray:
    """Mark (H, m) by 1 the columns of ``map_class`` (n, m) that most points of each stratum have."""
    means = sample.means(map_class)
    marks: np.ndarray = ((means == means.max(1, keepdims=True)) & (means > 0)).astype(float)
    return marks
