"""The estimators against published worked examples, the equations of a paper, and the truth of a known population."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from rsuda.accuracy.allocation import allocate, points_for
from rsuda.accuracy.assess import _cells
from rsuda.accuracy.estimators import MEASURES, Sample, ratios
from rsuda.accuracy.intervals import Choices, interval, limits_of

# Olofsson et al. 2014, section 5.2: deforestation, forest gain, stable forest, stable non-forest; rows are the map's classes
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def points_of(counts):
    """The class in the map and the label of each point of an error matrix."""
    rows, cols = np.nonzero(counts)
    repeats = counts[rows, cols]
    return np.repeat(rows, repeats), np.repeat(cols, repeats)


def estimates(sample, mapped, labels, classes):
    """Value and error of all accuracies and of the shares of the area."""
    one, two = ((values[:, None] == np.arange(classes)).astype(float) for values in (mapped, labels))
    both, ones = one * two, np.ones((len(mapped), 1))
    return {
        "overall": ratios(sample, both.sum(1, keepdims=True), ones),
        "users": ratios(sample, both, one),
        "producers": ratios(sample, both, two),
        "f1": ratios(sample, 2 * both, one + two),
        "area": ratios(sample, two, np.ones_like(two)),
    }


def test_worked_example_of_olofsson_2014():
    mapped, labels = points_of(COUNTS)
    sample = Sample(PIXELS.astype(float), mapped, np.ones(len(mapped)))
    result = {name: (value, 1.96 * error) for name, (value, error) in estimates(sample, mapped, labels, 4).items()}
    published = {
        "overall": ([0.947], [0.018]),
        "users": ([0.88, 0.73, 0.93, 0.96], [0.07, 0.10, 0.04, 0.02]),
        "producers": ([0.75, 0.85, 0.93, 0.96], [0.21, 0.25, 0.03, 0.02]),  # 0.23 in print; equation 7 gives 0.254
    }
    for name, (values, margins) in published.items():
        digits = 3 if name == "overall" else 2
        assert result[name][0].round(digits).tolist() == values
        assert result[name][1].round(digits).tolist() == margins
    value, margin = (part[0] * PIXELS.sum() for part in result["area"])
    assert value == pytest.approx(235_086, abs=1) and margin == pytest.approx(68_418, rel=1e-4)
    assert value * 0.09 == pytest.approx(21_158, abs=1) and margin * 0.09 == pytest.approx(6_158, rel=1e-3)
    cells = _cells(sample, *((values[:, None] == np.arange(4)).astype(float) for values in (mapped, labels)))
    assert cells[0].round(4).tolist() == [0.0176, 0.0, 0.0013, 0.0011] and cells.sum() == pytest.approx(1)


def test_worked_example_of_stehman_2014_whose_strata_are_not_the_classes():
    strata = np.repeat(np.arange(4), 10)
    mapped = [*"AAAAAAABBB", *"ABBBBBBBBB", *"BBCCCCCCBB", *"DDDDDDDDDD"]
    labels = [*"AAAAACBABC", *"ABBBBBAABB", *"CCCCCDDBBA", *"DDDDDDDCCB"]
    numbers = {name: k for k, name in enumerate("ABCD")}
    mapped, labels = (np.array([numbers[name] for name in names]) for names in (mapped, labels))
    sample = Sample(np.array([40_000, 30_000, 20_000, 10_000.0]), strata, np.ones(40))
    result = estimates(sample, mapped, labels, 4)
    published = {  # class: value, error
        ("area", 0): (0.35, 0.0822478), ("area", 2): (0.20, 0.06427977), ("overall", 0): (0.63, 0.08464219),
        ("users", 1): (0.5744681, 0.1247822), ("producers", 1): (0.7941176, 0.1165479),
    }  # fmt: skip
    for (name, k), numbers in published.items():
        assert tuple(part[k] for part in result[name]) == pytest.approx(numbers, abs=1e-6)


def olofsson(counts, pixels):
    """Value and variance by equations 1 to 11 of the paper."""
    n, w = counts.sum(1), pixels / pixels.sum()
    p = counts / n[:, None] * w[:, None]
    users, columns = np.diag(counts) / n, p.sum(0)
    producers = np.diag(p) / columns
    shares = counts / n[:, None]
    spread = shares * (1 - shares) / (n - 1)[:, None]
    others = (pixels[:, None] ** 2 * spread).sum(0) - pixels**2 * np.diag(spread)
    return {
        "overall": (np.diag(p).sum(), (w**2 * users * (1 - users) / (n - 1)).sum()),
        "users": (users, users * (1 - users) / (n - 1)),
        "producers": (
            producers,
            (pixels**2 * (1 - producers) ** 2 * np.diag(spread) + producers**2 * others)
            / (columns * pixels.sum()) ** 2,
        ),
        "area": (columns, (w[:, None] ** 2 * spread).sum(0)),
    }


@settings(max_examples=60)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_where_the_strata_are_the_classes_the_estimators_are_those_of_olofsson(classes, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, (classes, classes)) + np.eye(classes, dtype=int) * 2
    pixels = rng.integers(10**8, 10**9, classes).astype(float)
    mapped, labels = points_of(counts)
    result = estimates(Sample(pixels, mapped, np.ones(len(mapped))), mapped, labels, classes)
    for name, (value, variance) in olofsson(counts, pixels).items():
        assert result[name][0] == pytest.approx(value, rel=1e-9)
        assert result[name][1] == pytest.approx(np.sqrt(variance), rel=1e-5, abs=1e-12)


# cases of coverage: pixels of each class of the map, the points of each, and the shares of classes on the ground within it
_MIXED = np.full((5, 5), 0.025) + 0.875 * np.eye(5)
_MIXED[1], _MIXED[4] = (0.03, 0.94, 0.01, 0.01, 0.01), (0.2, 0.1, 0.05, 0.05, 0.6)
KNOWN_MAPS = {
    "classes of 3 to 45 %, 300 points, at least 25 in each": (
        1e8 * np.array([0.45, 0.30, 0.15, 0.07, 0.03]),
        (124, 86, 40, 25, 25),
        _MIXED,
    ),
    "classes of 1 to 60 %, of which large ones hide as much of the rare one as the map shows": (
        1e5 * np.array([60, 25, 14, 1]),
        (60, 60, 60, 60),
        np.full((4, 4), 0.01) + 0.96 * np.eye(4),
    ),
    "few points": (1e5 * np.array([70, 20, 10]), (20, 20, 20), np.full((3, 3), 0.05) + 0.85 * np.eye(3)),
}


def covered(pixels, numbers, confusion, draws=1000):
    """Share of the draws whose interval holds the truth, and mean width of the intervals, by measure: (K,) each."""
    rng, classes = np.random.default_rng(7), len(pixels)
    mapped = np.repeat(np.arange(classes), numbers)
    labels = np.concatenate([rng.choice(classes, (n, draws), p=p) for n, p in zip(numbers, confusion, strict=True)])
    two = (labels[:, :, None] == np.arange(classes)).astype(float).reshape(len(mapped), -1)  # all draws at once
    one = np.tile(mapped[:, None] == np.arange(classes), (1, draws)).astype(float)
    right = (one * two).reshape(len(mapped), draws, classes).sum(2)
    marks = {name: (measure, one, two) for name, measure in MEASURES.items()}
    marks["overall"] = (MEASURES["users"], np.ones_like(right), right)
    sample, cells = Sample(pixels, mapped, np.ones(len(mapped))), pixels[:, None] * confusion
    hits, columns, whole = np.diag(cells), cells.sum(0), pixels.sum()
    truth = {
        "overall": hits.sum() / whole, "users": hits / pixels, "producers": hits / columns,
        "f1": 2 * hits / (pixels + columns), "area": columns / whole,
    }  # fmt: skip
    results = {}
    for name, (measure, *seen) in marks.items():
        y, x = measure(*seen)
        value, _ = ratios(sample, y, x)
        low, high = (
            end.reshape(draws, -1) for end in interval(sample, y, x, Choices.of(sample, measure, seen[0]), value)
        )
        hit = (low <= truth[name]) & (truth[name] <= high)
        results[name] = hit.mean(0), (high - low).mean(0)
    return results


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in KNOWN_MAPS if name != "few points"]


@pytest.mark.parametrize("name", ["few points", *SLOW])
def test_intervals_cover_the_truth_of_a_known_map_in_93_percent_of_1000_draws(name):
    results = covered(*KNOWN_MAPS[name])
    low = {measure: hits.round(3) for measure, (hits, _) in results.items() if hits.min() < 0.93}
    assert not low
    assert np.concatenate([hits for hits, _ in results.values()]).mean() < 0.985  # and are no wider than they must


def test_intervals_of_one_stratum_lie_between_those_of_jeffreys_and_clopper_and_pearson():
    """Table 5 of Brown, Cai and DasGupta 2001, n = 7: Jeffreys' limits of 2 right are 0.065 and 0.648, of 0 right 0 and 0.292."""
    low, high = limits_of(np.array([2 / 7, 0.0]), np.array([7.0, 7.0]))
    exact = beta.ppf(0.025, 2, 6), beta.ppf(0.975, 3, 5)
    assert exact[0] < low[0] < 0.065 < 0.648 < high[0] < exact[1]
    assert low[1] == 0 and 0.292 < high[1] < beta.ppf(0.975, 1, 7)
    sample = Sample(np.array([1e9]), np.zeros(7, int), np.ones(7))
    y, x = MEASURES["users"](np.ones((7, 1)), np.array([[1.0], [1], [0], [0], [0], [0], [0]]))
    ends = interval(sample, y, x, Choices.of(sample, MEASURES["users"], x), ratios(sample, y, x)[0])
    assert [float(end[0]) for end in ends] == pytest.approx([low[0], high[0]], abs=1e-6)


