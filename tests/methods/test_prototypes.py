"""Prototypes, their contrast with pixels, calibration and label transfer against closed forms, and their laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.cells import labels_on_grid
from rsuda.learning.most_likely import most_likely
from rsuda.learning.network import Architecture
from rsuda.methods import options_of
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.bicl import BiCL
from rsuda.methods.blocks.prototypes import (
    Calibration,
    Prototypes,
    cosine,
    masked_average,
    prototype_contrast,
    transfer,
)


def near(value, wanted, tolerance=1e-10):
    assert float(torch.as_tensor(value).detach()) == pytest.approx(float(wanted), rel=tolerance, abs=tolerance)


def all_of(prototypes):
    return torch.ones(len(prototypes.mean), dtype=torch.bool)


def contrast(feature, label, prototypes, temperature=0.1):
    return prototype_contrast(feature, label, prototypes, all_of(prototypes), temperature)


def domain(seed, classes=4, channels=6, size=(5, 7), batch=2, without=()):
    """Features (B, D, h, w) in double precision and labels with some ignored pixels; classes ``without`` are absent."""
    generator = torch.Generator().manual_seed(seed)
    feature = torch.randn(batch, channels, *size, generator=generator, dtype=torch.float64)
    held = torch.tensor([k for k in range(classes) if k not in without] + [255])
    return feature, held[torch.randint(len(held), (batch, *size), generator=generator)]


def plain_contrast(feature, label, mean, present, temperature):
    """Pixel by pixel, over the classes that are present."""
    total, number = 0.0, 0
    classes = [k for k in range(len(mean)) if present[k]]
    for f, y in zip(feature.permute(0, 2, 3, 1).flatten(0, 2), label.flatten().tolist(), strict=True):
        if y in classes:
            score = {c: math.exp(float(f @ mean[c] / f.norm() / mean[c].norm()) / temperature) for c in classes}
            total -= math.log(score[y] / sum(score.values()))
            number += 1
    return total / max(1, number)


# ---- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "wanted"), [(6, 2.270e-4), (7, 2.724e-4), (19, 8.168e-4)])
def test_pixels_on_orthogonal_prototypes_cost_what_the_formula_says(classes, wanted):
    feature = torch.eye(classes, dtype=torch.float64)[None, :, None]
    label = torch.arange(classes)[None, None]
    found = contrast(feature, label, masked_average(feature, label, classes))
    near(found, math.log1p((classes - 1) * math.exp(-10)))
    assert float(found) == pytest.approx(wanted, rel=3e-4)


@pytest.mark.parametrize(("classes", "wanted"), [(6, 1.7918), (7, 1.9459), (19, 2.9444)])
def test_features_that_are_all_equal_cost_the_logarithm_of_the_classes(classes, wanted):
    feature, label = torch.ones(1, 5, 1, classes, dtype=torch.float64), torch.arange(classes)[None, None]
    found = contrast(feature, label, masked_average(feature, label, classes))
    near(found, math.log(classes))
    assert float(found) == pytest.approx(wanted, abs=5e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
@pytest.mark.parametrize("without", [(), (0,), (1, 3)])
def test_contrast_is_that_of_plain_loops(without, temperature):
    f_s, y_s = domain(1, without=without)
    f_t, y_t = domain(2)
    rho = masked_average(f_s, y_s, 4)
    near(contrast(f_t, y_t, rho, temperature), plain_contrast(f_t, y_t, rho.mean, rho.present, temperature))


def test_prototypes_are_means_of_the_batch_by_class():
    feature, label = domain(3, without=(2,))
    found = masked_average(feature, label, 4)
    assert found.present.tolist() == [True, True, False, True]
    for k in (0, 1, 3):
        rows = [feature[b, :, r, c] for b, r, c in (label == k).nonzero().tolist()]
        assert torch.allclose(found.mean[k], sum(rows) / len(rows), atol=1e-12)
    assert (found.mean[2] == 0).all()


def test_cosines_are_those_of_vectors():
    feature, label = domain(4)
    mean = masked_average(feature, label, 4).mean
    found = cosine(feature, mean)
    for k in range(4):
        near(found[1, k, 2, 3], F.cosine_similarity(feature[1, :, 2, 3], mean[k], dim=0))


def test_labels_of_a_coarser_grid_are_of_the_class_that_fills_half_a_cell():
    label = torch.full((1, 4, 12), 255)
    label[0, :, :4] = torch.tensor([0, 1, 1, 1])[:, None]  # three quarters
    label[0, :, 4:8] = torch.tensor([[2, 2, 255, 255]]).T  # half of it labelled
    label[0, :, 8:] = torch.tensor([[2, 0, 1, 255]]).T  # nobody has half
    assert labels_on_grid(label, 3, (1, 3)).tolist() == [[[1, 2, 255]]]


def test_a_thin_object_at_the_centre_of_a_cell_does_not_take_it():
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    label[0, 4] = 1
    assert F.interpolate(label[:, None].float(), size=(1, 1), mode="nearest-exact").item() == 1
    assert labels_on_grid(label, 2, (1, 1)).tolist() == [[[0]]]


@pytest.mark.parametrize("size", [(4, 6), (8, 3), (3, 5)])
def test_cells_of_equal_and_of_unequal_size_hold_the_same_shares(size):
    """(3, 5) does not divide 8 x 12 px; the others are counted, which is faster."""
    label = torch.randint(0, 3, (2, 8, 12), generator=torch.Generator().manual_seed(1)).repeat_interleave(2, 2)[
        ..., :12
    ]
    label[0, :2] = 255
    one_hot = torch.stack([label == k for k in range(3)], 1).float()
    share, winner = F.adaptive_avg_pool2d(one_hot, size).max(1)
    found = labels_on_grid(label, 3, size)
    assert torch.equal(found == 255, share < 0.5)
    assert torch.equal(found[share > 0.5], winner[share > 0.5])  # halves have no single winner


def test_the_first_of_the_likeliest_classes_wins_as_torch_has_it():
    score = torch.randint(0, 4, (3, 5, 7, 6), generator=torch.Generator().manual_seed(2)).float()
    best, label = most_likely(score)
    assert torch.equal(best, score.amax(1)) and torch.equal(label, (score == best[:, None]).int().argmax(1))


def test_labels_on_their_own_grid_stay_as_they_are():
    label = domain(5)[1]
    assert torch.equal(labels_on_grid(label, 4, (5, 7)), label)


# ---- laws of the contrast -------------------------------------------------------------------------------------------


def both_ways(f_s, y_s, f_t, y_t):
    """(FCL, BCL) with prototypes of the batch."""
    rho_s, rho_t = masked_average(f_s, y_s, 4), masked_average(f_t, y_t, 4)
    both = rho_s.present & rho_t.present
    return prototype_contrast(f_t, y_t, rho_s, both, 0.1), prototype_contrast(f_s, y_s, rho_t, both, 0.1)


def test_the_order_of_images_and_of_pixels_does_not_matter():
    f_s, y_s = domain(1)
    f_t, y_t = domain(2)
    wanted = both_ways(f_s, y_s, f_t, y_t)
    order = torch.randperm(35, generator=torch.Generator().manual_seed(0))
    found = both_ways(
        f_s.flatten(2)[..., order].unflatten(2, (5, 7)), y_s.flatten(1)[:, order].unflatten(1, (5, 7)),
        f_t.flip(0), y_t.flip(0),
    )  # fmt: skip
    for a, b in zip(found, wanted, strict=True):
        near(a, b)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_a_positive_factor_of_the_features_does_not_matter(a, b):
    f_s, y_s = domain(1)
    f_t, y_t = domain(2)
    for found, wanted in zip(both_ways(a * f_s, y_s, b * f_t, y_t), both_ways(f_s, y_s, f_t, y_t), strict=True):
        near(found, wanted)


def test_ignored_pixels_get_no_gradient_not_even_through_prototypes():
    f_s, y_s = domain(1)
    f_t, y_t = domain(2)
    f_s.requires_grad_(), f_t.requires_grad_()
    sum(both_ways(f_s, y_s, f_t, y_t)).backward()
    for f, y in ((f_s, y_s), (f_t, y_t)):
        gradient = f.grad.abs().sum(1)
        assert (y == 255).any()
        assert (gradient[y == 255] == 0).all() and (gradient[y != 255] > 0).all()


def test_a_class_of_the_source_alone_neither_pays_nor_stands_in_a_denominator():
    f_s, y_s = domain(1)
    f_t, y_t = domain(2, without=(2,))
    wanted = both_ways(f_s, y_s, f_t, y_t)
    changed = torch.where((y_s == 2)[:, None], 5 - 3 * f_s, f_s)
    for a, b in zip(both_ways(changed, y_s, f_t, y_t), wanted, strict=True):
        near(a, b)
    for a, b in zip(both_ways(f_s, torch.where(y_s == 2, 255, y_s), f_t, y_t), wanted, strict=True):
        near(a, b)


def test_a_class_of_the_target_alone_does_not_pay():
    f_s, y_s = domain(1, without=(1,))
    f_t, y_t = domain(2)
    f_t.requires_grad_()
    forward, backward = both_ways(f_s, y_s, f_t, y_t)
    (forward + backward).backward()
    assert (y_t == 1).any() and (f_t.grad.abs().sum(1)[y_t == 1] == 0).all()
    near(forward, plain_contrast(f_t.detach(), torch.where(y_t == 1, 255, y_t), *masked_average(f_s, y_s, 4), 0.1))


@pytest.mark.parametrize("empty", ["pixels", "prototypes", "common"])
def test_without_a_valid_pixel_the_loss_is_zero_and_its_gradient_finite(empty):
    f_s, y_s = domain(1, without=(2, 3) if empty == "common" else ())
    f_t, y_t = domain(2, without=(0, 1) if empty == "common" else ())
    if empty == "pixels":
        y_t = torch.full_like(y_t, 255)
    if empty == "prototypes":
        y_s = torch.full_like(y_s, 255)
    f_s.requires_grad_(), f_t.requires_grad_()
    forward, backward = both_ways(f_s, y_s, f_t, y_t)
    (forward + backward).backward()
    near(forward, 0), near(backward, 0)
    assert (f_s.grad == 0).all() and (f_t.grad == 0).all()


def test_the_gradient_reaches_the_pixels_behind_the_prototypes():
    f_s, y_s = domain(1)
    f_t, y_t = domain(2)
    f_s.requires_grad_(), f_t.requires_grad_()
    rho = masked_average(f_s, y_s, 4)
    contrast(f_t, y_t, rho).backward()
    assert (f_s.grad.abs().sum(1)[y_s != 255] > 0).all()

    # one domain that is both: a detached prototype loses a part of the gradient, and the loss keeps its value
    f, y = domain(3)
    found = []
    for detached in (False, True):
        leaf = f.clone().requires_grad_()
        rho = masked_average(leaf, y, 4)
        loss = contrast(leaf, y, Prototypes(rho.mean.detach() if detached else rho.mean, rho.present))
        loss.backward()
        found.append((float(loss.detach()), leaf.grad))
    assert found[0][0] == found[1][0] and not torch.allclose(found[0][1], found[1][1], atol=1e-4)


# ---- calibration ----------------------------------------------------------------------------------------------------


@given(st.floats(0.0, 0.999), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_calibration_absorbs_a_constant_bias_as_one_minus_m_to_the_t(momentum, steps):
    calibration = Calibration(4, 6, momentum).double()
    delta = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    feature, label = domain(1)
    source = masked_average(feature, label, 4)
    for _ in range(steps):
        calibration.update(source, Prototypes(source.mean + delta, source.present))
    assert torch.allclose(calibration.bias, (1 - momentum**steps) * delta, atol=1e-12)
    assert torch.allclose(calibration(source).mean, source.mean + calibration.bias)


@pytest.mark.parametrize(("momentum", "steps"), [(0.9, 22), (0.99, 230), (0.999, 2300)])
def test_nine_tenths_of_a_bias_are_absorbed_after_the_published_number_of_steps(momentum, steps):
    calibration, there = Calibration(1, 1, momentum).double(), torch.ones(1, dtype=torch.bool)
    zero, one = (Prototypes(torch.full((1, 1), float(v), dtype=torch.float64), there) for v in (0, 1))
    for _ in range(steps):
        calibration.update(zero, one)
    assert float(calibration.bias) == pytest.approx(0.9, abs=2e-3)


def test_only_classes_with_both_prototypes_are_calibrated():
    calibration = Calibration(4, 6, 0.5).double()
    f, y = domain(1, without=(0,))
    g, z = domain(2, without=(3,))
    source, target = masked_average(f, y, 4), masked_average(g, z, 4)
    calibration.update(source, target)
    assert (calibration.bias[[0, 3]] == 0).all()
    assert torch.allclose(calibration.bias[1:3], (target.mean - source.mean)[1:3] / 2)
    assert torch.equal(calibration(source).present, source.present)


def test_a_momentum_of_one_is_no_calibration_and_the_bias_is_saved():
    still, moving = Calibration(4, 6, 1.0), Calibration(4, 6, 0.3)
    source, target = (masked_average(*domain(s), 4) for s in (1, 2))
    for calibration in (still, moving):
        calibration.update(source, target)
    assert (still.bias == 0).all() and (moving.bias != 0).any()
    still.load_state_dict(moving.state_dict())
    assert torch.equal(still.bias, moving.bias) and not moving.bias.requires_grad


def test_calibration_makes_transferred_labels_right_after_a_shift_as_wide_as_the_classes_lie_apart():
    """Two classes at (1, 0, 1) and (0, 1, 1); the target's first class lies beyond the source's second."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.tensor([[1.0, 0, 1], [0, 1, 1]], dtype=torch.float64)
    delta = torch.tensor([[-1.0, 1.2, 0], [0, 0.8, -0.9]], dtype=torch.float64)
    label = torch.arange(2).repeat_interleave(200).reshape(1, 20, 20)

    def features(at):
        noise = 0.1 * torch.randn(1, 3, 20, 20, generator=generator, dtype=torch.float64)
        return at[label].permute(0, 3, 1, 2) + noise

    calibration, right = Calibration(2, 3, 0.9).double(), []
    for _ in range(60):
        source, target = features(centre), features(centre + delta)
        rho = masked_average(source, label, 2)
        found = transfer(target, calibration(rho), 0.1, 0.0)
        right.append(float((found == label).double().mean()))
        calibration.update(rho, masked_average(target, label, 2))
    assert right[0] < 0.6 and right[-1] > 0.99
    assert sum(right[20:40]) / 20 > sum(right[:20]) / 20 + 0.1


