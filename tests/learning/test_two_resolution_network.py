"""HRDA's two resolutions, and the decoders, against their plain formulations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from rsuda.learning.decoders import AllMLPDecoder, ContextDecoder, DilatedClassifier, SumOfBranches, four_deepest
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Architecture, Decoder
from rsuda.learning.two_resolution_network import (
    Detailed,
    TwoResolutionNetwork,
    cut,
    inside,
    pasted_on_grid,
    put,
    random_boxes,
    two_resolution_cross_entropy,
    uncertain_boxes,
)


def resized(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


# ---- windows --------------------------------------------------------------------------------------------------------


@st.composite
def windows(draw):
    """(corners (B, 2), window size, whole size), all on multiples of 8 px."""
    size, whole = [], []
    for _ in range(2):
        size.append(draw(st.integers(1, 6)))
        whole.append(size[-1] + draw(st.integers(0, 6)))
    corners = [[draw(st.integers(0, w - s)) for w, s in zip(whole, size, strict=True)] for _ in range(3)]
    return torch.tensor(corners) * 8, tuple(8 * n for n in size), tuple(8 * n for n in whole)


@given(windows(), st.sampled_from([1, 4, 8]))
@settings(max_examples=40, deadline=None)
def test_what_is_put_is_cut_again_and_nothing_else_is_there(window, scale):
    box, size, whole = window
    parts = torch.rand(3, 2, size[0] // scale, size[1] // scale) + 1
    there = put(parts, box, whole, scale)
    assert there.shape == (3, 2, whole[0] // scale, whole[1] // scale)
    assert torch.equal(cut(there, box, size, scale), parts)
    assert torch.equal((there > 0).all(1), inside(box, size, whole, scale).bool())
    assert int((there != 0).sum()) == parts.numel()


@given(windows())
@settings(max_examples=40, deadline=None)
def test_a_cut_holds_the_pixels_of_its_window_and_put_leaves_them_in_place(window):
    box, size, whole = window
    image = torch.rand(3, 2, *whole)
    part = cut(image, box, size)
    for item, p, (r, c) in zip(image, part, box.tolist(), strict=True):
        assert torch.equal(p, item[:, r : r + size[0], c : c + size[1]])
    assert torch.equal(put(part, box, whole, 1), image * inside(box, size, whole, 1)[:, None])
    label = torch.randint(0, 5, (3, *whole))
    assert torch.equal(cut(label, box, size), cut(label[:, None], box, size)[:, 0])


@given(st.integers(8, 40), st.integers(8, 40), st.lists(st.integers(0, 2**62), min_size=2, max_size=5, unique=True))
@settings(max_examples=40, deadline=None)
def test_random_windows_lie_inside_on_multiples_of_eight(rows, cols, keys):
    height, width = 8 * rows, 8 * cols
    box = random_boxes(torch.tensor(keys), height, width)
    assert box.shape == (len(keys), 2) and (box % 8 == 0).all() and (box >= 0).all()
    assert (box + torch.tensor([height // 2, width // 2]) <= torch.tensor([height, width])).all()
    assert torch.equal(random_boxes(torch.tensor(keys).flip(0), height, width), box.flip(0))


def test_random_windows_reach_every_place_equally_often():
    box = random_boxes(torch.arange(3000), 64, 96)
    places, count = box.unique(dim=0, return_counts=True)
    assert places.tolist() == [[r, c] for r in range(0, 33, 8) for c in range(0, 49, 8)]
    assert count.min() > 0.5 * 3000 / 35 and count.max() < 1.6 * 3000 / 35


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("col", [0, 1, 2])
def test_the_uncertain_window_is_found_in_each_image(row, col):
    """Certain everywhere but in one of the 3 x 3 windows of the first image, and in another one of the second."""
    logits = torch.zeros(2, 4, 16, 24)
    logits[:, 1] = 9
    logits[0, 1, 4 * row : 4 * row + 8, 6 * col : 6 * col + 12] = 0
    logits[1, 1, 4 * (2 - row) : 4 * (2 - row) + 8, :12] = 1
    assert uncertain_boxes(logits).tolist() == [[32 * row, 48 * col], [32 * (2 - row), 0]]


def test_the_most_uncertain_window_beats_a_larger_share_of_doubt_elsewhere():
    """Sharp uncertainty of a quarter of a window is less than slight doubt all over another one, by mean entropy."""
    logits = torch.zeros(1, 2, 16, 16)
    logits[:, 0] = 9
    logits[0, 0, :4, :4] = 0  # ln 2 in a quarter
    logits[0, 0, 8:, 8:] = 1.5  # 0.475 nats in all
    assert uncertain_boxes(logits).tolist() == [[64, 64]]


@pytest.mark.parametrize("size", [(64, 64), (64, 128), (192, 320)])
def test_uncertain_windows_fit_into_images_whose_sides_are_multiples_of_64(size):
    generator = torch.Generator().manual_seed(0)
    box = uncertain_boxes(torch.randn(30, 3, size[0] // 8, size[1] // 8, generator=generator))
    assert (box % 8 == 0).all()
    assert (box + torch.tensor(size) // 2 <= torch.tensor(size)).all() and len(box.unique(dim=0)) > 4


def test_features_of_the_detail_window_lie_at_their_place_of_the_grid():
    feature, box = torch.rand(2, 3, 8, 16) + 1, torch.tensor([[0, 64], [32, 8]])
    found = pasted_on_grid(feature, box, (64, 128))
    assert found.shape == (2, 3, 8, 16)
    assert torch.equal((found != 0).any(1), inside(box, (32, 64), (64, 128), 8).bool())
    # an average of 2 x 2 cells of stride 4 is a bilinear resize to half the size
    assert torch.allclose(cut(found, box, (32, 64), 8), F.avg_pool2d(feature, 2), atol=1e-6)


# ---- the network ----------------------------------------------------------------------------------------------------

CHOICE = (0.2, 0.5, 0.9)  # attention of the three classes


def network(choice=None):
    """An untrained network with batch-norm statistics that are not trivial; ``choice``: a constant attention."""
    torch.manual_seed(0)
    net = TwoResolutionNetwork(Architecture("mobilenet_v2", "segformer", 3, 3, 16))
    net.train()
    with torch.no_grad():
        net.with_detail(torch.randn(4, 3, 128, 128), torch.full((4, 2), 32))
        if choice is not None:
            net.attention.classifier.weight.zero_()
            net.attention.classifier.bias.copy_(torch.logit(torch.tensor(choice), eps=1e-7))
    return net.eval()


def image(height, width, number=2):
    return torch.randn(number, 3, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("size", [(64, 64), (70, 100), (33, 129), (1, 20)])
@torch.no_grad()
def test_logits_have_the_images_size_whatever_it_is(size):
    net, x = network(), image(*size, number=1)
    found = net(x)
    assert found.shape == (1, 3, *size) and found.isfinite().all()
    padded = F.pad(x, (0, -size[1] % 64, 0, -size[0] % 64), mode="replicate")
    assert torch.equal(found, net(padded)[..., : size[0], : size[1]])


@torch.no_grad()
def test_the_parts_of_a_detailed_batch_have_their_sizes():
    out = network().with_detail(image(128, 192), torch.tensor([[0, 64], [64, 8]]))
    assert isinstance(out, Detailed) and out.logits.shape == (2, 3, 128, 192)
    assert out.low_logits.shape == out.high_logits.shape == (2, 3, 16, 24)
    assert out.low.shape == out.high.shape == (2, 16, 16, 24)


@torch.no_grad()
def test_both_branches_are_the_same_network_on_half_the_image_and_on_the_window():
    net, x, box = network(), image(128, 128), torch.tensor([[0, 64], [40, 8]])
    out = net.with_detail(x, box)
    half = F.interpolate(x, size=(64, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(resized(net.network(half).fused, (16, 16)), resized(out.low, (16, 16)), atol=1e-5)
    fused, logits = net.network.decoder(net.network.encoder(cut(x, box, (64, 64))))
    assert torch.allclose(out.high, fused, atol=1e-5) and torch.allclose(out.high_logits, logits, atol=1e-5)


@torch.no_grad()
def test_outside_the_window_the_fused_logits_are_those_of_low_resolution():
    """Two bilinear steps carry the window's border by less than 6 px beyond it."""
    net, x = network(), image(128, 128)
    out = net.with_detail(x, torch.zeros(2, 2, dtype=torch.long))
    low = resized(resized(out.low_logits, (32, 32)), (128, 128))
    assert torch.allclose(out.logits[..., 70:, :], low[..., 70:, :], atol=1e-5)
    assert torch.allclose(out.logits[..., 70:], low[..., 70:], atol=1e-5)
    assert not torch.allclose(out.logits[..., :58, :58], low[..., :58, :58], atol=1e-3)


