"""Compute how many points an accuracy or an area takes for a wanted interval, from the labels that there are.

The variance of a stratified ratio is sum_h W_h^2 (1/n_h - 1/N_h) S_h^2 / X^2 (Stehman 2014, equation 28). S_h is the standard
deviation of the residuals y - R x in stratum h, and X the mean of x; ``estimators`` lists y and x. With the points
divided by W_h S_h it falls to V at n = (sum_h W_h S_h)^2 / (X^2 V + sum_h W_h S_h^2 / N) (Cochran 1977, equation 5.25). For
overall accuracy, where x is 1, this is equation 13 of Olofsson et al. (2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rsuda.accuracy.allocation import allocate, points_for
from rsuda.accuracy.estimators import MEASURES as MARKS
from rsuda.accuracy.estimators import QUANTILE, Sample, ratios, usual_class
from rsuda.accuracy.results import MorePoints, StratumLabels
from rsuda.core.errors import InputError, unknown
from rsuda.core.legend import Legend
from rsuda.core.spelling import spell

OVERALL, USERS, PRODUCERS, AREA = MEASURES = ("overall", "users", "producers", "area")
_TITLES = {USERS: "user's accuracy", PRODUCERS: "producer's accuracy", AREA: "area"}


@dataclass(frozen=True)
class Target:
    """An interval that is wanted.

    Attributes:
        half_width: of the interval of 95 %, above 0 and below 0.5. Of an area it is a share of this area.
        measure: one of MEASURES.
        class_index: of the class; None for overall accuracy.
        title: of what is estimated, such as "user's accuracy of water".
    """

    half_width: float
    measure: str = OVERALL
    class_index: int | None = None
    title: str = "overall accuracy"

    @staticmethod
    def of(half_width: float | None, measure: str, name: str | None, legend: Legend) -> Target | None:
        """Check what is asked for; None without a half width. Raises InputError."""
        if measure not in MEASURES:
            raise unknown(f"value of {spell('target_measure')}", measure, MEASURES)
        if half_width is None:
            if measure != OVERALL or name is not None:
                raise InputError(f"the wanted interval has no width: pass {spell('target_error', 0.05)}")
            return None
        if not 0 < half_width < 0.5:
            raise InputError(
                f"{spell('target_error')} is {half_width:g}; it must be between 0 and 0.5, such as 0.02 for two percent"
            )
        if measure == OVERALL:
            if name is not None:
                raise InputError(
                    f"overall accuracy is that of all classes: leave out {spell('target_class')}, or pass "
                    f"{spell('target_measure', USERS)}, {PRODUCERS} or {AREA}"
                )
            return Target(half_width)
        if name is None:
            raise InputError(
                f"{spell('target_measure', measure)} is that of one class: name it by {spell('target_class')}"
            )
        if name not in legend.names:
            raise unknown("class", name, legend.names)
        return Target(half_width, measure, legend.names.index(name), f"{_TITLES[measure]} of {name}")

    @property
    def is_relative(self) -> bool:
        """Whether the half width is a share of the estimate."""
        return self.measure == AREA


def more_points(
    target: Target, sample: Sample, map_classes: np.ndarray, references: np.ndarray, strata: tuple[StratumLabels, ...]
) -> MorePoints:
    """Compute the points for an interval and those that are missing, by stratum.

    Each stratum counts one more right and one more wrong point, so that a stratum without an error keeps a deviation above 0.

    Args:
        map_classes, references: (n, K) 1 at the class of the map and of the label of each point.

    Raises:
        InputError: no point tells anything of the class.
    """
    pixels = np.array([part.pixels for part in strata], np.int64)
    if target.class_index is None:
        likely = np.array([(part.right + 1) / (part.labelled + 2) for part in strata])
        points = max(points_for(target.half_width, pixels.astype(float), likely), 2 * len(strata))
        numbers, _ = allocate(points, pixels.tolist(), likely.tolist(), "optimal", 2)
    else:
        numbers = _for_class(target, sample, map_classes, references, pixels)
    more = {part.name: max(0, int(number) - part.labelled) for part, number in zip(strata, numbers, strict=True)}
    return MorePoints(target.half_width, int(numbers.sum()), more, target.title, target.is_relative)


def _for_class(
    target: Target, sample: Sample, map_classes: np.ndarray, references: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """Divide the points that a measure of one class takes among the strata: (H,), at least two in each."""
    k = target.class_index
    above, below = MARKS[target.measure](map_classes[:, k], references[:, k])
    value, _ = ratios(sample, above[:, None], below[:, None])
    error = target.half_width * (value[0] if target.is_relative else 1)
    if not (math.isfinite(value[0]) and error > 0):
        raise InputError(
            f"no labelled point is of the class that the {target.title} is about, so nothing is known of it: label points of it"
        )
    share = sample.sizes if sample.weights is None else sample.weights
    share = share / share.sum()
    mean = share @ sample.means((below * sample.area)[:, None])[:, 0]
    spread = _spread(target, sample, map_classes, references, float(value[0]))
    total = share @ spread
    total_points = total**2 / ((mean * error / QUANTILE) ** 2 + share @ spread**2 / pixels.sum())
    return np.clip(
        np.ceil(total_points * share * spread / max(total, 1e-300)).astype(np.int64), np.minimum(2, pixels), pixels
    )


def _spread(
    target: Target, sample: Sample, map_classes: np.ndarray, references: np.ndarray, value: float
) -> np.ndarray:
    """Estimate the standard deviation (H,) of residuals y - R x in each stratum.

    Two points are added to each: of the class that the map mostly has there, one labelled as the class and one as another.
    """
    count, k = len(sample.sizes), target.class_index
    marks = map_classes[:, k], references[:, k]
    more = np.tile(usual_class(sample, map_classes)[:, k], 2), np.repeat([1.0, 0.0], count)
    above, below = MARKS[target.measure](*map(np.concatenate, zip(marks, more, strict=True)))
    area = np.concatenate([sample.area, *[sample.means(sample.area[:, None])[:, 0]] * 2])
    larger_sample = replace(sample, stratum=np.concatenate([sample.stratum, *[np.arange(count)] * 2]), area=area)
    residual = ((above - value * below) * area)[:, None]
    away = (residual - larger_sample.means(residual)[larger_sample.stratum]) ** 2
    return np.sqrt(larger_sample.means(away)[:, 0])
