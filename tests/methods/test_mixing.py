"""Class masks, block masks and strong augmentation: what is drawn, and that an item's draw is its own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsuda.learning.augmentation import Augmentation
from rsuda.learning.random_draws import uniform
from rsuda.methods.blocks.masking import block_mask
from rsuda.methods.blocks.mixing import class_mask, paste

KEYS = torch.tensor([3, 2**61 + 5, 77, 2**62 - 1])


def labels(seed, classes, images=4):
    """(B, 12, 12): each image holds its own number of ``classes`` and some ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for n in range(images):
        held = torch.randperm(9, generator=generator)[: classes[n % len(classes)]].tolist()
        values = torch.tensor([*held, 255])
        spread = torch.arange(144) % len(values)
        made.append(values[spread[torch.randperm(144, generator=generator)]].reshape(12, 12))
    return torch.stack(made)


# ---- draws ----------------------------------------------------------------------------------------------------------


def test_draws_are_uniform_numbers_of_each_key():
    u = uniform(torch.arange(400), 3, 5, 5)
    assert u.shape == (400, 5, 5) and u.min() >= 0 and u.max() < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=0.02) and float(u.var()) == pytest.approx(1 / 12, abs=0.005)
    assert len(u.flatten(1).unique(dim=0)) == 400


@given(st.permutations(range(4)), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_a_draw_depends_on_key_and_purpose_and_not_on_the_place_in_the_batch(order, purpose):
    whole = uniform(KEYS, purpose, 6)
    assert torch.equal(uniform(KEYS[order], purpose, 6), whole[order])
    assert torch.equal(uniform(KEYS[2:3], purpose, 6)[0], whole[2])
    assert not torch.equal(uniform(KEYS, purpose + 1, 6), whole)


# ---- class masks ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.lists(st.integers(0, 9), min_size=4, max_size=4), st.integers(0, 2**62 - 5))
@settings(max_examples=40, deadline=None)
def test_half_of_the_classes_of_each_image_are_picked_whole(seed, classes, key):
    label = labels(seed, classes)
    mask = class_mask(label, key + torch.arange(4))
    assert mask.shape == label.shape and mask.dtype == torch.bool
    for y, m, k in zip(label, mask, classes, strict=True):
        picked = y[m].unique()
        assert len(picked) == (k + k % 2) // 2 and 255 not in picked
        assert torch.equal(m, torch.isin(y, picked))


@given(st.permutations(range(4)))
@settings(max_examples=15, deadline=None)
def test_an_images_classes_do_not_depend_on_its_place_in_the_batch_or_on_its_neighbours(order):
    label = labels(1, (6, 3, 8, 5))
    whole = class_mask(label, KEYS)
    assert torch.equal(class_mask(label[order], KEYS[order]), whole[order])
    first = order[0]
    assert torch.equal(class_mask(label[first : first + 1], KEYS[first : first + 1])[0], whole[first])


def test_each_class_is_picked_as_often_as_any_other():
    label = torch.tensor([4, 0, 7, 2, 255]).expand(2000, 1, 5)
    share = class_mask(label, torch.arange(2000) + 10**12).double().mean((0, 1))
    assert share[4] == 0 and torch.allclose(share[:4], torch.full((4,), 0.5, dtype=torch.float64), atol=0.05)


def test_pasting_takes_the_source_where_the_mask_holds():
    mask = class_mask(labels(2, (6,)), KEYS)
    source, target = torch.ones(4, 3, 12, 12), torch.zeros(4, 3, 12, 12)
    assert torch.equal(paste(mask, source, target), mask[:, None].expand(-1, 3, -1, -1).float())
    y, z = torch.full((4, 12, 12), 5), torch.full((4, 12, 12), 255)
    found = paste(mask, y, z)
    assert found.dtype == y.dtype and (found[mask] == 5).all() and (found[~mask] == 255).all()
    assert 0 < mask.sum() < mask.numel()


# ---- block masks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.7, 1.0])
def test_the_share_of_kept_blocks_is_one_minus_the_ratio(ratio):
    mask = block_mask(torch.zeros(64, 3, 96, 64), torch.arange(64), 8, ratio)
    assert mask.shape == (64, 1, 96, 64) and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert float(mask.mean()) == pytest.approx(1 - ratio, abs=0.03)
    assert len(mask.flatten(1).unique(dim=0)) == (64 if 0 < ratio < 1 else 1)


def test_blocks_are_constant_and_not_larger():
    mask = block_mask(torch.zeros(4, 3, 64, 96), KEYS, 16, 0.5)[:, 0]
    cells = mask.unfold(1, 16, 16).unfold(2, 16, 16).flatten(3)
    assert cells.shape == (4, 4, 6, 256)
    assert (cells.amin(-1) == cells.amax(-1)).all()
    kept = cells[..., 0]
    assert (kept[:, 1:] != kept[:, :-1]).any() and (kept[:, :, 1:] != kept[:, :, :-1]).any()


@pytest.mark.parametrize(("size", "cells"), [((40, 64), (2, 4)), ((8, 8), (1, 1)), ((50, 7), (3, 1))])
def test_the_grid_is_the_size_over_the_block_rounded(size, cells):
    """8 px of 16 are half a block, which Python rounds to none; one is left."""
    whole = torch.stack([block_mask(torch.zeros(1, 3, *size), torch.tensor([k]), 16, 0.5)[0, 0] for k in range(300)])
    groups = {tuple(row) for row in whole.permute(1, 2, 0).flatten(0, 1).tolist()}
    assert whole.shape[1:] == size and len(groups) == cells[0] * cells[1]


def test_an_images_blocks_do_not_depend_on_its_place_in_the_batch():
    image = torch.zeros(4, 3, 64, 64)
    whole = block_mask(image, KEYS, 8, 0.7)
    assert torch.equal(block_mask(image, KEYS.flip(0), 8, 0.7), whole.flip(0))
    assert torch.equal(block_mask(image[:1], KEYS[1:2], 8, 0.7)[0], whole[1])


# ---- strong augmentation --------------------------------------------------------------------------------------------


def augmentation(bands):
    mean, std = [0.5, 0.4, 0.3, 0.6][:bands], [0.2, 0.25, 0.3, 0.1][:bands]
    own = Augmentation((mean, std), (mean, std), photometric=False)
    return own, torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]


