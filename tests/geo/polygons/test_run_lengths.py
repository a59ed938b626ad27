"""Runs encode the raster, components are its connected areas, and merging leaves no small component with a neighbour."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from small_masks import blocks, drawn, masks, read, strips

from rsuda.core.errors import InputError
from rsuda.geo.polygons.run_lengths import encode, find_components
from rsuda.geo.polygons.small_areas import find_borders, have_borders, merge_single_pixels, merge_small


def labelled(classes):
    """Components by SciPy, numbered in no order."""
    result, n = np.full(classes.shape, -1), 0
    for k in np.unique(classes[classes != 255]):
        area, count = label(classes == k)
        result[area > 0] = area[area > 0] - 1 + n
        n += count
    return result, n


def neighbours(area):
    """Border lengths by pair, from an array of components with -1 for nodata."""
    lengths = {}
    for a, b in ((area[:, :-1], area[:, 1:]), (area[:-1], area[1:])):
        for one, other in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
            if one != other and min(one, other) >= 0:
                pair = min(one, other), max(one, other)
                lengths[pair] = lengths.get(pair, 0) + 1
    return lengths


@settings(max_examples=60, deadline=None)
@given(classes=masks, cuts=st.lists(st.integers(0, 99), max_size=4), block=blocks)
def test_runs_do_not_depend_on_the_strips(classes, cuts, block):
    with patch("rsuda.geo.polygons.run_lengths.BLOCK", block):
        runs = encode(iter(strips(classes, cuts)), *classes.shape)
    assert (drawn(runs, runs.value) == classes).all()
    whole = read(classes)
    assert (runs.start == whole.start).all() and (runs.value == whole.value).all()


@settings(max_examples=60, deadline=None)
@given(classes=masks, block=blocks)
def test_components_are_in_the_order_of_their_first_pixels(classes, block):
    with patch("rsuda.geo.polygons.run_lengths.BLOCK", block):
        runs = read(classes)
        components = find_components(runs)
        borders = find_borders(runs, components)
    area, (expected, count) = drawn(runs, components.of_run), labelled(classes)
    assert len(components) == count
    assert len(set(zip(area.ravel(), expected.ravel(), strict=True))) == count + (classes == 255).any()
    assert [int(np.flatnonzero(area.ravel() == p)[0]) for p in range(count)] == sorted(
        int(np.flatnonzero(expected.ravel() == p)[0]) for p in range(count)
    )
    assert (components.value == [classes[area == p][0] for p in range(count)]).all()
    assert (components.pixels == [(area == p).sum() for p in range(count)]).all()
    pairs = zip(borders.one.tolist(), borders.other.tolist(), strict=True)
    assert dict(zip(pairs, borders.length.tolist(), strict=True)) == neighbours(area)


@settings(max_examples=80, deadline=None)
@given(classes=masks, least=st.integers(0, 20))
def test_components_with_a_neighbour_reach_the_least_size(classes, least):
    runs = read(classes)
    before = find_components(runs)
    after, borders = merge_small(before, find_borders(runs, before), least)
    area = drawn(runs, after.of_run)
    assert ((area < 0) == (classes == 255)).all()
    assert (after.pixels == np.bincount(area[area >= 0], minlength=len(after))).all()
    lengths = neighbours(area)
    assert not {p for pair in lengths for p in pair} & set(np.flatnonzero(after.pixels < least).tolist())
    values = np.append(after.value, 255)[area]
    assert labelled(values)[1] == len(after)  # neighbours of one class were joined, and each patch is connected
    pairs = zip(borders.one.tolist(), borders.other.tolist(), strict=True)
    assert dict(zip(pairs, borders.length.tolist(), strict=True)) == lengths
    firsts = [int(np.flatnonzero(area.ravel() == p)[0]) for p in range(len(after))]
    assert firsts == sorted(firsts)
    large = before.pixels >= least  # what is large enough keeps its class
    unchanged = np.append(large, False)[drawn(runs, before.of_run)]
    assert (values[unchanged] == classes[unchanged]).all()


@settings(max_examples=80, deadline=None)
@given(classes=masks, part=st.sampled_from([1, 3, 1 << 18]))
def test_single_pixels_merge_without_a_table_of_borders_as_with_it(classes, part):
    runs = read(classes)
    before = find_components(runs)
    expected, borders = merge_small(before, find_borders(runs, before), 2)
    assert have_borders(runs, before) == bool(len(find_borders(runs, before).one))
    with patch("rsuda.geo.polygons.small_areas._PART", part):
        joined = merge_single_pixels(runs, before)
    merged = before if joined is runs else find_components(joined)
    merged, again = merge_small(merged, find_borders(joined, merged), 2)
    assert (drawn(joined, merged.of_run) == drawn(runs, expected.of_run)).all()
    for one, other in ((merged, expected), (again, borders)):
        for name in ("one", "other", "length") if one is again else ("value", "pixels"):
            assert (getattr(one, name) == getattr(other, name)).all()


@pytest.mark.parametrize(
    "rows",
    [
        ["000111", "021111", "000111"],  # three edges to the smaller class 0, one to the larger class 1
        ["000000", "022100", "111100"],  # as many edges to both: class 0 has more pixels
    ],
)
def test_small_component_merges_over_its_longest_border(rows):
    classes = np.array([list(map(int, row)) for row in rows], np.uint8)
    runs = read(classes)
    components = find_components(runs)
    merged, _ = merge_small(components, find_borders(runs, components), 3)
    assert (np.append(merged.value, 255)[drawn(runs, merged.of_run)] == np.where(classes == 2, 0, classes)).all()


@settings(max_examples=40, deadline=None)
@given(classes=masks, seed=st.integers(0, 99), least=st.integers(0, 9), cuts=st.lists(st.integers(0, 99), max_size=3))
def test_confidences_add_up_over_the_pixels_that_have_one(classes, seed, least, cuts):
    generator = np.random.default_rng(seed)
    sure = generator.choice(np.array([0, 100, 254, 255], np.uint8), classes.shape)
    pairs = list(zip(strips(classes, cuts), strips(sure, cuts), strict=True))
    runs = encode(pairs, *classes.shape)
    components = find_components(runs)
    components, _ = merge_small(components, find_borders(runs, components), least)
    area = drawn(runs, components.of_run)
    for p in range(len(components)):
        confidences = sure[(area == p) & (sure != 255)]
        assert (components.confidence[p], components.confidence_pixels[p]) == (
            confidences.sum(dtype=int),
            len(confidences),
        )


@pytest.mark.parametrize(
    ("strips", "message"),
    [
        ([np.zeros((2, 3), np.uint8)], r"\(2, 3\) uint8, not \(rows, 4\)"),
        ([np.zeros((2, 4), np.int64)], "int64"),
        ([np.zeros((2, 4), np.uint8)], "2 rows together, not 3"),
        ([np.zeros((4, 4), np.uint8)], "4 rows together, not 3"),
        ([(np.zeros((3, 4), np.uint8), np.zeros((3, 5), np.uint8))], r"confidences \(3, 5\)"),
        ([(np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)), np.zeros((1, 4), np.uint8)], "others have none"),
    ],
)
def test_invalid_strips_are_refused(strips, message):
    with pytest.raises(ValueError, match=message):
        encode(strips, 3, 4)


def test_polygons_that_need_more_memory_than_there_is_are_refused():
    with patch("rsuda.geo.polygons.run_lengths.BYTES", 1 << 50), pytest.raises(InputError) as refused:
        encode([np.arange(64, dtype=np.uint8).reshape(8, 8)], 8, 8)
    assert "7.2e-05 million stretches" in str(refused.value) and "map without polygons" in str(refused.value)
