"""Rings follow each border once from each side, and no ring meets itself."""

from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_masks import blocks, drawn, masks, read

from rsuda.geo.polygons.rings import find_rings
from rsuda.geo.polygons.run_lengths import find_components


def rings(classes, clockwise=True, wide=False):
    """Rings of each component as arrays (points, 2) of column and row; the components as an array of pixels."""
    runs = read(classes)
    if wide:
        runs = replace(runs, start=runs.start.astype(np.int64))
    components = find_components(runs)
    result = find_rings(runs, components.of_run, len(components), clockwise=clockwise)
    points = np.stack([result.col, result.row], 1)
    every = [points[a:b] for a, b in pairwise(result.ring)]
    assert sum(map(len, every)) == len(points)
    return [every[a:b] for a, b in pairwise(result.component)], drawn(runs, components.of_run)


def area(ring):
    """Compute the signed area: positive for a clockwise ring with rows drawn downwards."""
    x, y = ring.astype(int).T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2


def steps(ring):
    """The ring in steps of one pixel: (column, row, step across, step down) of each."""
    for (x, y), (x_end, y_end) in pairwise(ring.tolist()):
        length = abs(x_end - x) + abs(y_end - y)
        across, down = (x_end - x) // length, (y_end - y) // length
        assert length and abs(across) + abs(down) == 1
        yield from ((x + i * across, y + i * down, across, down) for i in range(length))


@settings(max_examples=80, deadline=None)
@given(classes=masks, block=blocks)
def test_rings_follow_the_whole_border_with_the_component_on_the_right(classes, block):
    with patch("rsuda.geo.polygons.run_lengths.BLOCK", block):
        result, pixels = rings(classes)
    padded = np.pad(pixels, 1, constant_values=-1)
    walked = set()
    for p, group in enumerate(result):
        for x, y, across, down in (step for ring in group for step in steps(ring)):
            # the pixels on the right and on the left of the step
            row = {1: (y, y - 1), -1: (y - 1, y)}.get(across, (y, y) if down > 0 else (y - 1, y - 1))
            col = {1: (x - 1, x), -1: (x, x - 1)}.get(down, (x, x) if across > 0 else (x - 1, x - 1))
            assert padded[row[0] + 1, col[0] + 1] == p != padded[row[1] + 1, col[1] + 1]
            walked.add((x, y, across, down))
    sides = sum(((a != b) * ((a >= 0).astype(int) + (b >= 0))).sum() for a, b in
                ((padded[1:], padded[:-1]), (padded[:, 1:], padded[:, :-1])))  # fmt: skip
    assert len(walked) == sides == sum(1 for group in result for ring in group for _ in steps(ring))


@settings(max_examples=60, deadline=None)
@given(classes=masks)
def test_shells_come_first_holes_run_the_other_way_and_no_ring_meets_itself(classes):
    result, pixels = rings(classes)
    for p, group in enumerate(result):
        assert area(group[0]) > 0 and all(area(hole) < 0 for hole in group[1:])
        assert sum(map(area, group)) == (pixels == p).sum()
        for ring in group:
            assert (ring[0] == ring[-1]).all()
            assert len({(x, y) for x, y, _, _ in steps(ring)}) == len(list(steps(ring)))
    backwards, _ = rings(classes, clockwise=False)
    for one, other in zip(result, backwards, strict=True):
        assert [r[::-1].tolist() for r in one] == [r.tolist() for r in other]


@settings(max_examples=20, deadline=None)
@given(classes=masks)
def test_positions_beyond_32_bits_give_the_same_rings(classes):
    narrow, wide = (rings(classes, wide=wide)[0] for wide in (False, True))
    assert [[r.tolist() for r in group] for group in narrow] == [[r.tolist() for r in group] for group in wide]


def test_hole_that_touches_the_outside_at_a_corner_is_a_separate_ring():
    classes = np.zeros((3, 3), np.uint8)
    classes[0, 0] = classes[1, 1] = 255
    (group,), _ = rings(classes)
    assert [area(ring) for ring in group] == [8, -1]
    assert (group[0] == [1, 1]).all(1).any() and (group[1] == [1, 1]).all(1).any()


def test_all_three_components_have_the_vertex_where_they_meet():
    result, _ = rings(np.array([[0, 0], [1, 2]], np.uint8))
    assert all((group[0] == [1, 1]).all(1).any() for group in result)


@pytest.mark.parametrize("width", [1, 2, 30])
def test_rectangle_has_four_corners(width):
    (group,), _ = rings(np.zeros((7, width), np.uint8))
    assert group[0].tolist() == [[0, 0], [width, 0], [width, 7], [0, 7], [0, 0]]


def test_nodata_has_no_rings():
    assert rings(np.full((3, 4), 255, np.uint8))[0] == []


@settings(deadline=None)
@given(classes=masks, most=st.integers(1, 60), part=st.integers(1, 40))
def test_parts_of_any_size_give_the_same_rings(classes, most, part):
    runs = read(classes)
    components = find_components(runs)
    whole = find_rings(runs, components.of_run, len(components))
    with patch("rsuda.geo.polygons.rings._MOST", most), patch("rsuda.geo.polygons.rings.PART", part):
        parts = find_rings(runs, components.of_run, len(components))
    for name in ("col", "row", "ring", "component"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))
