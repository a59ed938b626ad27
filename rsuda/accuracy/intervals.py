"""Make 95 % intervals of ratios from stratified samples: limits of each stratum, joined by squares, solved for the ratio.

A ratio R is where the total of y - R x is 0 (Fieller 1954). In a stratum, y - R x is a proportion on the scale from its least to
its largest value. The limits of a proportion are quantiles of beta distributions, which are not
symmetric and hold where few or no errors are found. Distances from the strata's estimates to their limits add up as squares.
This is the method of variance estimates recovery (Zou, Huang and Zhang, "A note on confidence interval estimation for a linear
function of binomial proportions", Computational Statistics & Data Analysis 53, 2009; Newcombe, Statistics in Medicine 17, 1998).

Jeffreys' limits add half a point to the right and to the wrong ones. The exact ones of Clopper and Pearson add a whole one to one
side (Brown, Cai and DasGupta, Statistical Science 16, 2001). The limits used here lie between: a quarter and three quarters.
Jeffreys' alone hold a single proportion in 90 % of samples for some numbers of points, and the exact ones are needlessly wide.

Where y - R x has a third value between, its variance is smaller than that of a proportion. Then the stratum counts as more points
than it has: the effective sample size of Korn and Graubard (Survey Methodology 24, 1998). So does a stratum of which many pixels
are labelled. Half a point at both ends keeps this size finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from rsuda.accuracy.estimators import Measure, Sample

_TAIL = 0.025
_STEPS = 25  # of bisection


@dataclass(frozen=True)
class Choices:
    """The values that y and x may have in each stratum.

    Attributes:
        y, x: (c, m) values.
        possible: (c, H, m) whether a stratum may have them.
    """

    y: np.ndarray
    x: np.ndarray
    possible: np.ndarray

    @staticmethod
    def of(sample: Sample, measure: Measure, map_classes: np.ndarray) -> Choices:
        """List what a measure may have: any label, and classes of the map (n, m) that points of the stratum have."""
        share = sample.means(map_classes)
        ones = np.ones(map_classes.shape[1])
        pairs = [measure(mark * ones, label * ones) for mark in (1.0, 0.0) for label in (1.0, 0.0)]
        possible = np.stack([share > 0, share > 0, share < 1, share < 1])
        return Choices(np.stack([y for y, _ in pairs]), np.stack([x for _, x in pairs]), possible)

    @staticmethod
    def of_differences(sample: Sample) -> Choices:
        """List what the difference of two indicators may be."""
        y = np.array([[-1.0], [0.0], [1.0]])
        return Choices(y, np.ones_like(y), np.ones((3, len(sample.sizes), 1), bool))

    def range(self, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest y - R x (H, m) at ratios (m,)."""
        values = (self.y - ratio * self.x)[:, None]
        return np.where(self.possible, values, np.inf).min(0), np.where(self.possible, values, -np.inf).max(0)


@dataclass(frozen=True)
class _Moments:
    """Means (H, m) by stratum of y, x and their products, where both are multiplied by the ground area of the pixel.

    Attributes:
        count: (H, 1) points.
        free: (H, 1) share of the pixels that are not labelled.
        weights, area: (H, 1) share of the stratum, and mean ground area of the pixels that count.
        partial: (H, 1) whether some pixels do not count, whose area is 0.
    """

    y: np.ndarray
    x: np.ndarray
    yy: np.ndarray
    xy: np.ndarray
    xx: np.ndarray
    count: np.ndarray
    free: np.ndarray
    weights: np.ndarray
    area: np.ndarray
    partial: np.ndarray

    @staticmethod
    def of(sample: Sample, y: np.ndarray, x: np.ndarray) -> _Moments:
        area, count = sample.area[:, None], sample.counts[:, None].astype(float)
        y, x = y * area, x * area
        weights = (sample.sizes if sample.weights is None else sample.weights)[:, None]
        counting = sample.means((area > 0).astype(float))
        return _Moments(
            y=sample.means(y),
            x=sample.means(x),
            yy=sample.means(y * y),
            xy=sample.means(x * y),
            xx=sample.means(x * x),
            count=count,
            free=1 - count / sample.sizes[:, None],
            weights=weights,
            area=sample.means(area) / np.maximum(counting, 1e-300),
            partial=counting < 1,
        )

    def limits(self, ratio: np.ndarray, choices: Choices) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper limit (m,) of the total of y - R x at ratios (m,)."""
        least, most = (end * self.area for end in choices.range(ratio))
        least, most = (
            np.where(self.partial, np.minimum(least, 0), least),
            np.where(self.partial, np.maximum(most, 0), most),
        )
        mean, span = self.y - ratio * self.x, most - least
        square = self.yy - 2 * ratio * self.xy + ratio**2 * self.xx
        count = self.count + 1  # with half a point at both ends
        middle = (self.count * mean + (least + most) / 2) / count
        variance = (self.count * square + (least**2 + most**2) / 2) / count - middle**2
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = self.count * (most - middle) * (middle - least) / (variance * self.free)
            share = np.clip((mean - least) / span, 0, 1)
        is_constant = (span < 1e-12) | (self.free < 1e-12) | ~np.isfinite(effective)
        share, effective = np.where(is_constant, 0.5, share), np.where(is_constant, 1.0, effective)
        low, high = (np.where(is_constant, share, end) for end in limits_of(share, effective))
        total = (self.weights * mean).sum(0)
        down, up = (self.weights * span * (share - low), self.weights * span * (high - share))
        return total - np.sqrt((down**2).sum(0)), total + np.sqrt((up**2).sum(0))


def limits_of(share: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % limits of proportions from points; 0 and 1 are the limits of 0 and 1 themselves."""
    pairs, place = np.unique(share.ravel() + 1j * points.ravel(), return_inverse=True)  # few are different
    right, wrong = pairs.real * pairs.imag, (1 - pairs.real) * pairs.imag
    low = np.where(pairs.real <= 0, 0, betaincinv(right + 0.25, wrong + 0.75, _TAIL))
    high = np.where(pairs.real >= 1, 1, betaincinv(right + 0.75, wrong + 0.25, 1 - _TAIL))
    return low[place].reshape(share.shape), high[place].reshape(share.shape)


def interval(
    sample: Sample, y: np.ndarray, x: np.ndarray, choices: Choices, value: np.ndarray, lowest: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Make the 95 % intervals of ratios from ``lowest`` to 1.

    Args:
        y, x: (n, m) values at the points.
        value: (m,) the ratios; nan gives nan.

    Returns:
        both ends (m,).
    """
    moments, is_finite = _Moments.of(sample, y, x), np.isfinite(value)
    centre = np.where(is_finite, value, 0.5)

    def end(outside: float, *, upper: bool) -> np.ndarray:
        inner, outer = centre, np.full_like(centre, outside)
        for _ in range(_STEPS):
            middle = (inner + outer) / 2
            low, high = moments.limits(middle, choices)
            inside = high >= 0 if upper else low <= 0
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        return np.where(is_finite, outer, np.nan)

    return end(lowest, upper=False), end(1.0, upper=True)