@pytest.mark.parametrize("choice", [CHOICE, (0.5,) * 3])
@torch.no_grad()
def test_inside_the_window_the_fused_logits_are_the_sum_weighted_by_attention(choice):
    net, x = network(choice), image(128, 128)
    out = net.with_detail(x, torch.zeros(2, 2, dtype=torch.long))
    a = torch.tensor(choice)[:, None, None]
    low = resized(resized(out.low_logits, (32, 32)), (128, 128))[..., :58, :58]
    high = resized(out.high_logits, (64, 64))[..., :58, :58]
    assert torch.allclose(out.logits[..., :58, :58], (1 - a) * low + a * high, atol=1e-5)
    assert not torch.allclose(low, high, atol=1e-2)


@torch.no_grad()
def test_the_weighted_sum_holds_for_an_attention_that_varies_over_the_image():
    net, x = network(), image(128, 128)
    with torch.no_grad():
        net.attention.classifier.weight.mul_(50)
    out = net.with_detail(x, torch.zeros(2, 2, dtype=torch.long))
    a = resized(net.attention(out.pyramid)[1], (16, 16)).sigmoid()
    assert a.std() > 0.01
    a[..., 8:, :], a[..., 8:] = 0, 0
    high = F.pad(out.high_logits, (0, 16, 0, 16))
    fused = resized((1 - a) * out.low_logits, (32, 32)) + resized(a, (32, 32)) * high
    assert torch.allclose(out.logits, resized(fused, (128, 128)), atol=1e-5)


