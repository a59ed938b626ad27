"""Divide points among strata, and compute how many points an accuracy takes (Olofsson et al. 2014, section 5.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rsuda.accuracy.estimators import QUANTILE
from rsuda.core.errors import InputError, unknown
from rsuda.core.spelling import spell

ALLOCATIONS = ("proportional", "equal", "optimal")
_FEWEST = 2  # points of a stratum, without which there is no standard error


def allocate(
    points: int, sizes: Sequence[int], expected: Sequence[float], how: str, minimum: int
) -> tuple[np.ndarray, str | None]:
    """Divide points among strata.

    ``proportional`` follows the strata's pixels and ``equal`` gives all the same. ``optimal`` follows pixels times the
    expected standard deviation, which makes the error of overall accuracy least (Neyman). Each stratum gets at least
    ``minimum`` points, or all of its pixels.

    Returns:
        (H,) points of each stratum; a note where the minimum is lower than was asked for.

    Raises:
        InputError: an unknown allocation, or fewer than two points for each stratum.
    """
    if how not in ALLOCATIONS:
        raise unknown("allocation", how, ALLOCATIONS)
    pixels, note = np.array(sizes, np.int64), None
    most = np.minimum(pixels, _FEWEST).sum()
    if points < most:
        raise InputError(
            f"{points} points are too few for {len(pixels)} strata, of which each needs {_FEWEST}: pass "
            f"{spell('points', int(most))} or more"
        )
    if minimum * len(pixels) > points:
        lower = max(_FEWEST, points // len(pixels))
        note = f"{len(pixels)} strata with {minimum} points each need {minimum * len(pixels)} points: the minimum is {lower}"
        minimum = lower
    share = {
        "proportional": pixels.astype(float),
        "equal": np.ones(len(pixels)),
        "optimal": pixels * deviations(np.array(expected, float)),
    }[how]
    return _whole(points, share, np.minimum(pixels, minimum), pixels), note


def _whole(points: int, share: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Divide a whole number in proportion to shares, within limits; the largest remainders are rounded up."""
    points = int(min(points, most.sum()))
    numbers = least.astype(float)
    free = np.ones(len(share), bool)
    while True:  # strata at a limit leave the rest to the others
        rest = points - numbers[~free].sum()
        numbers[free] = rest * share[free] / max(share[free].sum(), 1e-300)
        low, high = free & (numbers < least), free & (numbers > most)
        if not (low.any() or high.any()):
            break
        at_limit = low if (least - numbers)[low].sum() >= (numbers - most)[high].sum() else high
        numbers[at_limit] = np.where(low, least, most)[at_limit]
        free &= ~at_limit
    whole = np.floor(numbers + 1e-9).astype(np.int64)
    remainder = np.where(whole < most, numbers - whole, -1.0)
    whole[np.argsort(-remainder, kind="stable")[: points - int(whole.sum())]] += 1
    return whole


def deviations(accuracy: np.ndarray) -> np.ndarray:
    """Compute the standard deviation of right (1) and wrong (0) pixels; accuracies count as at most 0.98."""
    level = np.clip(accuracy, 0.02, 0.98)
    spread: np.ndarray = np.sqrt(level * (1 - level))
    return spread


def points_for(error: float, sizes: np.ndarray, accuracy: np.ndarray) -> int:
    """Compute the points that overall accuracy takes for an interval of 95 % of +- ``error`` (Olofsson et al. 2014, eq. 13).

    Args:
        sizes: (H,) pixels of the strata.
        accuracy: (H,) share of right pixels that is known or expected in each.

    Raises:
        InputError: an error that is not between 0 and 0.5.
    """
    if not 0 < error < 0.5:
        raise InputError(
            f"{spell('target_error')} is {error:g}; it must be between 0 and 0.5, such as 0.02 for two percent"
        )
    weights, spread = sizes / sizes.sum(), deviations(accuracy)
    count = (weights @ spread) ** 2 / ((error / QUANTILE) ** 2 + weights @ spread**2 / sizes.sum())
    return math.ceil(count)
