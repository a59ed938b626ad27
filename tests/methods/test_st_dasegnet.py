"""ST-DASegNet against numbers of its official classes (double precision), and its own laws."""

import math

import pytest
import torch

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Architecture
from rsuda.learning.two_branch_network import Disentangle
from rsuda.methods import options_of
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks.discriminators import (
    Discriminator,
    data_mask,
    domain_loss,
    spatial_softmax,
    strided_layers,
)
from rsuda.methods.blocks.paper_weights import ISPRS, LOVEDA, paper_weights
from rsuda.methods.blocks.pseudo_labels import quality_weighted
from rsuda.methods.blocks.teacher import Teacher, decay
from rsuda.methods.st_dasegnet import STDASegNet


def fill(shape, s, a=1.0):
    """a * sin(s + 0.7 k), k the row-major index: values anyone can make again."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return (a * torch.sin(s + 0.7 * k)).reshape(shape)


def fill_parameters(parameters, first=1):
    with torch.no_grad():
        for s, parameter in enumerate(parameters, first):
            parameter.copy_(fill(parameter.shape, s, 0.1))


def near(value, wanted, tolerance=1e-11):
    assert float(torch.as_tensor(value).detach()) == pytest.approx(float(wanted), rel=tolerance, abs=tolerance)


def test_disentangle_gives_the_reference_numbers():
    module = Disentangle([3, 8]).double()
    distinct, universal = module.distinct[1], module.universal
    layers = [distinct.squeeze, distinct.source, distinct.target, universal.common, universal.source, universal.target]
    fill_parameters([p for layer in layers for p in (layer.weight, layer.bias)])
    image = torch.zeros(2, 3, 3, 4, dtype=torch.float64)
    out_s, out_t = module([image, fill((2, 8, 3, 4), 13)], [image, fill((2, 8, 3, 4), 14)])
    near(out_s[1].sum(), 15.263135884766985)
    near(out_s[1][:, :8].sum(), 1.388098264047177)
    near(out_s[1][:, 8:].sum(), 13.875037620719809)
    near(out_t[1].sum(), 23.57235555467446)
    near(out_t[1][:, :8].sum(), 0.963629675032582)
    near(out_t[1][:, 8:].sum(), 22.608725879641877)
    near(out_s[1][0, 0, 0, 0], 0.21141242085317163)
    near(out_s[1][1, 15, 2, 3], 0.20282586036359462)
    near(out_t[1][0, 8, 1, 2], 0.22598862905522218)


def test_disentangle_widens_the_last_level_only_and_leaves_the_image_alone():
    module = Disentangle([3, 64, 128, 320, 512])
    assert module.out_channels == [3, 64, 128, 320, 576]
    assert Disentangle([3, 256, 512, 1024, 2048]).out_channels[-1] == 2304
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(3.096e6, rel=1e-3)


@pytest.mark.parametrize(("channels", "strided", "millions"), [(512, 2, 1.184), (2048, 3, 4.859)])
def test_discriminators_have_the_published_size(channels, strided, millions):
    size = sum(p.numel() for p in Discriminator(channels, strided=strided).parameters())
    assert size == pytest.approx(millions * 1e6, rel=1e-3)


def test_discriminator_gives_the_reference_numbers():
    discriminator = Discriminator(8, base=4, strided=2).double()
    fill_parameters(discriminator.parameters())
    out = discriminator(spatial_softmax(fill((2, 8, 16, 16), 3, 2)))
    assert out.shape == (2, 1, 2, 2)
    near(out.sum(), -0.17595122726841084)
    for found, wanted in zip(
        out.flatten()[:3], (0.5367530789740923, -0.0133833183376877, -0.5461155996865386), strict=True
    ):
        near(found, wanted)
    near(0.005 * domain_loss(out, True, (64, 64)), 0.0035713396053117)
    near(0.005 * domain_loss(out, False, (64, 64)), 0.0034613700882689)


def test_spatial_softmax_sums_to_one_over_positions():
    out = spatial_softmax(fill((2, 8, 16, 16), 3, 2))
    assert torch.allclose(out.sum((-2, -1)), torch.ones(2, 8, dtype=torch.float64))


def test_pseudo_labels_give_the_reference_numbers():
    factor = torch.tensor([1.01, 1.01, 1.51, 1.51, 2.01, 2.01], dtype=torch.float64)
    logits = fill((2, 6, 8, 8), 1, 6)
    found = quality_weighted(logits, None, factor)
    near(found.quality, 0.09375)
    assert torch.bincount(found.label.flatten(), minlength=6).tolist() == [28, 25, 19, 14, 14, 28]
    near(found.weight.sum(), 10.5946875)
    assert sorted({round(float(w), 7) for w in found.weight.flatten()}) == [0.046875, 0.0946875, 0.1884375]
    classes = torch.tensor([1, 1, 1, 1.25, 1.5, 1.5], dtype=torch.float64)
    y = torch.arange(128).reshape(2, 8, 8) % 7
    y[y == 6] = 255
    assert int((y == 255).sum()) == 18
    near(cross_entropy(logits, y, classes), 5.950460726848572)
    near(torch.nn.functional.cross_entropy(logits, y, classes, ignore_index=255), 5.748369607823527)
    near(cross_entropy(logits, found.label, classes, found.weight), 0.0199474394, 1e-8)


def test_invalid_pixels_have_no_weight_and_no_say_in_the_quality():
    logits = fill((2, 6, 8, 8), 1, 6)
    valid = torch.zeros(2, 8, 8, dtype=torch.bool)
    found = quality_weighted(logits, valid, None)
    assert float(found.quality) == 0 and float(found.weight.sum()) == 0
    valid[0] = True
    found = quality_weighted(logits, valid, None)
    assert float(found.weight[1].sum()) == 0
    near(found.quality, quality_weighted(logits[:1], None, None).quality)


def test_teacher_follows_by_the_published_schedule():
    assert [decay(i, 0.999) for i in (1, 2, 9)] == [0.5, pytest.approx(2 / 3), 0.9]
    assert decay(998, 0.999) == pytest.approx(1 - 1 / 999) and decay(999, 0.999) == decay(10**6, 0.999) == 0.999
    student = torch.nn.Linear(1, 1, bias=False).double()
    teacher, expected = Teacher(student), float(student.weight)
    for i in range(1, 6):
        with torch.no_grad():
            student.weight.fill_(i)
        teacher.update(student)
        expected = decay(i, 0.999) * expected + (1 - decay(i, 0.999)) * i
        near(teacher.module.weight, expected)


def test_teacher_shares_no_storage_takes_no_gradient_and_stays_in_eval_mode():
    student = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3))
    teacher = Teacher(student)
    teacher.train()
    assert not teacher.module[1].training and not any(p.requires_grad for p in teacher.parameters())
    assert not {p.data_ptr() for p in teacher.parameters()} & {p.data_ptr() for p in student.parameters()}


def test_discriminators_are_scaled_to_the_crop_or_refused():
    assert strided_layers(12, 2) == 2  # the paper's crop of 384 at stride 32
    assert strided_layers(11, 2) == 1 and strided_layers(6, 2) == 1
    for cells, strided in ((6, 1), (12, 2), (48, 3)):
        assert Discriminator(4, 4, strided)(torch.rand(2, 4, cells, cells)).isfinite().all()
    with pytest.raises(InputError, match="6 x 6"):
        strided_layers(5, 2)


# ---- the whole step -------------------------------------------------------------------------------------------------

LEGEND = Legend(("road", "roof", "tree"), (((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),)))
SPEC = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, (0.5,) * 3, (0.25,) * 3, LEGEND)
ARCH = Architecture("mobilenet_v2", "segformer", 3, 3, 32)


def method(arch=ARCH, spec=SPEC, **options):
    return STDASegNet(NetworkBuilder(arch, spec), options_of("st-dasegnet", {"strided": 1, **options}))


def batch(size=192):
    generator = torch.Generator().manual_seed(1)
    data = {
        "source_image": torch.randn(2, 3, size, size, generator=generator),
        "source_label": torch.randint(0, 3, (2, size, size), generator=generator).to(torch.uint8),
        "source_valid": torch.ones(2, size, size, dtype=torch.bool),
        "target_image": torch.randn(2, 3, size, size, generator=generator),
        "target_valid": torch.ones(2, size, size, dtype=torch.bool),
        "key": torch.tensor([5, 6]),
    }
    return data | {"target_distorted": data["target_image"]}


def test_one_backward_gives_the_gradients_of_the_two_stage_loop():
    """The sum has adversarial terms with frozen discriminators, and the discriminators' own loss on detached features."""
    m = method(pseudo_weight=0.0, adversarial_weight=0.7, class_weights="none")
    data = batch()
    m.loss(data)[0].backward()
    at_once = {n: p.grad.clone() for n, p in m.named_parameters() if p.grad is not None}

    m.zero_grad()
    x_s, x_t, y, size = data["source_image"], data["target_image"], data["source_label"], (192, 192)
    net = m.model
    f_ss, f_st = net.backbone_s(x_s), net.backbone_t(x_s)
    g_ss, g_st = net.separate(f_ss, f_st)
    f_ts, f_tt = net.backbone_s(x_t), net.backbone_t(x_t)
    first = sum(
        cross_entropy(torch.nn.functional.interpolate(head(g)[1], size, mode="bilinear"), y)
        for head, g in ((net.head_s, g_ss), (net.head_t, g_st))
    )
    first = first + 0.7 * domain_loss(m.discriminator_s(spatial_softmax(f_ts[-1])), True, size)
    first = first + 0.7 * domain_loss(m.discriminator_t(spatial_softmax(f_st[-1])), True, size)
    first.backward()
    for discriminator in (m.discriminator_s, m.discriminator_t):
        discriminator.zero_grad()
    for discriminator, real, fake in ((m.discriminator_s, f_ss, f_ts), (m.discriminator_t, f_tt, f_st)):
        loss = domain_loss(discriminator(spatial_softmax(real[-1].detach())), True, size)
        loss = loss + domain_loss(discriminator(spatial_softmax(fake[-1].detach())), False, size)
        (0.7 * loss).backward()
    for name, grad in at_once.items():
        wanted = dict(m.named_parameters())[name].grad
        assert torch.allclose(grad, wanted, atol=1e-6, rtol=1e-4), name


