"""Windows cover exactly, and their weights share every pixel out completely."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.geo.grids.windows import blend_weights, full_windows, random_window, window_starts


@st.composite
def tilings(draw):
    """(size, window, stride) with strides from one pixel (of small sizes) to the whole window."""
    window = draw(st.integers(1, 600))
    return draw(st.integers(1, 2000)), window, draw(st.integers(max(1, window // 16), window))


@given(tilings())
@settings(max_examples=50, deadline=None)
def test_windows_cover_everything_and_are_as_few_as_possible(tiling):
    size, window, stride = tiling
    first = window_starts(size, window, stride)
    assert first[0] == 0
    if size <= window:
        assert first == [0]
    else:
        assert first[-1] + window == size
        assert all(0 < b - a <= stride for a, b in pairwise(first))
        assert window + (len(first) - 2) * stride < size  # one fewer could not reach the end


@given(tilings())
@settings(max_examples=50, deadline=None)
def test_blending_weights_sum_to_one_and_are_above_zero_inside(tiling):
    size, window, stride = tiling
    first = window_starts(size, window, stride)
    total = np.zeros(size + window)
    for start, weights in zip(first, blend_weights(size, window, first), strict=True):
        assert weights.shape == (window,)
        assert (weights[: size - start] > 0).all()  # the scene's border is no exception
        total[start : start + window] += weights
    assert np.allclose(total[:size], 1, atol=1e-6)
    assert (total[size:] == 0).all()


def test_pixel_of_one_window_has_weight_one():
    left, right = blend_weights(14, 8, [0, 6])
    assert (left[:6] == 1).all()
    assert (right[2:] == 1).all()
    assert 0 < left[7] < left[6] < 1


@given(tilings())
@settings(max_examples=50, deadline=None)
def test_full_windows_leave_less_than_a_stride(tiling):
    size, window, stride = tiling
    first = full_windows(size, window, stride)
    assert all(b - a == stride for a, b in pairwise(first))
    if size < window:
        assert first == []
    else:
        assert first[0] == 0
        assert size - stride < first[-1] + window <= size


# (width, height) of the Vaihingen areas as published
VAIHINGEN = {
    1: (1919, 2569), 2: (2428, 2767), 3: (2006, 3007), 4: (1887, 2557), 5: (1887, 2557), 6: (1887, 2557),
    7: (1887, 2557), 8: (1887, 2557), 10: (1887, 2557), 11: (1893, 2566), 12: (1922, 2575), 13: (2818, 2558),
    14: (1919, 2565), 15: (1919, 2565), 16: (1919, 2565), 17: (2336, 1281), 20: (1866, 2315), 21: (1903, 2546),
    22: (1903, 2546), 23: (1903, 2546), 24: (1903, 2546), 26: (2995, 1783), 27: (1917, 3313),
    28: (1917, 2567), 29: (1917, 2563),
    30: (1934, 2563), 31: (1980, 2555), 32: (1980, 2555), 33: (1581, 2555), 34: (1388, 2555), 35: (2805, 1884),
    37: (1996, 1995), 38: (3816, 2550),
}  # fmt: skip
VAIHINGEN_VAL = (2, 5, 7, 8, 13, 20, 22, 24)


def test_full_windows_give_the_published_tile_counts_of_st_dasegnet():
    per_area = {k: len(full_windows(w, 512, 256)) * len(full_windows(h, 512, 256)) for k, (w, h) in VAIHINGEN.items()}
    val = sum(per_area[k] for k in VAIHINGEN_VAL)
    assert (val, sum(per_area.values()) - val) == (440, 1296)
    potsdam = len(full_windows(6000, 512, 512)) ** 2
    assert (potsdam, 24 * potsdam, 14 * potsdam) == (121, 2904, 1694)


@pytest.mark.parametrize(("area", "corner"), [(1, (1792, 2560)), (38, (3584, 2304))])
def test_full_windows_reach_the_published_corner_of_an_area(area, corner):
    assert tuple(full_windows(n, 512, 256)[-1] + 512 for n in VAIHINGEN[area]) == corner


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_random_window_is_inside_or_centred(height, width, size, seed):
    place = random_window(np.random.default_rng(seed), height, width, size)
    for start, length in zip(place, (height, width), strict=True):
        if length >= size:
            assert 0 <= start <= length - size
        else:
            before, after = -start, start + size - length
            assert 0 <= before - after <= 1


def test_random_windows_reach_every_place():
    rng = np.random.default_rng(0)
    assert {random_window(rng, 5, 4, 3) for _ in range(300)} == {(r, c) for r in range(3) for c in range(2)}
