"""The loss of each method and its gradients, against the formula of its paper written out on the method's own parts."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.cells import labels_on_grid
from rsuda.learning.network import Architecture, build_encoder
from rsuda.learning.two_resolution_network import cut, inside, pasted_on_grid, random_boxes, uncertain_boxes
from rsuda.methods import find_method, options_of
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks.contrast import features_at, pixel_contrast, points, two_resolution_contrast
from rsuda.methods.blocks.masking import block_mask
from rsuda.methods.blocks.mixing import class_mask
from rsuda.methods.blocks.prototypes import masked_average, prototype_contrast, transfer

NAMES = ("impervious surface", "building", "low vegetation", "tree", "car", "clutter")
LEGEND = Legend(NAMES, tuple(((k, k, k),) for k in range(6)))
SPEC = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, (0.5,) * 3, (0.25,) * 3, LEGEND)
ARCH = Architecture("tu-mobilenetv3_small_050", "segformer", 6, 3, 8, output_stride=16)
SIZE = 128
H_S = torch.tensor([1, 1, 1, 1.25, 1.5, 1.5], dtype=torch.float64)
H_T = torch.tensor([1, 1, 1.25, 1.25, 1.5, 1.5], dtype=torch.float64)
C = torch.tensor([1, 1, 1.5, 1.5, 2, 2], dtype=torch.float64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An encoder file, as pretraining would leave it."""
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("encoder") / "encoder.pth"
    torch.save(build_encoder(ARCH).state_dict(), file)
    return str(file)


def method_of(name, weights="none", **options):
    statistics = (SPEC.mean, SPEC.std)
    build = NetworkBuilder(ARCH, SPEC, weights, augmentation=Augmentation(statistics, statistics))
    torch.manual_seed(1)
    method = find_method(name)(build, options_of(name, options)).double()
    method.step, method.steps = 1, 2
    with torch.no_grad():  # an encoder that has moved away from its first weights, and a teacher from its student
        for parameter in method.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return method