def test_differences_of_maps_that_agree_at_all_points_have_an_interval():
    """Newcombe 1998: no discordant pair among 50 does not prove that the maps are equally good."""
    sample, ones = Sample(np.array([1e9]), np.zeros(50, int), np.ones(50)), np.ones((50, 1))
    low, high = interval(sample, 0 * ones, ones, Choices.of_differences(sample), np.zeros(1), lowest=-1.0)
    assert -0.08 < low[0] == -high[0] < -0.02


def test_unequal_pixels_count_by_their_ground_area():
    """A class on the larger pixels: half of the pixels, four fifths of the area."""
    rng = np.random.default_rng(0)
    area = np.where(np.arange(20_000) < 10_000, 4.0, 1.0)
    chosen = rng.choice(20_000, 4000, replace=False)
    labels = (area[chosen] == 4).astype(float)[:, None]
    sample = Sample(np.array([20_000.0]), np.zeros(4000, int), area[chosen])
    value, error = ratios(sample, labels, np.ones_like(labels))
    assert abs(value[0] - 0.8) < 3 * error[0] < 0.03


def test_a_stratum_of_which_all_pixels_are_labelled_has_no_error():
    sample = Sample(np.array([3.0, 1e6]), np.array([0, 0, 0, 1, 1]), np.ones(5))
    right = np.array([[1.0], [0], [1], [1], [1]])
    assert ratios(sample, right, np.ones((5, 1)))[1] == 0