def patches(bands, mean, std, images=4, size=24):
    return (torch.rand(images, bands, size, size, generator=torch.Generator().manual_seed(1)) - mean) / std


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_strong_augmentation_keeps_the_shape_and_the_range_of_standardised_images(bands):
    own, mean, std = augmentation(bands)
    image = patches(bands, mean, std, 32)
    found = own.strong(image, torch.arange(32), 0.5)
    assert found.shape == image.shape and found.isfinite().all()
    plain = found * std + mean
    assert plain.min() >= -1e-5 and plain.max() <= 1 + 1e-5
    assert not torch.allclose(found, image, atol=0.1)


@given(st.permutations(range(4)), st.sampled_from([1, 3, 4]))
@settings(max_examples=10, deadline=None)
def test_an_image_is_augmented_the_same_at_any_place_in_the_batch(order, bands):
    own, mean, std = augmentation(bands)
    image = patches(bands, mean, std)
    whole = own.strong(image, KEYS)
    assert torch.allclose(own.strong(image[order], KEYS[order]), whole[order], atol=1e-5)
    assert torch.allclose(own.strong(image[2:3], KEYS[2:3])[0], whole[2], atol=1e-5)


def test_eight_in_ten_images_are_jittered_and_half_are_blurred():
    own, mean, std = augmentation(3)
    image = patches(3, mean, std, 1, 16).expand(1000, -1, -1, -1)
    keys = torch.arange(1000) + 10**15

    def changed(found):
        return (found - image).abs().flatten(1).amax(1) > 1e-4

    blurred = changed(own.strong(image, keys, 0.0))  # a strength of 0 leaves the blur
    either = changed(own.strong(image, keys, 0.3))
    assert float(blurred.double().mean()) == pytest.approx(0.5, abs=0.06)
    assert float(either.double().mean()) == pytest.approx(0.9, abs=0.03)
    assert float(either[~blurred].double().mean()) == pytest.approx(0.8, abs=0.06)


def test_blur_keeps_an_even_image_and_takes_contrast_from_an_uneven_one():
    own, mean, std = augmentation(3)
    keys = torch.arange(20)
    even = ((torch.tensor([0.2, 0.5, 0.7])[:, None, None] - mean) / std).expand(20, 3, 16, 16)
    assert torch.allclose(own.strong(even, keys, 0.0), even, atol=1e-4)
    image = patches(3, mean, std, 20, 16)
    found = own.strong(image, keys, 0.0)
    spread, own_spread = found.flatten(2).std(2), image.flatten(2).std(2)
    assert (spread <= own_spread + 1e-5).all() and (spread < 0.9 * own_spread).any()


def test_bright_source_pixels_of_a_mixture_are_not_cut_to_the_targets_range():
    """A source of half the deviation: its white is 1.6 and its black -0.4 on the target's scale."""
    own = Augmentation(([0.4] * 3, [0.2] * 3), ([0.4] * 3, [0.4] * 3), photometric=False)
    assert own._range_of_mixed == pytest.approx((-0.4, 1.6))
    ends = torch.tensor([0.0, 1.0]).repeat_interleave(8)[None, None, :, None].expand(40, 3, 16, 16)
    image = own.standardise(ends, "source")
    plain = own.strong(
        image, torch.arange(40), 0.0
    )  # a strength of 0 leaves the blur, which even halves survive in part
    sharp = (plain - image).abs().amax((1, 2, 3)) < 1e-5
    assert 0.3 < float(sharp.double().mean()) < 0.7
    jittered = own.strong(image, torch.arange(40), 0.3)
    assert jittered.amin() >= image.amin() - 1e-5 and jittered.amax() <= image.amax() + 1e-5
    assert float((jittered.amax((1, 2, 3)) > 0.5 / 0.4 * 1.8).double().mean()) > 0.5


def test_images_outside_the_range_come_back_into_it():
    own, mean, std = augmentation(3)
    image = torch.full((40, 3, 8, 8), 50.0)
    image[:, 1] = -50
    found = own.strong(image, torch.arange(40)) * std + mean
    assert found.min() >= -1e-5 and found.max() <= 1 + 1e-5