# ---- transfer of labels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "margin"), [(2, 0.14), (6, 0.30), (19, 0.43)])
def test_a_label_is_transferred_from_the_published_cosine_margin_on(classes, margin):
    """All rivals at cosine 0: p > 0.8 at tau 0.1 when the cosine exceeds 0.1 ln(4 (K - 1))."""
    least = 0.1 * math.log(4 * (classes - 1))
    assert least == pytest.approx(margin, abs=5e-3)
    means = Prototypes(torch.eye(classes, classes + 1, dtype=torch.float64), torch.ones(classes, dtype=torch.bool))
    for cosine_, wanted in ((least + 1e-6, 1), (least - 1e-6, 255)):
        feature = torch.zeros(1, classes + 1, 1, 1, dtype=torch.float64)
        feature[0, 1], feature[0, -1] = cosine_, math.sqrt(1 - cosine_**2)
        assert transfer(feature, means, 0.1, 0.8).tolist() == [[[wanted]]]


def test_without_bias_or_threshold_transfer_is_the_nearest_prototype():
    feature = domain(1)[0]
    rho = masked_average(*domain(2), 4)
    found = transfer(feature, Calibration(4, 6, 0.9)(rho), 0.1, 0.0)
    assert torch.equal(found, cosine(feature, rho.mean).argmax(1)) and len(found.unique()) == 4