def test_nodata_takes_no_part_in_the_adversarial_game():
    """Whatever a discriminator makes of pixels without data, of half an image and of a whole one, moves no loss."""
    feature = torch.randn(3, 4, 12, 12, generator=torch.Generator().manual_seed(2), requires_grad=True)
    valid = torch.ones(3, 24, 24, dtype=torch.bool)
    valid[0, :, :12] = False
    valid[1] = False
    mask = data_mask(valid, (12, 12))
    assert float(mask.weight.mean()) == pytest.approx(1) and not mask.weight[1].any()
    assert torch.equal(mask.weight[0, 0] > 0, valid[0])
    out = spatial_softmax(feature, mask.cells)
    assert torch.allclose(out.sum((-2, -1)), torch.ones(3, 4)) and not out[0, :, :, :6].any()
    assert torch.equal(out[2], spatial_softmax(feature)[2])
    loss = domain_loss(out.mean(1, keepdim=True), True, (24, 24), mask.weight)
    loss.backward()
    assert loss.isfinite() and feature.grad.isfinite().all()
    assert not feature.grad[0, :, :, :6].any() and not feature.grad[1].any() and feature.grad[2].any()
    logits = torch.randn(3, 1, 24, 24)
    there = valid.clone()[:, None]
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits[there], torch.ones(int(there.sum())))
    assert torch.allclose(domain_loss(logits, True, (24, 24), mask.weight), wanted)
    none = data_mask(torch.zeros_like(valid), (12, 12))
    assert float(domain_loss(logits, True, (24, 24), none.weight)) == 0


