"""Alignment of a pair of domains: matched colours, mixed bands, bands by name, rare classes drawn more often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_models import write

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spec import IMAGENET_MEAN
from rsuda.data.pairs.colours import ColourMatching, mix_bands
from rsuda.data.pairs.look import match_bands
from rsuda.data.statistics.class_locations import ClassLocations
from rsuda.data.statistics.domain_statistics import make_spec
from rsuda.geo.scenes.scene import Scene

# ---- colours --------------------------------------------------------------------------------------------------------


def pixels(seed, bands=3, number=20000):
    """Pixels (bands, n) on 0..1, each band with a distribution of its own."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.beta(1.5 + b + seed, 4.0 - b + seed / 2, number) for b in range(bands)])


@given(st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_matching_is_monotone_and_stays_in_the_targets_range(source, target):
    before, after = pixels(source), pixels(target)
    ramp = np.broadcast_to(np.linspace(-0.2, 1.2, 500), (3, 1, 500))
    result = ColourMatching(before, after)(ramp)
    assert result.shape == (3, 1, 500) and result.dtype == np.float32
    assert (np.diff(result, axis=-1) >= 0).all()
    assert (result.min((1, 2)) >= after.min(1) - 1e-6).all() and (result.max((1, 2)) <= after.max(1) + 1e-6).all()
    assert (np.diff(result, axis=-1) > 0).sum() > 300


def test_matched_source_has_the_quantiles_of_the_target():
    before, after = pixels(0), pixels(3)
    levels = np.linspace(0.06, 0.94, 23)
    expected = np.quantile(after, levels, axis=1)
    assert abs(np.quantile(before, levels, axis=1) - expected).max() > 0.1
    result = ColourMatching(before, after)(before[:, :, None])[:, :, 0]
    assert abs(np.quantile(result, levels, axis=1) - expected).max() < 2e-3


def test_matching_maps_each_quantile_to_its_own():
    before, after = pixels(1), pixels(4)
    levels = np.arange(1, 8) / 8
    result = ColourMatching(before, after)(np.quantile(before, levels, axis=1).T[:, :, None])[:, :, 0]
    assert np.allclose(result, np.quantile(after, levels, axis=1).T, atol=2e-3)


def test_domain_matched_to_itself_is_unchanged():
    before = pixels(2)
    assert np.allclose(ColourMatching(before, before)(before[:, :, None])[:, :, 0], before, atol=1e-3)


@pytest.mark.parametrize("constant", ["source", "target", "both"])
def test_constant_bands_are_matched(constant):
    before, after = pixels(0), pixels(1)
    if constant != "target":
        before[1] = 0.25
    if constant != "source":
        after[1] = 0.75
    result = ColourMatching(before, after)(before[:, :, None])[:, :, 0]
    assert np.isfinite(result).all()
    assert result[1].min() >= after[1].min() - 1e-6 and result[1].max() <= after[1].max() + 1e-6
    others = ColourMatching(pixels(0)[[0, 2]], pixels(1)[[0, 2]])(before[[0, 2]][:, :, None])[:, :, 0]
    assert np.array_equal(result[[0, 2]], others)
    if constant != "source":
        assert np.allclose(result[1], 0.75)


# ---- mixed bands ----------------------------------------------------------------------------------------------------


def patch(seed=0, bands=3):
    return np.random.default_rng(seed).random((bands, 9, 7)).astype(np.float32)


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_mixing_of_strength_zero_changes_nothing(seed, bands):
    image = patch(seed, bands)
    assert np.allclose(mix_bands(image, np.random.default_rng(seed), 0.0), image, atol=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_mixed_bands_are_between_the_bands_of_their_pixel(seed, bands, strength):
    image = patch(seed, bands)
    result = mix_bands(image, np.random.default_rng(seed), strength)
    assert result.shape == image.shape and result.dtype == np.float32
    assert (result >= image.min(0) - 1e-5).all() and (result <= image.max(0) + 1e-5).all()


@given(st.integers(0, 10**6), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_grey_patches_stay_grey(seed, strength):
    grey = np.repeat(patch(seed, 1), 4, 0)
    assert np.allclose(mix_bands(grey, np.random.default_rng(seed), strength), grey, atol=1e-6)


def test_mixing_matrix_keeps_the_complement_of_the_strength():
    """Bands that are 1 in one place each show the matrix itself: rows sum to 1, the diagonal holds at least 1 - strength."""
    image = np.eye(4, dtype=np.float32)[:, None]
    rng = np.random.default_rng(0)
    matrices = np.stack([mix_bands(image, rng, 0.6)[:, 0] for _ in range(500)])
    assert np.allclose(matrices.sum(2), 1, atol=1e-5) and (matrices >= 0).all()
    before = matrices[:, range(4), range(4)]
    assert before.min() >= 0.4 - 1e-5 and before.min() < 0.5
    # on average a share of 0.3 is given up, a quarter of which comes back to the band itself
    assert before.mean() == pytest.approx(0.7 + 0.3 / 4, abs=0.02)


# ---- rare classes ---------------------------------------------------------------------------------------------------

SHARES = (0.285, 0.267, 0.236, 0.146, 0.017, 0.049)  # like Potsdam's; car is the fifth, clutter the sixth


def single_class_places():
    """A scene of 1000 blocks of 64 px, each of one class, as many of each class as its share says."""
    classes = np.repeat(np.arange(6), [round(1000 * f) for f in SHARES])
    classes = np.random.default_rng(0).permutation(classes).reshape(20, 50).astype(np.uint8)
    places = ClassLocations(6)
    places.add(0, classes.repeat(64, 0).repeat(64, 1))
    return places, classes


PLACES, CLASSES = single_class_places()


def drawn_shares(temperature, number=6000):
    rng = np.random.default_rng(1)
    result = [PLACES.draw(rng, temperature) for _ in range(number)]
    assert all(scene == 0 for scene, _, _ in result)
    classes_drawn = [CLASSES[row // 64, col // 64] for _, row, col in result]  # blocks hold the class drawn
    return np.bincount(classes_drawn, minlength=6) / number


@pytest.mark.parametrize(("temperature", "car", "clutter"), [(0.01, 96, 4), (0.1, 44, 32), (0.2, 31, 26)])
def test_rare_classes_are_drawn_as_often_as_published(temperature, car, clutter):
    score = np.exp((1 - np.array(SHARES)) / temperature)
    chance = score / score.sum()
    assert (100 * chance[4:]).round().tolist() == [car, clutter]
    assert np.abs(drawn_shares(temperature) - chance).max() < 0.02


def test_high_temperature_draws_all_classes_equally():
    assert np.abs(drawn_shares(1e6) - 1 / 6).max() < 0.02


def test_pixels_of_the_drawn_class_are_equally_likely():
    """Three blocks hold 4096, 1024 and no pixel of the rare class; a class that is nowhere is never drawn."""
    label = np.zeros((64, 192), np.uint8)
    label[:, :64] = 1
    label[:16, 64:128] = 1
    label[:, 128:] = 255
    places = ClassLocations(4)
    places.add(0, np.full((64, 64), 255, np.uint8))
    places.add(7, label)
    rng = np.random.default_rng(0)
    # class 1 has 5120 pixels and class 0 the other 3072, so that the low temperature draws class 0 alone
    assert {places.draw(rng, 1e-3) for _ in range(50)} == {(7, 32, 96)}
    result = [places.draw(rng, 1e6) for _ in range(4000)]
    assert set(result) == {(7, 32, 32), (7, 32, 96)}
    # half of the draws are of class 0, all in the middle block; four fifths of the others are in the first block
    assert result.count((7, 32, 32)) / 4000 == pytest.approx(0.4, abs=0.025)


def test_blocks_at_the_border_are_smaller_and_have_their_own_centre():
    places = ClassLocations(2)
    places.add(3, np.zeros((100, 70), np.uint8))
    assert [*map(tuple, places.blocks.tolist())] == [(3, 32, 32), (3, 32, 67), (3, 82, 32), (3, 82, 67)]
    assert [c.tolist() for c in places.counts] == [[4096, 0], [384, 0], [2304, 0], [216, 0]]
    assert places.cumulative[0].tolist() == [4096, 4480, 6784, 7000]
    rng = np.random.default_rng(0)
    assert {places.draw(rng, 0.1) for _ in range(500)} == {*map(tuple, places.blocks.tolist())}


# ---- bands ----------------------------------------------------------------------------------------------------------

RGB, IRRG = ("red", "green", "blue"), ("ir", "red", "green")


def test_bands_are_fed_by_name_or_by_order():
    assert match_bands(RGB, IRRG, "name") == (("red", "green"), ("red", "green"))
    assert match_bands(IRRG, RGB, "name") == (("red", "green"), ("red", "green"))
    assert match_bands(("green", "red", "blue"), IRRG, "name") == (
        ("red", "green"),
        ("red", "green"),
    )  # in the target's order
    assert match_bands(RGB, IRRG, "order") == (RGB, IRRG)
    assert match_bands((*RGB, "swir"), ("ir", "red"), "order") == (("red", "green"), ("ir", "red"))


@pytest.mark.parametrize("matching", ["name", "order"])
def test_domain_with_all_bands_of_the_other_feeds_them_by_name(matching):
    assert match_bands(("red", "green", "blue", "ir"), IRRG, matching) == (IRRG, IRRG)
    assert match_bands(IRRG, ("red", "green", "blue", "ir"), matching) == (IRRG, IRRG)
    assert match_bands(RGB, ("blue", "green", "red"), matching) == (("blue", "green", "red"),) * 2


def test_bands_without_a_common_name_are_refused():
    with pytest.raises(InputError, match=r"RGB.*IR.*band_matching: order"):
        match_bands(RGB, ("ir",), "name")
    assert match_bands(RGB, ("ir",), "order") == (("red",), ("ir",))


# ---- statistics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_imagenet_statistics_repeat_for_any_number_of_bands(tmp_path, count):
    names = tuple(f"band{k}" for k in range(count))
    scene = Scene("a", write(tmp_path / "a.tif", np.zeros((count, 8, 8), np.uint8)), bands=names)
    legend = Legend.from_fields([{"name": "roof", "colour": "#FF0000"}])
    spec = make_spec([scene], names, 0.5, legend, sampled_at=None, standardise="imagenet")
    assert spec.mean == tuple(IMAGENET_MEAN[k % 3] for k in range(count))
    assert len(spec.std) == len(spec.low) == count