@torch.no_grad()
def test_the_window_may_be_chosen_by_the_logits_of_low_resolution():
    net, x = network(), image(128, 128)
    seen = []

    def choose(low_logits):
        seen.append(low_logits)
        return torch.tensor([[64, 0], [8, 16]])

    out, fixed = net.with_detail(x, choose), net.with_detail(x, torch.tensor([[64, 0], [8, 16]]))
    assert torch.equal(seen[0], out.low_logits)
    assert torch.equal(out.logits, fixed.logits) and torch.equal(out.box, fixed.box)


@pytest.mark.parametrize("size", [(128, 128), (70, 150)])
@torch.no_grad()
def test_prediction_covers_the_whole_image_by_windows_of_detail(size):
    """No attention leaves the low resolution; full attention leaves the windows, of which a corner has one alone."""
    x = image(*size, number=1)
    padded = F.pad(x, (0, -size[1] % 64, 0, -size[0] % 64), mode="replicate")
    height, width = padded.shape[-2:]
    net = network((0.0,) * 3)
    half = F.interpolate(padded, size=(height // 2, width // 2), mode="bilinear", align_corners=False)
    low = resized(net.network.decoder(net.network.encoder(half))[1], (height // 8, width // 8))
    wanted = resized(resized(low, (height // 4, width // 4)), (height, width))
    assert torch.allclose(net(x), wanted[..., : size[0], : size[1]], atol=1e-5)

    net = network((1.0,) * 3)
    part = padded[..., : height // 2, : width // 2]
    corner = resized(net.network.decoder(net.network.encoder(part))[1], (height // 2, width // 2))
    rows, cols = height // 4 - 4, width // 4 - 4
    assert torch.allclose(net(x)[..., :rows, :cols], corner[..., :rows, :cols], atol=1e-5)


@torch.no_grad()
def test_overlapping_windows_of_detail_are_averaged():
    """Nine windows of half the image, a quarter of it apart."""
    net, x = network((1.0,) * 3), image(128, 128, number=1)
    windows = [(r, c) for r in (0, 32, 64) for c in (0, 32, 64)]
    total, count = torch.zeros(1, 3, 32, 32), torch.zeros(32, 32)
    for r, c in windows:
        logits = net.network.decoder(net.network.encoder(x[..., r : r + 64, c : c + 64]))[1]
        total[..., r // 4 : r // 4 + 16, c // 4 : c // 4 + 16] += logits
        count[r // 4 : r // 4 + 16, c // 4 : c // 4 + 16] += 1
    assert count.unique().tolist() == [1, 2, 4]
    assert torch.allclose(net(x), resized(total / count, (128, 128)), atol=1e-5)


def test_the_detail_loss_is_the_cross_entropy_in_the_windows():
    generator = torch.Generator().manual_seed(0)
    net, x, box = network(), image(128, 128), torch.tensor([[0, 64], [40, 8]])
    out = net.with_detail(x, box)
    label = torch.randint(0, 3, (2, 128, 128), generator=generator)
    weight = torch.rand(2, 128, 128, generator=generator)
    logits = resized(out.high_logits, (64, 64))
    rows = [(label[i, r : r + 64, c : c + 64], weight[i, r : r + 64, c : c + 64]) for i, (r, c) in enumerate(box)]
    y, q = (torch.stack(v) for v in zip(*rows, strict=True))
    wanted = F.cross_entropy(logits, y, reduction="none")
    assert torch.allclose(two_resolution_cross_entropy(out, label, 1.0), wanted.mean())
    assert torch.allclose(two_resolution_cross_entropy(out, label, 1.0, weight), (wanted * q).mean())
    assert torch.allclose(two_resolution_cross_entropy(out, label, 1.0), cross_entropy(logits, y))
    whole = cross_entropy(out.logits, label, pixel_weight=weight)
    mixed = two_resolution_cross_entropy(out, label, 0.1, weight)
    assert torch.allclose(mixed, 0.9 * whole + 0.1 * (wanted * q).mean())


# ---- decoders -------------------------------------------------------------------------------------------------------


def pyramid(channels, size=64, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    sizes = [size, *(size // 2**k for k in range(1, len(channels)))]
    return [torch.randn(2, c, n, n, generator=generator, dtype=dtype) for c, n in zip(channels, sizes, strict=True)]


def test_the_four_deepest_levels_are_those_at_strides_4_to_32():
    assert four_deepest([3, 16, 24, 32, 96, 320]) == [2, 3, 4, 5]
    assert four_deepest([3, 0, 64, 128, 320, 512]) == [2, 3, 4, 5]  # MiT has none at stride 2


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("channels", [[3, 4, 6, 8, 10, 12], [3, 0, 6, 8, 10, 12]])
def test_the_all_mlp_decoder_is_its_plain_formulation(channels, training):
    """Each level embedded, upsampled, concatenated, fused by one 1x1 convolution, batch norm, ReLU."""
    torch.manual_seed(0)
    body = AllMLPDecoder(channels, 7).double()
    with torch.no_grad():
        for statistic in (body.norm.running_mean, body.norm.weight, body.norm.bias):
            statistic.copy_(torch.randn(7))
        body.norm.running_var.copy_(torch.rand(7) + 0.5)
    norm = nn.BatchNorm2d(7).double()
    norm.load_state_dict(body.norm.state_dict())
    body.train(training), norm.train(training)
    levels = pyramid(channels)
    embedded = [F.conv2d(levels[k], e.weight, e.bias) for k, e in zip((2, 3, 4, 5), body.embed, strict=True)]
    wide = torch.cat([resized(e, (16, 16)) for e in embedded], 1)
    weight = torch.cat([f.weight for f in body.fuse], 1)
    assert weight.shape == (7, 28, 1, 1)
    wanted = norm(F.conv2d(wide, weight)).relu()
    found = body(levels)
    assert torch.allclose(found, wanted, atol=1e-10, rtol=0) and (found > 0).any() and (found == 0).any()


@pytest.mark.parametrize("channels", [[3, 4, 6, 8, 10, 12], [3, 0, 6, 8, 10, 12]])
def test_the_context_decoder_answers_at_stride_4_in_its_width(channels):
    body = ContextDecoder(channels, 8).double().eval()
    found = body(pyramid(channels))
    assert found.shape == (2, 8, 16, 16) and (found >= 0).all() and found.std() > 0
    dilations = [m.dilation[0] for m in body.context.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert dilations == [6, 12, 18] and len(body.context) == 4


def test_every_level_reaches_the_context_decoder():
    torch.manual_seed(0)
    levels = [x.requires_grad_() for x in pyramid([3, 4, 6, 8, 10, 12])]
    ContextDecoder([3, 4, 6, 8, 10, 12], 8).double().eval()(levels).sum().backward()
    assert [x.grad is not None and bool((x.grad != 0).any()) for x in levels] == [False, False, True, True, True, True]


def test_the_dilated_classifiers_branches_are_concatenated_and_summed():
    torch.manual_seed(0)
    levels = [*pyramid([3, 4, 6, 8, 10]), torch.randn(2, 12, 30, 30, dtype=torch.float64)]  # larger than all dilations
    body = DilatedClassifier(12, 5).double()
    found = body(levels)
    assert found.shape == (2, 20, 30, 30)
    total = torch.zeros(2, 5, 30, 30, dtype=torch.float64)
    for n, (dilation, branch) in enumerate(zip((6, 12, 18, 24), body.branches, strict=True)):
        one = F.conv2d(levels[-1], branch.weight, branch.bias, padding=dilation, dilation=dilation)
        assert torch.allclose(found[:, 5 * n : 5 * n + 5], one)
        total += one
    assert torch.allclose(SumOfBranches(5)(found), total)
    decoder = Decoder(Architecture("mobilenet_v2", "deeplabv2", 5), [3, 4, 6, 8, 10, 12]).double().eval()
    fused, logits = decoder(levels)
    assert decoder.width == 20 and fused.shape[1] == 20
    assert torch.allclose(logits, fused[:, :5] + fused[:, 5:10] + fused[:, 10:15] + fused[:, 15:])