def batch():
    """Patches with ignored and empty pixels; each source patch has cells that one thing covers, and thin objects."""
    draw = torch.Generator().manual_seed(1)
    blocks = torch.tensor([[[1, 4], [0, 2]], [[4, 3], [1, 5]]])
    label = blocks.repeat_interleave(SIZE // 2, 1).repeat_interleave(SIZE // 2, 2)
    label[:, 40:44], label[:, :, 70:75], label[:, -9:] = 2, 5, 255
    valid = torch.ones(2, 2, SIZE, SIZE, dtype=torch.bool)
    valid[0, :, -9:], valid[1, 0, :, :40], valid[1, 1, :50] = False, False, False
    images = torch.randn(2, 2, 3, SIZE, SIZE, generator=draw, dtype=torch.float64)
    images = images + torch.randn(2, 2, 3, 4, 4, generator=draw).repeat_interleave(32, -1).repeat_interleave(32, -2)
    return {
        "source_image": images[0], "source_label": label, "source_valid": valid[0],
        "target_image": images[1], "target_valid": valid[1], "target_distorted": 0.7 * images[1] + 0.2,
        "key": torch.tensor([5, 2**61]),
    }  # fmt: skip


def ce(logits, label, weight=1.0, by_class=None):
    """Mean over all pixels of weight * cross entropy; ignored pixels count 0."""
    return (weight * F.cross_entropy(logits, label, by_class, ignore_index=255, reduction="none")).mean()


def up(x, size=(SIZE, SIZE)):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


@torch.no_grad()
def shares(logits, valid, threshold):
    """(confidence, label, share of the valid pixels that are sure), which lies between 0 and 1."""
    confidence, label = logits.softmax(1).max(1)
    q = ((confidence >= threshold) & valid).sum() / valid.sum()
    assert 0.02 < q < 0.98
    return confidence, label, q.double()


def mixture(m, data):
    """x_m, y_m, q_m, and the teacher's labels with their weights."""
    x_s, y_s, x_t, key = data["source_image"], data["source_label"], data["target_image"], data["key"]
    with torch.no_grad():
        _, label, q = shares(m.teacher(x_t), data["target_valid"], m.options.threshold)
    pasted, trust = class_mask(y_s, key), q * data["target_valid"]
    x_m = torch.where(pasted[:, None], x_s, x_t)
    x_m = m.build.augmentation.strong(x_m, key, m.options.jitter)
    return x_m, torch.where(pasted, y_s, label), torch.where(pasted, 1.0, trust), label, trust


def seen(m, image, label, weight, key, uncertain=False):
    """Cross entropy of one or two resolutions, with what the other terms read."""
    if m.model.kind == "plain":
        out = m.model.network(image)
        return SimpleNamespace(ce=ce(out.logits, label, weight), deepest=out.pyramid[-1], image=image, out=out)
    out = m.model.with_detail(image, uncertain_boxes if uncertain else random_boxes(key, SIZE, SIZE))
    half, d = (SIZE // 2, SIZE // 2), m.options.detail_weight
    detail = ce(up(out.high_logits, half), cut(label, out.box, half), cut(weight, out.box, half))
    loss = (1 - d) * ce(out.logits, label, weight) + d * detail
    return SimpleNamespace(ce=loss, deepest=out.pyramid[-1], image=up(image, half), out=out)


def distance(m, view, label):
    """Mean over cells of which a building or a car covers 3/4 of the distance to the frozen encoder's feature."""
    with torch.no_grad():
        frozen = m.imagenet(view.image)[-1]
    cells = [F.adaptive_avg_pool2d((label == k)[:, None].double(), frozen.shape[-2:])[:, 0] >= 0.75 for k in (1, 4)]
    chosen = cells[0] | cells[1]
    assert 0 < chosen.sum() < chosen.numel()
    return (view.deepest - frozen).norm(dim=1)[chosen].mean()


def self_training(m, data):
    """DACS, and with their own terms DAFormer, HRDA, MIC and CLUDA."""
    o, x_s, y_s, key = m.options, data["source_image"], data["source_label"], data["key"]
    certain = torch.ones(y_s.shape, dtype=torch.float64)
    source = seen(m, x_s, y_s, certain, key)
    x_m, y_m, q_m, label, trust = mixture(m, data)
    mixed = seen(m, x_m, y_m, q_m, key, uncertain=hasattr(o, "uncertain_from"))
    loss = source.ce + o.mix_weight * mixed.ce
    if hasattr(o, "distance_weight"):
        loss = loss + o.distance_weight * distance(m, source, y_s)
    if hasattr(o, "masked_weight"):
        x_masked = m.build.augmentation.strong(data["target_image"], key + 1, o.jitter)
        x_masked = x_masked * block_mask(x_masked, key, SIZE // 16, o.mask_ratio)
        loss = loss + o.masked_weight * seen(m, x_masked, label, trust, key).ce
    if hasattr(o, "contrast_weight"):
        of_mixed = contrast(m, mixed.out, y_m, q_m, key)
        loss = loss + o.contrast_weight * (contrast(m, source.out, y_s, certain, key) + o.mix_weight * of_mixed)
    return loss


def contrast(m, out, label, weight, key):
    grid, o = (SIZE // 8, SIZE // 8), m.options
    chosen = points(label, weight, grid, key, o.pixels)
    assert 0 < len(chosen.place) <= o.pixels
    if m.model.kind == "plain":
        return pixel_contrast(F.normalize(features_at(out.fused, grid, chosen.place), dim=1), chosen, o.temperature)
    whole, half = (SIZE, SIZE), (SIZE // 2, SIZE // 2)
    near, far = (features_at(f, grid, chosen.place) for f in (out.low, pasted_on_grid(out.high, out.box, whole)))
    within = inside(out.box, half, whole, 8).flatten()[chosen.place] > 0
    assert 0 < within.sum() < len(within)
    w = up(m.weigher(out.pyramid)[1], grid).sigmoid().flatten()[chosen.place]
    near, far = F.normalize(near, dim=1), F.normalize(far, dim=1)
    return two_resolution_contrast(near, far, within, w, chosen, o.temperature)


def bicl(m, data):
    """BiCL with static labels of the surest pixels of each class and of each image, and dynamic ones elsewhere."""
    o, y_s, valid = m.options, data["source_label"], data["target_valid"]
    confidence, label, _ = shares(m.labeller(data["target_image"]), valid, 0.25)
    keep = torch.zeros_like(valid)
    for k in range(6):
        of_class = confidence[(label == k) & valid].sort(descending=True).values
        if len(of_class):
            keep |= (label == k) & (confidence >= of_class[max(1, round(o.keep_share * len(of_class))) - 1])
    for image, sure, ok in zip(keep, confidence, valid, strict=True):
        image |= sure >= sure.where(ok, -1.0).flatten().sort(descending=True).values[round(o.keep_share * SIZE**2) - 1]
    y_f = label.where(keep & valid, 255)

    source, target = m.model.network(data["source_image"]), m.model.network(data["target_image"])
    grid = source.fused.shape[-2:]
    g_s, g_f = labels_on_grid(y_s, 6, grid), labels_on_grid(y_f, 6, grid)
    shown = F.adaptive_avg_pool2d(valid[:, None].double(), grid)[:, 0] >= 0.5
    rho_s = masked_average(source.fused, g_s, 6)
    m.calibration.update(rho_s, masked_average(target.fused, g_f, 6))
    dynamic = transfer(target.fused, m.calibration(rho_s), o.temperature, o.threshold)
    g_t = torch.where((g_f == 255) & shown, dynamic, g_f)
    assert ((g_f == 255) & (g_t != 255)).any() and (g_t == 255).any()
    rho_t = masked_average(target.fused, g_t, 6)
    both = rho_s.present & rho_t.present
    fcl = prototype_contrast(target.fused, g_t, rho_s, both, o.temperature)
    bcl = prototype_contrast(source.fused, g_s, rho_t, both, o.temperature)

    def entropy(logits, where):
        p = logits.softmax(1)
        return -(p * p.log()).sum(1)[where].mean()

    if o.ce_on_hybrid:
        fine = g_t.repeat_interleave(SIZE // grid[0], 1).repeat_interleave(SIZE // grid[1], 2)
        y_f = torch.where((y_f == 255) & valid, fine, y_f)
    h = entropy(source.logits, data["source_valid"]) + o.target_weight * entropy(target.logits, valid)
    on_target = o.target_weight * F.cross_entropy(target.logits, y_f, ignore_index=255)
    contrasts = o.forward_weight * fcl + o.backward_weight * bcl
    return ce(source.logits, y_s) + on_target + o.entropy_weight * h + contrasts


OWN = {"teacher_statistics": "student", "threshold": 0.25}
MIX = OWN | {"mix_weight": 0.7}
THINGS = MIX | {"distance_weight": 0.03}
CONTRAST = {"contrast_weight": 0.6, "temperature": 0.4, "pixels": 200, "uncertain_from": 0.5}
BICL = {"forward_weight": 0.3, "backward_weight": 0.7, "threshold": 0.3, "temperature": 0.5, "calibration": 0.5}
BICL |= {"teacher_statistics": "student", "keep_share": 0.2, "source_only_share": 0.0}


@pytest.mark.parametrize(
    ("name", "options", "formula"),
    [
        ("dacs", MIX, self_training),
        ("daformer", THINGS, self_training),
        ("hrda", THINGS | {"detail_weight": 0.2}, self_training),
        ("mic", THINGS | {"resolutions": 1, "masked_weight": 0.4}, self_training),
        ("mic", THINGS | {"masked_weight": 0.4}, self_training),
        ("cluda", THINGS | CONTRAST | {"resolutions": 1}, self_training),
        ("cluda", THINGS | CONTRAST, self_training),
        ("bicl", BICL, bicl),
        ("bicl", BICL | {"ce_on_hybrid": True}, bicl),
    ],
)
def test_the_loss_and_its_gradient_are_those_of_the_formula(name, options, formula, weights):
    method, data = method_of(name, weights, **options), batch()
    other = copy.deepcopy(method)
    loss, _ = method.loss(data)
    wanted = formula(other, data)
    loss.backward(), wanted.backward()
    assert torch.allclose(loss, wanted, rtol=1e-6)
    assert_same_gradients(method, other)


@pytest.mark.parametrize("resolutions", [1, 2])
def test_cluda_contrasts_from_its_share_of_the_run_on(resolutions):
    """Half of the run is done."""
    terms = [
        method_of("cluda", **MIX, resolutions=resolutions, contrast_from=share).loss(batch())[1] for share in (0.5, 0.6)
    ]
    assert all(terms[0][name] > 0 and terms[1][name] == 0 for name in ("contrast", "mix_contrast"))


def assert_same_gradients(method, other):
    reached = 0
    for (name, one), two in zip(method.named_parameters(), other.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        if one.grad is not None:
            reached += 1
            assert torch.allclose(one.grad, two.grad, rtol=1e-4, atol=1e-5 * float(two.grad.abs().max()) + 1e-9), name
    assert reached > 10


@pytest.mark.parametrize("adversary", ["least-squares", "cross-entropy"])
def test_adaptsegnet_has_the_gradients_of_its_two_stages(adversary):
    m, data = method_of("adaptsegnet", adversarial_weight=0.3, channels=4, adversary=adversary), batch()
    other = copy.deepcopy(m)
    loss, _ = m.loss(data)
    loss.backward()

    def gan(answer, real):
        to = torch.full_like(answer, real)
        return (
            F.mse_loss(answer, to) if adversary == "least-squares" else F.binary_cross_entropy_with_logits(answer, to)
        )

    def maps(logits, valid):
        return torch.where(valid[:, None], logits.softmax(1), 1 / 6)

    logits_s, logits_t = other.model(data["source_image"]), other.model(data["target_image"])
    p_s, p_t = maps(logits_s, data["source_valid"]), maps(logits_t, data["target_valid"])
    first = ce(logits_s, data["source_label"]) + 0.3 * gan(other.discriminator(p_t), 1.0)
    first.backward()
    other.discriminator.zero_grad()
    second = (gan(other.discriminator(p_s.detach()), 1.0) + gan(other.discriminator(p_t.detach()), 0.0)) / 2
    second.backward()
    assert torch.allclose(loss, first + second)
    assert_same_gradients(m, other)


@pytest.mark.parametrize("labels", ["shared", "separate"])
def test_st_dasegnet_has_the_gradients_of_its_two_stages(labels):
    """With the class weights of Potsdam to Vaihingen, which differ between the students."""
    options = {"strided": 1, "pseudo_labels": labels, "certain": 0.4, "trusted": 0.3, "adversarial_weight": 0.02}
    m, data = method_of("st-dasegnet", pseudo_weight=0.6, **options), batch()
    other = copy.deepcopy(m)
    loss, _ = m.loss(data)
    loss.backward()

    net, x_s, y_s, x_t = other.model, data["source_image"], data["source_label"], data["target_distorted"]
    in_s, in_t = data["source_valid"], data["target_valid"]
    f_ss, f_st, f_ts, f_tt = (b(x) for x in (x_s, x_t) for b in (net.backbone_s, net.backbone_t))
    (g_ss, g_st), (g_ts, g_tt) = net.disentangle(f_ss, f_st), net.disentangle(f_ts, f_tt)
    p_ss, p_st, p_ts, p_tt = (
        up(head(g)[1]) for head, g in zip((net.head_s, net.head_t) * 2, (g_ss, g_st, g_ts, g_tt), strict=True)
    )
    with torch.no_grad():
        by_s, by_t = other.teacher_s(g_ts)[1], other.teacher_t(g_tt)[1]
    used = ((by_s + by_t) / 2,) * 2 if labels == "shared" else (by_s, by_t)
    first = ce(p_ss, y_s, by_class=H_S) + ce(p_st, y_s, by_class=H_T)
    for p, by, by_class in ((p_ts, used[0], H_S), (p_tt, used[1], H_T)):
        confidence, label, q = shares(up(by), in_t, 0.4)
        assert 0.02 < (confidence >= 0.3).double().mean() < 0.98
        weight = q * torch.where(confidence >= 0.3, C[label], 0.5) * in_t
        first = first + 0.6 * ce(p, label, weight, by_class)

    cells = f_ss[-1].shape[-2:]

    def judged(judge, f, valid, real):
        there = F.adaptive_avg_pool2d(valid[:, None].double(), cells) >= 0.5
        of_position = f[-1].masked_fill(~there, -torch.inf).flatten(2).softmax(-1).view_as(f[-1])
        answer = up(judge(of_position))[:, 0][valid]
        return F.binary_cross_entropy_with_logits(answer, torch.full_like(answer, real))

    d_s, d_t = other.discriminator_s, other.discriminator_t
    first = first + 0.02 * (judged(d_s, f_ts, in_t, 1.0) + judged(d_t, f_st, in_s, 1.0))
    first.backward()
    d_s.zero_grad(), d_t.zero_grad()
    ss, st, ts, tt = ([f[-1].detach()] for f in (f_ss, f_st, f_ts, f_tt))
    second = judged(d_s, ss, in_s, 1.0) + judged(d_s, ts, in_t, 0.0) + judged(d_t, tt, in_t, 1.0)
    second = 0.02 * (second + judged(d_t, st, in_s, 0.0))
    second.backward()
    assert torch.allclose(loss, first + second, rtol=1e-6)
    assert_same_gradients(m, other)