@pytest.mark.parametrize(
    ("how", "numbers"), [("proportional", [210, 70, 20]), ("equal", [100, 100, 100]), ("optimal", [164, 112, 24])]
)
def test_points_are_divided_among_strata(how, numbers):
    sizes, likely = [80_000, 19_000, 1_000], [0.95, 0.5, 0.5]
    result, note = allocate(300, sizes, likely, how, 20)
    assert result.sum() == 300 and note is None and result.min() >= 20
    if how == "equal":
        assert result.tolist() == numbers
    if how == "optimal":  # Neyman: pixels times the deviation of right and wrong
        share = np.array(sizes[:2]) * np.sqrt([0.95 * 0.05, 0.25])
        assert result[:2] == pytest.approx(280 * share / share.sum(), abs=1)


def test_small_strata_give_all_their_pixels_and_a_minimum_too_large_is_lowered():
    assert allocate(100, [5, 10_000], [0.8, 0.8], "equal", 20)[0].tolist() == [5, 95]
    numbers, note = allocate(30, [1000] * 5, [0.8] * 5, "proportional", 20)
    assert numbers.tolist() == [6] * 5 and "minimum is 6" in note


def test_points_for_an_error_are_those_of_equation_13():
    """The paper's section 5.1.1: user's accuracies 0.6, 0.7, 0.9, 0.95 and a standard error of 0.01 take 641 points."""
    sizes = PIXELS.astype(float)
    assert points_for(1.959964 * 0.01, sizes, np.array([0.6, 0.7, 0.9, 0.95])) == pytest.approx(641, abs=1)
