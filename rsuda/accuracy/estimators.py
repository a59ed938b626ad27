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
show an error of 2 %. For intervals alone, such a stratum counts one point more, half right and half wrong. This is the prior
of Jeffreys, as Brown, Cai and DasGupta (Statistical Science 16, 2001) use it for one proportion. Standard errors are those of
the papers.
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


Marks = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # y and x from marks of the map and of labels

MEASURES: dict[str, Marks] = {
    "users": lambda mapped, labelled: (mapped * labelled, mapped),
    "producers": lambda mapped, labelled: (mapped * labelled, labelled),
    "f1": lambda mapped, labelled: (2 * mapped * labelled, mapped + labelled),
    "area": lambda mapped, labelled: (labelled, np.ones_like(labelled)),
}


def usual_class(sample: Sample, mapped: np.ndarray) -> np.ndarray:
    """Mark (H, m) by 1 the columns of ``mapped`` (n, m) that most points of each stratum have."""
    means = sample.means(mapped)
    marks: np.ndarray = ((means == means.max(1, keepdims=True)) & (means > 0)).astype(float)
    return marks


def cautious_error(
    sample: Sample, measure: Marks, mapped: np.ndarray, labelled: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Compute standard errors for intervals: as ``ratios`` does, with doubt about strata whose points all agree.

    Args:
        measure: of MEASURES.
        mapped, labelled: (n, m) marks of each class in the map and in the labels.
        value: (m,) the ratios.
    """
    above, below = measure(mapped, labelled)
    usual = usual_class(sample, mapped)
    (y_right, x_right), (y_wrong, x_wrong) = (measure(usual, np.full_like(usual, mark)) for mark in (1.0, 0.0))
    area, count = sample.means(sample.area[:, None]), sample.counts[:, None]
    weights = (sample.sizes if sample.weights is None else sample.weights)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = above - value * below
        alike = sample.means((residual - sample.means(residual)[sample.stratum]) ** 2) < 1e-12
        mean = sample.means(residual * sample.area[:, None])
        right, wrong = (y_right - value * x_right) * area, (y_wrong - value * x_wrong) * area
        middle = (count * mean + right / 2 + wrong / 2) / (count + 1)
        spread = (mean - middle) ** 2 + ((right - middle) ** 2 + (wrong - middle) ** 2) / (2 * np.maximum(count, 1))
        doubt = weights**2 * (1 - count / sample.sizes[:, None]) * spread / np.maximum(count, 1)
        total = (weights * sample.means(below * sample.area[:, None])).sum(0)
        error = ratios(sample, above, below)[1]
        cautious: np.ndarray = np.sqrt(error**2 + np.where(alike, doubt, 0).sum(0) / total**2)
        return cautious


def wald(value: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make 95 % intervals of estimates that have no limits, such as differences: 1.96 standard errors to both sides."""
    return value - QUANTILE * error, value + QUANTILE * error


def wilson(value: np.ndarray, error: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make 95 % intervals of shares by Wilson's score with an effective number of points.

    The effective number is that of a simple random sample with this standard error: value (1 - value) / error**2. An estimate
    of 0 or 1 has no standard error; the number of its points replaces it.

    Args:
        points: (m,) points that each estimate rests on.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = value * (1 - value)
        effective = np.where((error > 0) & (spread > 0), spread / error**2, points)
        centre = (value + QUANTILE**2 / (2 * effective)) / (1 + QUANTILE**2 / effective)
        half = (
            QUANTILE
            * np.sqrt(np.maximum(spread, 0) / effective + QUANTILE**2 / (4 * effective**2))
            / (1 + QUANTILE**2 / effective)
        )
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
