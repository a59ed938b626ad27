"""The contrast of pixels against its closed form, a loss written with plain loops, and the laws it has to keep."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.network import Architecture
from rsuda.methods import options_of
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks.contrast import (
    Points,
    features_at,
    log_contrast,
    pixel_contrast,
    points,
    two_resolution_contrast,
    weight_by_share,
)
from rsuda.methods.cluda import CLUDA

KEY = torch.tensor([11, 12])


def near(value, wanted, tolerance=1e-11):
    assert float(torch.as_tensor(value).detach()) == pytest.approx(float(wanted), rel=tolerance, abs=tolerance)


def all_points(label, weight=None):
    label = torch.as_tensor(label)
    weight = torch.ones(len(label), dtype=torch.float64) if weight is None else weight
    return Points(torch.arange(len(label)), label, weight)


def directions(classes, across):
    """(K, K) unit vectors whose cosines with each other are ``across``."""
    gram = torch.full((classes, classes), float(across), dtype=torch.float64).fill_diagonal_(1)
    value, vector = torch.linalg.eigh(gram)
    return vector * value.clamp(min=0).sqrt()


def random_units(seed, n, channels=5):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, channels, generator=generator, dtype=torch.float64), dim=1)


def random_points(seed, n, classes=3):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, classes, (n,), generator=generator)
    return all_points(label, torch.rand(n, generator=generator, dtype=torch.float64))


def plain_term(anchor, other, label, label_other, i, j, temperature):
    """log p_ij as in the paper: e^l_ij over itself and all negatives of i."""
    score = [math.exp(float(anchor[i] @ o) / temperature) for o in other]
    negatives = sum(s for s, y in zip(score, label_other, strict=True) if y != label[i])
    return math.log(score[j] / (score[j] + negatives))


def plain_contrast(z, label, weight, temperature):
    label, total = label.tolist(), 0.0
    for i in range(len(z)):
        positives = [j for j in range(len(z)) if j != i and label[j] == label[i]]
        row = sum(float(weight[i] * weight[j]) * plain_term(z, z, label, label, i, j, temperature) for j in positives)
        total -= row / max(1, len(positives))
    return total / len(z)


def plain_two_resolutions(low, high, inside, weigh, chosen, temperature):
    label, trust, total = chosen.label.tolist(), chosen.weight, 0.0
    columns = [j for j in range(len(low)) if inside[j]]
    detail, detail_label = [high[j] for j in columns], [label[j] for j in columns]
    for i in range(len(low)):
        ll = [j for j in range(len(low)) if j != i and label[j] == label[i]]
        lh = [n for n, j in enumerate(columns) if label[j] == label[i]]
        for j in ll:
            a = float(inside[i]) * float(weigh[i] * weigh[j])
            total -= float(trust[i] * trust[j]) * a * plain_term(low, low, label, label, i, j, temperature) / len(ll)
        for n in lh:
            a = float(inside[i]) * float(weigh[i] * weigh[columns[n]])
            log_p = plain_term(low, detail, label, detail_label, i, n, temperature)
            total -= float(trust[i] * trust[columns[n]]) * (1 - a) * log_p / len(lh)
    return total / (2 * len(low))


# ---- the value of the loss ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "each", "across"), [(2, 40, -1), (2, 7, 0.3), (3, 20, -0.5), (6, 10, 0), (5, 9, 1)]
)
def test_the_loss_of_clusters_has_its_closed_form(classes, each, across):
    z = directions(classes, across).repeat_interleave(each, 0)
    label = torch.arange(classes).repeat_interleave(each)
    wanted = -(1 - math.log(math.e + (classes - 1) * each * math.exp(across)))
    near(pixel_contrast(z, all_points(label)), wanted)


@pytest.mark.parametrize(("each", "across", "wanted"), [(7000, -1, 6.855), (1000, -1, 4.92), (7000, 1, 8.85)])
def test_an_anchor_among_thousands_has_the_loss_of_the_closed_form(each, across, wanted):
    z = directions(2, across).repeat_interleave(each, 0)
    label = torch.arange(2).repeat_interleave(each)
    found = -log_contrast(z[:1], z[1:2], z[label == 1], 1.0)[0, 0]
    near(found, -(1 - math.log(math.e + each * math.exp(across))))
    assert float(found) == pytest.approx(wanted, abs=6e-3)


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_the_losses_are_in_single_precision_whatever_the_networks_run_at(temperature):
    z, other, chosen = random_units(3, 60, 64).float(), random_units(4, 60, 64).float(), random_points(3, 60)
    chosen = chosen._replace(weight=chosen.weight.float())
    inside, weigh = torch.arange(60) % 2 == 0, torch.rand(60)

    def losses():
        two = two_resolution_contrast(z, other, inside, weigh, chosen, temperature)
        return pixel_contrast(z, chosen, temperature), two

    wanted = losses()
    with torch.autocast("cpu", torch.bfloat16):
        for loss, exact in zip(losses(), wanted, strict=True):
            assert loss.dtype == torch.float32
            near(loss, exact, 1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_loss_is_that_of_plain_loops(seed, temperature):
    z, chosen = random_units(seed, 17), random_points(seed, 17)
    near(pixel_contrast(z, chosen, temperature), plain_contrast(z, chosen.label, chosen.weight, temperature))
    ones = torch.ones(17)
    near(pixel_contrast(z, all_points(chosen.label), temperature), plain_contrast(z, chosen.label, ones, temperature))


def test_logits_of_hundreds_do_not_overflow():
    z, chosen = random_units(3, 30).float(), random_points(3, 30)
    z.requires_grad_()
    loss = pixel_contrast(z, chosen._replace(weight=torch.ones(30)), 0.005)
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all() and z.grad.abs().sum() > 0


def separable(size=24, noise=0.2):
    """Features (2, 16, size, size) of six classes that lie in cells of 4 px: the class's own direction and some noise."""
    generator = torch.Generator().manual_seed(5)
    cells = torch.randint(0, 6, (2, size // 4, size // 4), generator=generator)
    label = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)
    own = F.normalize(torch.randn(6, 16, generator=generator), dim=1)
    feature = own[label].permute(0, 3, 1, 2) + noise * torch.randn(2, 16, size, size, generator=generator) / 4
    return feature, label


def loss_of(feature, label, weight=None, size=None, temperature=1.0, most=0, key=KEY):
    size = size or tuple(feature.shape[-2:])
    weight = torch.ones(label.shape, dtype=torch.float64) if weight is None else weight
    chosen = points(label, weight, size, key[: len(label)], most)
    return pixel_contrast(F.normalize(features_at(feature, size, chosen.place), dim=1), chosen, temperature)


@pytest.mark.parametrize(("temperature", "margin"), [(1.0, 0.7), (0.1, 5.0)])
def test_labels_that_fit_the_features_cost_clearly_less_than_shuffled_ones(temperature, margin):
    feature, label = separable()
    order = torch.randperm(label.numel(), generator=torch.Generator().manual_seed(0))
    shuffled = label.flatten()[order].view_as(label)
    assert loss_of(feature, label, temperature=temperature) + margin < loss_of(
        feature, shuffled, temperature=temperature
    )


# ---- pixels keep their labels ---------------------------------------------------------------------------------------


def scene(seed=0, classes=4, grid=8, fine=4, images=2):
    """Features (B, 5, grid, grid), labels and weights ``fine`` times as fine; some ignored, some of no weight."""
    generator = torch.Generator().manual_seed(seed)
    feature = torch.randn(images, 5, grid, grid, generator=generator, dtype=torch.float64)
    label = torch.randint(0, classes, (images, grid * fine, grid * fine), generator=generator)
    label[:, : 2 * fine] = torch.where(label[:, : 2 * fine] == 0, 255, label[:, : 2 * fine])
    weight = torch.rand(images, grid * fine, grid * fine, generator=generator, dtype=torch.float64)
    weight[:, :, : 2 * fine] = 0
    return feature, label, weight


def test_points_and_features_are_those_of_the_same_pixel():
    """A feature map that holds image, row, column and class of each pixel must come back so."""
    size = (5, 7)
    label = torch.arange(2 * 5 * 7).reshape(2, *size) % 4
    label[1, 2] = 255
    image, row, col = torch.meshgrid(torch.arange(2), torch.arange(5), torch.arange(7), indexing="ij")
    feature = torch.stack([image, row, col, label], 1).double() + 1
    chosen = points(label, torch.ones(2, *size), size, KEY, 0)
    z = F.normalize(features_at(feature, size, chosen.place), dim=1)
    assert len(z) == len(chosen.label) == len(chosen.weight) == 63
    wanted = torch.stack([chosen.place // 35, chosen.place // 7 % 5, chosen.place % 7, chosen.label], 1) + 1.0
    assert torch.allclose(z, F.normalize(wanted.double(), dim=1), atol=1e-12)


def test_a_batch_of_two_is_one_image_of_both_stacked_along_the_height():
    feature, label, weight = scene()
    stacked = [torch.cat(list(x), -2)[None] for x in (feature, label, weight)]
    both = loss_of(feature, label, weight)
    near(both, loss_of(*stacked))
    assert both > 0


@pytest.mark.parametrize("most", [0, 40])
def test_swapping_the_images_with_their_labels_changes_nothing(most):
    feature, label, weight = scene()
    one = loss_of(feature, label, weight, most=most)
    near(one, loss_of(feature.flip(0), label.flip(0), weight.flip(0), most=most, key=KEY.flip(0)))
    assert abs(one - loss_of(feature, label.flip(0), weight, most=most, key=KEY)) > 1e-4


def test_ignored_pixels_and_pixels_without_weight_get_no_gradient():
    feature, label, weight = scene(fine=1)
    feature.requires_grad_()
    loss_of(feature, label, weight).backward()
    gradient = feature.grad.abs().sum(1)
    out = (label == 255) | (weight == 0)
    assert 0 < out.sum() < out.numel()
    assert (gradient[out] == 0).all() and (gradient[~out] > 0).all()


def test_a_pixel_of_weight_zero_counts_as_an_ignored_one():
    feature, label, weight = scene(fine=1)
    alone = loss_of(feature, torch.where(weight == 0, 255, label), torch.where(weight == 0, 1.0, weight))
    near(loss_of(feature, label, weight), alone)
    near(loss_of(torch.where(weight[:, None] == 0, -3 * feature + 1, feature), label, weight), alone)


def test_the_weight_of_a_pair_is_the_product_of_its_pixels():
    """Source against source 1, source against target q, target against target q squared."""
    z, label = random_units(1, 12), torch.arange(12) % 2
    q, target = 0.25, torch.arange(12) >= 6

    def by(source, mixed, within):
        total = 0.0
        for i in range(12):
            for j in range(12):
                if i != j and label[i] == label[j]:
                    om = (source, mixed, within)[int(target[i]) + int(target[j])]
                    total -= om * plain_term(z, z, label.tolist(), label.tolist(), i, j, 1.0) / 5
        return total / 12

    weight = torch.where(target, q, 1.0).double()
    near(pixel_contrast(z, all_points(label, weight)), by(1, q, q * q))


@pytest.mark.parametrize("scale", [2, 4])
def test_labels_come_to_the_grid_by_nearest_and_weights_bilinearly(scale):
    label = torch.arange(4).reshape(1, 2, 2).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    weight = (label + 1) / 4
    chosen = points(label, weight, (2, 2), KEY[:1], 0)
    assert chosen.label.tolist() == [0, 1, 2, 3] and chosen.place.tolist() == [0, 1, 2, 3]
    assert chosen.weight.tolist() == [0.25, 0.5, 0.75, 1.0]


# ---- nothing to contrast --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [[], [2], [1, 1, 1], [0, 1, 2], [0, 0, 1]])
@pytest.mark.parametrize("crop", ["none", "all", "first"])
def test_few_pixels_or_classes_never_give_nan(label, crop):
    label, n = torch.tensor(label, dtype=torch.long), len(label)
    low, high = (random_units(s, n).requires_grad_() for s in (1, 2))
    weigh = torch.full((n,), 0.5, dtype=torch.float64, requires_grad=True)
    inside = {"none": torch.zeros(n), "all": torch.ones(n), "first": torch.arange(n) == 0}[crop].bool()
    single = pixel_contrast(low, all_points(label), 0.1)
    double = two_resolution_contrast(low, high, inside, weigh, all_points(label), 0.1)
    assert single.isfinite() and double.isfinite()
    (single + double).backward()
    for leaf in (low, high, weigh):
        assert leaf.grad.isfinite().all()
    near(single, plain_contrast(low.detach(), label, torch.ones(n), 0.1) if n else 0)


def test_a_batch_of_one_class_or_of_single_pixels_costs_nothing():
    near(pixel_contrast(random_units(1, 6), all_points(torch.full((6,), 3))), 0)
    near(pixel_contrast(random_units(1, 6), all_points(torch.arange(6))), 0)


def test_a_batch_without_labels_costs_nothing_and_has_a_gradient_of_zeros():
    feature = scene()[0].requires_grad_()
    loss = loss_of(feature, torch.full((2, 32, 32), 255), torch.ones(2, 32, 32))
    loss.backward()
    assert loss.detach() == 0 and (feature.grad == 0).all()


# ---- two resolutions ------------------------------------------------------------------------------------------------


def two(seed, n=14, classes=3):
    low, high, chosen = random_units(seed, n), random_units(seed + 50, n), random_points(seed, n, classes)
    generator = torch.Generator().manual_seed(seed + 100)
    inside = torch.rand(n, generator=generator) < 0.5
    return low, high, inside, torch.rand(n, generator=generator, dtype=torch.float64), chosen


@pytest.mark.parametrize("temperature", [1.0, 0.1])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_two_resolution_loss_is_that_of_plain_loops(seed, temperature):
    case = two(seed)
    assert 0 < case[2].sum() < len(case[2])
    near(two_resolution_contrast(*case, temperature), plain_two_resolutions(*case, temperature))


def test_full_weight_everywhere_is_half_the_loss_at_low_resolution():
    low, high, inside, weigh, chosen = two(1)
    found = two_resolution_contrast(low, high, torch.ones_like(inside), torch.ones_like(weigh), chosen, 0.3)
    near(found, pixel_contrast(low, chosen, 0.3) / 2)


def test_no_weight_is_half_the_loss_between_resolutions():
    low, high, inside, weigh, chosen = two(2)
    label, columns = chosen.label.tolist(), inside.nonzero()[:, 0].tolist()
    total = 0.0
    for i in range(len(low)):
        same = [n for n, j in enumerate(columns) if label[j] == label[i]]
        for n in same:
            log_p = plain_term(low, high[columns], label, [label[j] for j in columns], i, n, 0.3)
            total -= float(chosen.weight[i] * chosen.weight[columns[n]]) * log_p / len(same)
    found = two_resolution_contrast(low, high, inside, torch.zeros_like(weigh), chosen, 0.3)
    near(found, total / len(low) / 2)
    assert found > 0


def test_class_zero_is_treated_as_any_other():
    low, high, inside, weigh, chosen = two(3)
    one = two_resolution_contrast(low, high, inside, weigh, chosen)
    for shift in (1, 2, 40):
        near(one, two_resolution_contrast(low, high, inside, weigh, chosen._replace(label=chosen.label + shift)))


def test_detail_features_outside_the_crop_are_not_read():
    low, high, inside, weigh, chosen = two(4)
    high.requires_grad_()
    one = two_resolution_contrast(low, high, inside, weigh, chosen)
    one.backward()
    one, gradient = one.detach(), high.grad.abs().sum(1)
    assert (gradient[~inside] == 0).all() and (gradient[inside] > 0).all()
    near(one, two_resolution_contrast(low, torch.where(inside[:, None], high.detach(), 7.0), inside, weigh, chosen))


def test_the_same_place_at_both_resolutions_is_a_positive():
    """Two pixels of two classes have no other positive: -log(e / (e + 1)) each, halved."""
    z = torch.eye(2, dtype=torch.float64)
    chosen, inside = all_points([0, 1]), torch.ones(2, dtype=torch.bool)
    found = two_resolution_contrast(z, z, inside, torch.zeros(2, dtype=torch.float64), chosen)
    near(found, (math.log(math.e + 1) - 1) / 2)


def test_the_learned_weight_has_a_gradient_in_the_crop():
    low, high, inside, weigh, chosen = two(5)
    weigh.requires_grad_()
    two_resolution_contrast(low, high, inside, weigh, chosen).backward()
    assert (weigh.grad[inside] != 0).any()


# ---- a limited number of pixels -------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 80)), min_size=1, max_size=6, unique_by=lambda c: c[0]),
    st.integers(1, 120),
    st.integers(0, 2**62),
)
@settings(max_examples=40, deadline=None, derandomize=True)  # equal numbers of a draw would keep one pixel more
def test_a_limit_is_met_exactly_with_classes_as_equal_as_they_can_be(counts, most, key):
    label = torch.full((2 * 16 * 16,), 255)
    start = 0
    for k, count in counts:
        label[start : start + count] = k
        start += count
    label = label[torch.randperm(len(label), generator=torch.Generator().manual_seed(key % 997))].reshape(2, 16, 16)
    chosen = points(label, torch.ones(2, 16, 16), (16, 16), torch.tensor([key, key + 1]), most)
    total = sum(count for _, count in counts)
    assert len(chosen.place) == min(most, total)
    assert torch.equal(chosen.label, label.flatten()[chosen.place]) and (chosen.place.diff() > 0).all()
    kept = {k: int((chosen.label == k).sum()) for k, _ in counts}
    for k, count in counts:  # a class is cut only if no other keeps more than one pixel beyond it
        assert kept[k] == count or kept[k] >= max(kept.values()) - 1


def test_rare_classes_are_kept_whole():
    label = torch.zeros(1, 32, 32, dtype=torch.long)
    label[0, 5, :9] = 4
    label[0, 9:12] = 2
    chosen = points(label, torch.ones(1, 32, 32), (32, 32), KEY[:1], 100)
    assert torch.bincount(chosen.label).tolist() == [46, 0, 45, 0, 9]


def test_the_pixels_drawn_do_not_depend_on_the_order_of_the_batch():
    label = scene(classes=3, grid=16, fine=1)[1]
    ones = torch.ones(label.shape)
    one = points(label, ones, (16, 16), KEY, 60)
    other = points(label.flip(0), ones, (16, 16), KEY.flip(0), 60)
    assert sorted(one.place.tolist()) == sorted(((other.place + 256) % 512).tolist())
    assert one.place.tolist() != points(label, ones, (16, 16), KEY + 1, 60).place.tolist()


# ---- its weight -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_the_weight_gives_the_term_its_share_of_the_gradient(share):
    features = [torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    term, reference = 7 + (features[0] ** 3).sum() + features[1].sum(), features[0].sin().sum()
    weight = weight_by_share(term, reference, features, share)
    assert not weight.requires_grad
    pull, against = torch.autograd.grad(term, features), torch.autograd.grad(reference, features[:1])
    near(weight * sum(g.square().sum() for g in pull).sqrt(), share * against[0].norm())


def test_a_term_without_a_gradient_has_no_weight():
    feature = torch.randn(4, 3, requires_grad=True)
    for term in (torch.zeros(()), (feature * 0).sum()):
        assert float(weight_by_share(term, feature.sum(), [feature], 0.5)) == 0


# ---- inside the method ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("resolutions", [1, 2])
def test_centred_cosines_do_not_see_what_all_features_share(centred, resolutions):
    legend = Legend(("road", "roof", "tree"), (((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),)))
    spec = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, (0.5,) * 3, (0.25,) * 3, legend)
    build = NetworkBuilder(Architecture("mobilenet_v2", "segformer", 3, 3, 6), spec)
    method = CLUDA(build, options_of("cluda", {"centred": centred, "resolutions": resolutions, "temperature": 0.3}))
    generator = torch.Generator().manual_seed(2)
    label = torch.randint(0, 3, (2, 64, 64), generator=generator)
    features = [torch.randn(2, 6, 16, 16, generator=generator) for _ in range(2)]
    common = 3 * torch.rand(1, 6, 1, 1, generator=generator)

    def loss(more):
        low, high = (f + more for f in features)
        if resolutions == 1:
            return method._contrast(low, label, torch.ones(2, 64, 64), KEY)
        pyramid = method.model.network.encoder(torch.zeros(2, 3, 32, 32))
        out = SimpleNamespace(box=torch.tensor([[0, 0], [16, 16]]), low=low, high=high, pyramid=pyramid)
        return method._contrast_of_two(out, label, torch.ones(2, 64, 64), KEY)

    assert torch.allclose(loss(0), loss(common), atol=1e-5) == centred
