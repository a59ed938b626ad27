"""Points that a wanted interval takes: against closed forms, and against the spread of many draws."""

from dataclasses import replace

import numpy as np
import pytest

from rsuda.accuracy.estimators import QUANTILE, Sample, ratios
from rsuda.accuracy.more_points import Target, more_points
from rsuda.accuracy.results import StratumLabels
from rsuda.core.errors import InputError
from rsuda.core.legend import Legend

NAMES = ("water", "field", "town")
LEGEND = Legend(NAMES, (((0, 0, 200),), ((200, 200, 0),), ((200, 0, 0),)), ((0,), (1,), (2,)))
PIXELS = np.array([5_000_000, 40_000_000, 2_000_000])
LABELS = np.array([[0.90, 0.08, 0.02], [0.01, 0.95, 0.04], [0.05, 0.25, 0.70]])  # of pixels by class of the map


def marks(classes):
    return (classes[:, None] == np.arange(3)).astype(float)


def pilot(numbers, labels):
    """A sample by class of the map, its marks and its strata."""
    mapped = np.repeat(np.arange(3), numbers)
    right = np.bincount(mapped[mapped == labels], minlength=3)
    strata = tuple(
        StratumLabels(name, int(pixels), float(pixels), int(count), int(hits))
        for name, pixels, count, hits in zip(NAMES, PIXELS, numbers, right, strict=True)
    )
    return Sample(PIXELS.astype(float), mapped, np.ones(len(mapped))), marks(mapped), marks(labels), strata


def exact_labels(numbers):
    """Labels in the shares of the truth."""
    return np.concatenate([np.repeat(np.arange(3), np.diff(np.rint(n * np.cumsum([0, *row])).astype(int)))
                           for n, row in zip(numbers, LABELS, strict=True)])  # fmt: skip


def test_users_accuracy_of_a_class_takes_the_points_of_a_simple_sample_of_it():
    """Cochran 1977, equation 4.1 with the correction for finite strata: n = p q / (V + p q / N), in this stratum alone."""
    numbers = np.array([400, 400, 400])
    result = more_points(Target.of(0.03, "users", "town", LEGEND), *pilot(numbers, exact_labels(numbers)))
    share = (280 + 1) / 402
    spread = share * (1 - share)
    needed = spread / ((0.03 / QUANTILE) ** 2 + spread / PIXELS[2])
    assert result.more == {"water": 0, "field": 0, "town": pytest.approx(needed - 400, abs=2)}
    assert result.measure == "user's accuracy of town" and result.width == "± 3 points"


@pytest.mark.parametrize(("measure", "error"), [("users", 0.05), ("producers", 0.08), ("area", 0.15)])
@pytest.mark.parametrize("name", ["water", "town"])
def test_the_points_give_the_interval_that_is_wanted(measure, error, name):
    """400 draws of the computed numbers spread as wanted, or up to 18 % less, for the two added points of each stratum."""
    k, rng, draws = NAMES.index(name), np.random.default_rng(0), 400
    numbers = np.array([600, 1200, 600])
    *first, strata = pilot(numbers, exact_labels(numbers))
    unlabelled = tuple(replace(part, labelled=0) for part in strata)  # so that all points are missing
    result = more_points(Target.of(error, measure, name, LEGEND), *first, unlabelled)
    numbers = np.array([*result.more.values()])
    assert result.points == numbers.sum() and numbers.min() >= 2
    mapped = np.repeat(np.arange(3), numbers)
    labels = np.concatenate([rng.choice(3, (n, draws), p=row) for n, row in zip(numbers, LABELS, strict=True)])
    one, two = np.tile((mapped == k)[:, None], (1, draws)).astype(float), (labels == k).astype(float)
    above, below = {"users": (one * two, one), "producers": (one * two, two), "area": (two, np.ones_like(two))}[measure]
    values, _ = ratios(Sample(PIXELS.astype(float), mapped, np.ones(len(mapped))), above, below)
    half = QUANTILE * values.std() / (values.mean() if measure == "area" else 1)
    assert 0.82 * error < half < 1.07 * error


def test_a_class_without_labels_and_wrong_targets_are_refused():
    numbers = np.array([50, 50, 50])
    labels = np.repeat([0, 1, 1], 50)
    with pytest.raises(InputError, match="no labelled point is of the class that the producer's accuracy of town"):
        more_points(Target.of(0.05, "producers", "town", LEGEND), *pilot(numbers, labels))
    for arguments, sentence in (
        ((0.05, "kappa", None), "unknown value of `target_measure` 'kappa'"),
        ((0.05, "users", None), "is that of one class: name it by `target_class`"),
        ((0.05, "users", "twon"), "unknown class 'twon': did you mean 'town'"),
        ((0.05, "overall", "town"), "leave out `target_class`"),
        ((None, "area", "town"), "the wanted interval has no width: pass target_error=0.05"),
        ((0.6, "area", "town"), "must be between 0 and 0.5"),
    ):
        with pytest.raises(InputError, match=sentence):
            Target.of(*arguments, LEGEND)
    assert Target.of(None, "overall", None, LEGEND) is None