def test_absent_classes_are_never_transferred():
    feature = domain(1)[0]
    rho = masked_average(*domain(2, without=(0, 2)), 4)
    assert set(transfer(feature, rho, 0.1, 0.0).unique().tolist()) == {1, 3}
    nobody = Prototypes(rho.mean, torch.zeros(4, dtype=torch.bool))
    assert (transfer(feature, nobody, 0.1, 0.0) == 255).all()


# ---- inside the method ----------------------------------------------------------------------------------------------

LEGEND = Legend(("road", "roof", "tree", "car"), (((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),), ((4, 4, 4),)))
SPEC = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, (0.5,) * 3, (0.25,) * 3, LEGEND)
ARCH = Architecture("mobilenet_v2", "segformer", 4, 3, 6)
SHOWN = torch.ones(2, 5, 7, dtype=torch.bool)


def method(**options):
    return BiCL(NetworkBuilder(ARCH, SPEC), options_of("bicl", options)).double()


def test_static_labels_win_over_dynamic_ones_which_fill_the_rest():
    m = method(threshold=0.6, calibration=0.5)
    f_s, y_s = domain(1)
    f_t, y_f = domain(2)
    shown = SHOWN.clone()
    shown[:, 2] = False
    y_t = m._contrast(f_s, f_t, y_s, y_f, shown)[2]
    assert torch.equal(y_t[y_f != 255], y_f[y_f != 255])
    free = (y_f == 255) & shown
    dynamic = transfer(f_t, m.calibration(masked_average(f_s, y_s, 4)), 0.1, 0.6)
    assert torch.equal(y_t[free], dynamic[free]) and (dynamic[free] != 255).any()
    assert ((y_f == 255) & ~shown).any() and (y_t[(y_f == 255) & ~shown] == 255).all()


