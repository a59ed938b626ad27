"""Class locations count each block once, however the rows of a label arrive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuda.data.statistics.class_locations import ClassLocations


@given(st.integers(1, 300), st.integers(1, 200), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_strips_of_a_label_locate_the_blocks_of_the_whole_label(height, width, blocks, seed):
    label = np.random.default_rng(seed).integers(0, 5, (height, width)).astype(np.uint8)
    label[label == 4] = 255
    whole, strips = ClassLocations(3), ClassLocations(3)
    whole.add(7, label)
    for row in range(0, height, 64 * blocks):
        strips.add(7, label[row : row + 64 * blocks], row)
    assert np.array_equal(whole.blocks, strips.blocks) and np.array_equal(whole.counts, strips.counts)
    assert whole.pixels == strips.pixels == label.size
    assert whole.counts.sum(0).tolist() == [int((label == k).sum()) for k in range(3)]
    for (scene, row, col), counts in zip(whole.blocks, whole.counts, strict=True):
        block = label[row // 64 * 64 :][:64, col // 64 * 64 :][:, :64]
        assert scene == 7 and counts.tolist() == [int((block == k).sum()) for k in range(3)]


@pytest.mark.parametrize("temperature", [0.01, 10.0])
def test_a_drawn_block_holds_the_class(temperature):
    locations = ClassLocations(2)
    label = np.zeros((256, 256), np.uint8)
    label[130:140, 200:210] = 1
    locations.add(0, label)
    blocks = {locations.draw(np.random.default_rng(k), temperature) for k in range(200)}
    assert (0, 160, 224) in blocks
    assert all(isinstance(number, int) for block in blocks for number in block)
