"""The estimators against published worked examples, the equations of a paper, and the truth of a known population."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.accuracy.allocation import allocate, points_for
from rsuda.accuracy.assess import _cells
from rsuda.accuracy.estimators import MEASURES, Sample, cautious_error, ratios, wilson

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


def test_intervals_cover_the_truth_of_a_known_map_in_93_percent_of_1000_draws():
    """Classes of 3 to 45 % of the map, 300 points, at least 25 in each; intervals of all accuracies and areas."""
    rng, classes, draws = np.random.default_rng(7), 5, 1000
    share = np.array([0.45, 0.30, 0.15, 0.07, 0.03])
    confusion = np.full((classes, classes), 0.025) + 0.875 * np.eye(classes)
    confusion[1], confusion[4] = (0.03, 0.94, 0.01, 0.01, 0.01), (0.2, 0.1, 0.05, 0.05, 0.6)
    truth = confusion * share[:, None]
    right, rows, columns = np.diag(truth), truth.sum(1), truth.sum(0)
    pixels = (10**8 * share).astype(int)
    numbers, _ = allocate(300, pixels, [0.8] * classes, "proportional", 25)
    mapped = np.repeat(np.arange(classes), numbers)
    labels = np.concatenate([rng.choice(classes, (n, draws), p=p) for n, p in zip(numbers, confusion, strict=True)])
    two = (labels[:, :, None] == np.arange(classes)).astype(float).reshape(300, -1)  # all draws at once
    one = np.tile(mapped[:, None] == np.arange(classes), (1, draws)).astype(float)
    both, ones = one * two, np.ones_like(two)
    sums = both.reshape(300, draws, classes).sum(2)
    questions = {
        "overall": (sums, np.ones_like(sums), np.full(draws, 300.0), [right.sum()]),
        "users": (both, one, one.sum(0), right / rows),
        "producers": (both, two, two.sum(0), right / columns),
        "f1": (2 * both, one + two, two.sum(0), 2 * right / (rows + columns)),
        "area": (two, ones, ones.sum(0), columns),
    }
    sample = Sample(pixels.astype(float), mapped, np.ones(300))
    for name, (above, below, points, true) in questions.items():
        low, high = (part.reshape(draws, -1) for part in wilson(*ratios(sample, above, below), points))
        covered = ((low <= true) & (np.array(true) <= high)).mean(0)
        assert covered.min() >= 0.93, f"{name}: {covered}"


def test_a_stratum_whose_points_agree_counts_half_a_right_and_half_a_wrong_point_more_in_intervals():
    sample = Sample(np.array([1e6, 3e6]), np.repeat([0, 1], 20), np.ones(40))
    right = np.concatenate([np.ones(20), np.repeat([1.0, 0.0], [15, 5])])[:, None]
    value, error = ratios(sample, right, np.ones_like(right))
    cautious = cautious_error(sample, MEASURES["users"], np.ones_like(right), right, value)
    share = 20.5 / 21  # the 21 points of the first stratum, half a point of which is wrong
    variance = share * (1 - share) * 21 / 20
    assert cautious[0] ** 2 - error[0] ** 2 == pytest.approx(0.25**2 * (1 - 20 / 1e6) * variance / 20, rel=1e-6)
    mapped, labels = points_of(COUNTS)
    marks = ((values[:, None] == np.arange(4)).astype(float) for values in (mapped, labels))
    sample = Sample(PIXELS.astype(float), mapped, np.ones(len(mapped)))
    mapped, labelled = marks
    value, error = ratios(sample, *MEASURES["users"](mapped, labelled))
    assert (cautious_error(sample, MEASURES["users"], mapped, labelled, value) == error).all()  # each stratum has both


def test_intervals_cover_the_truth_where_few_points_of_large_strata_find_no_error():
    """Equal numbers of points in classes of 1 to 60 % of the map, which have errors of 1 to 2 % in each other."""
    rng, draws = np.random.default_rng(3), 500
    pixels = np.array([6_000_000, 2_500_000, 1_400_000, 100_000])
    confusion = np.full((4, 4), 0.01) + 0.96 * np.eye(4)
    totals = (confusion * pixels[:, None]).sum(0)
    truth = np.concatenate([np.diag(confusion) * pixels / totals, totals / pixels.sum()])
    mapped = np.repeat(np.arange(4), 60)
    one = (mapped[:, None] == np.arange(4)).astype(float)
    hits = {"cautious": np.zeros(8), "plain": np.zeros(8)}
    for _ in range(draws):
        two = (np.concatenate([rng.choice(4, 60, p=row) for row in confusion])[:, None] == np.arange(4)).astype(float)
        sample = Sample(pixels.astype(float), mapped, np.ones(240))
        for place, name in enumerate(("producers", "area")):
            measure, part = MEASURES[name], np.s_[4 * place : 4 * place + 4]
            above, below = measure(one, two)
            value, plain = ratios(sample, above, below)
            for how, error in (("cautious", cautious_error(sample, measure, one, two, value)), ("plain", plain)):
                low, high = wilson(value, error, below.sum(0))
                hits[how][part] += (low <= truth[part]) & (truth[part] <= high)
    assert hits["cautious"].mean() / draws >= 0.93 > 0.9 > hits["plain"].mean() / draws
    assert (
        hits["cautious"].min() / draws >= 0.75
    )  # the class of 1 %, of which a large class may hide more than points show


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