def test_with_all_pixels_valid_the_adversarial_game_is_the_same_to_the_bit():
    feature, logits = torch.randn(2, 4, 12, 12), torch.randn(2, 1, 3, 3)
    mask = data_mask(torch.ones(2, 96, 96, dtype=torch.bool), (12, 12))
    assert torch.equal(spatial_softmax(feature, mask.cells), spatial_softmax(feature))
    assert torch.equal(domain_loss(logits, False, (96, 96), mask.weight), domain_loss(logits, False, (96, 96)))


def test_the_target_is_distorted_unless_its_option_says_no():
    data = batch() | {"target_distorted": torch.zeros(2, 3, 192, 192)}
    losses = [float(method(distort_target=choice).loss(data)[0]) for choice in (True, False)]
    assert losses[0] != losses[1]
    wanted = float(method(distort_target=False).loss(data | {"target_image": data["target_distorted"]})[0])
    assert losses[0] == wanted


def test_statistics_follow_the_target_only_when_asked():
    def moved(**options):
        torch.manual_seed(0)
        m = method(**options)
        m.loss(batch())
        return next(b.clone() for n, b in m.model.named_buffers() if n.endswith("running_mean"))

    both, target = moved(statistics="both"), moved(statistics="target")
    assert not torch.equal(both, target)
    m = method(statistics="target")
    m.model.backbone_s(batch()["target_image"])
    alone = next(b for n, b in m.model.named_buffers() if n.endswith("running_mean"))
    assert torch.allclose(target, alone, atol=1e-6)