def test_the_bias_is_estimated_from_static_labels_alone_and_stays_out_of_the_losses():
    f_s, y_s = domain(1)
    f_t, y_f = domain(2)
    with_labels, without = method(threshold=0.0, calibration=0.5), method(dynamic=False, calibration=0.5)
    losses = [m._contrast(f_s, f_t, y_s, y_f, SHOWN)[:2] for m in (with_labels, without)]
    wanted = (masked_average(f_t, y_f, 4).mean - masked_average(f_s, y_s, 4).mean) / 2
    for m in (with_labels, without):
        assert torch.allclose(m.calibration.bias, wanted)
    for found, plain in zip(losses[1], both_ways(f_s, y_s, f_t, y_f), strict=True):
        near(found, plain)
    assert abs(losses[0][0] - losses[1][0]) > 1e-4  # the dynamic labels are used


def test_swapping_the_domains_exchanges_the_two_losses():
    f_s, y_s = domain(1, without=(0,))
    f_t, y_f = domain(2)
    m = method(dynamic=False)
    forward, backward, _ = m._contrast(f_s, f_t, y_s, y_f, SHOWN)
    other = m._contrast(f_t, f_s, y_f, y_s, SHOWN)
    near(other[0], backward), near(other[1], forward)
    assert abs(forward - backward) > 1e-3


def test_by_pairs_the_loss_is_the_mean_over_the_pairs():
    f_s, y_s = domain(1)
    f_t, y_f = domain(2)
    by_pair, by_batch = method(dynamic=False, scope="pair"), method(dynamic=False)
    found = by_pair._contrast(f_s, f_t, y_s, y_f, SHOWN)
    alone = [
        by_batch._contrast(*(x[i : i + 1] for x in (f_s, f_t, y_s, y_f, SHOWN))) for i in range(2)
    ]  # fmt: skip
    for direction in (0, 1):
        near(found[direction], (alone[0][direction] + alone[1][direction]) / 2)
        assert abs(found[direction] - by_batch._contrast(f_s, f_t, y_s, y_f, SHOWN)[direction]) > 1e-4


def test_centred_cosines_do_not_see_what_all_features_share():
    f_s, y_s = domain(1)
    f_t, y_f = domain(2)
    common = 3 * torch.rand(1, 6, 1, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for centred in (True, False):
        plain, moved = (
            method(centred=centred)._contrast(f_s + more, f_t + more, y_s, y_f, SHOWN) for more in (0, common)
        )
        alike = [torch.allclose(a, b) for a, b in zip(plain[:2], moved[:2], strict=True)]
        assert alike == [centred, centred]