def test_separate_labels_differ_from_shared_ones():
    data = batch()
    shared, separate = method(pseudo_labels="shared"), method(pseudo_labels="separate")
    for m in (shared, separate):
        net = m.model.eval()
        f = net.separate(net.backbone_s(data["target_image"]), net.backbone_t(data["target_image"]))
        s, t = m._label(*f, data)
        assert torch.equal(s.label, t.label) == (m is shared)


@pytest.mark.parametrize("option", ["pseudo_labels", "statistics", "quality"])
def test_an_unknown_choice_is_named(option):
    with pytest.raises(InputError, match=option):
        method(**{option: "nonsense"})


def test_the_papers_class_weights_serve_its_own_legends_only():
    """'road' is a class of LoveDA, and of others whose rare classes are not LoveDA's."""
    assert method().weight_s.tolist() == method().factor.tolist() == [1, 1, 1]
    assert method(class_weights=[1, 2, 3]).weight_t.tolist() == [1, 2, 3]
    names = ("impervious surface", "building", "low vegetation", "tree", "car", "clutter")
    legend = Legend(names, tuple(((k, k, k),) for k in range(6)))
    spec = Spec(SPEC.bands, 0.5, SPEC.low, SPEC.high, SPEC.mean, SPEC.std, legend)
    isprs = method(Architecture("mobilenet_v2", "segformer", 6, 3, 32), spec)
    assert isprs.weight_s.tolist() == [1, 1, 1, 1.25, 1.5, 1.5] and isprs.factor.tolist() == [1, 1, 1.5, 1.5, 2, 2]
    assert isprs.weight_t.tolist() == [1, 1, 1.25, 1.25, 1.5, 1.5]


@pytest.mark.parametrize(
    ("task", "s", "t"),
    [
        ("potsdam-vaihingen", [1, 1, 1, 1.25, 1.5, 1.5], [1, 1, 1.25, 1.25, 1.5, 1.5]),
        ("vaihingen-potsdam", [1, 1, 1.25, 1.25, 1.5, 1.5], [1, 1, 1.25, 1.25, 1.5, 1.5]),
        ("isprs-resnet50", [1, 1, 1, 1.25, 1.5, 1.5], [1, 1, 1, 1.25, 1.5, 1.5]),
    ],
)
def test_each_task_of_the_paper_has_its_own_class_weights(task, s, t):
    weights = paper_weights(task, ISPRS)
    assert weights[1:] == (tuple(s), tuple(t), (1, 1, 1.5, 1.5, 2, 2))
    turned = paper_weights(task, ISPRS[::-1])
    assert turned.h_s == tuple(s[::-1]) and turned.c == weights.c[::-1]
    with pytest.raises(InputError, match=f"option class_weights is {task}, a task with the classes impervious surface"):
        method(class_weights=task)


def test_loveda_has_weights_of_both_directions():
    there, back = (paper_weights(task, LOVEDA) for task in ("rural-urban", "urban-rural"))
    assert there.h_s == there.h_t == (1.25, 1, 1.25, 1, 1.5, 1.25, 1) and there.c == (1.5, 1, 1.5, 1, 2, 1.5, 1)
    assert back.h_s == back.h_t == (1, 1.25, 1.25, 1, 1.5, 1.5, 1.25) and back.c == (1, 1.5, 1.5, 1, 2, 2, 1.5)
    assert paper_weights("paper", LOVEDA) == there
