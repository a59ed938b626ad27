"""The loss of source-free and its gradient, against its formula written out on the method's own parts."""

import copy

import pytest
import torch
from torch.nn import functional as F

from rsuda.core.legend import Legend
from rsuda.core.spec import Spec
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.network import Architecture, build_encoder
from rsuda.learning.source_bank import SourceBank
from rsuda.methods import options_of
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks.mixing import class_mask
from rsuda.methods.source_free import SourceFree

LEGEND = Legend(("road", "roof", "tree"), (((1, 1, 1),), ((2, 2, 2),), ((3, 3, 3),)))
SPEC = Spec(("red", "green", "blue"), 0.5, (0,) * 3, (255,) * 3, (0.5,) * 3, (0.25,) * 3, LEGEND)
ARCH = Architecture("tu-mobilenetv3_small_050", "segformer", 3, 3, 8, output_stride=16)
SIZE = 96


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    """A method that adapts a start with a bank of three classes, of which the last has no cell."""
    torch.manual_seed(3)
    file, encoder = tmp_path_factory.mktemp("encoder") / "encoder.pth", build_encoder(ARCH)
    torch.save(encoder.state_dict(), file)
    width = sum([c for c in encoder.out_channels if c][-4:][:3])
    means = torch.randn(3, width) * torch.tensor([1.0, 1.0, 0.0])[:, None]
    shares, cells = torch.tensor([0.6, 0.4, 0.0]), torch.tensor([9, 4, 0])
    bank = SourceBank(means, 0.5 + torch.rand(width), cells, shares, torch.tensor(True))
    statistics = (SPEC.mean, SPEC.std)
    build = NetworkBuilder(
        ARCH, SPEC, str(file), augmentation=Augmentation(statistics, statistics), start={"network": "plain"}, bank=bank,
        has_source=False,
    )  # fmt: skip
    made = SourceFree(build, options_of("source-free", {"pseudo_weight": 0.7, "prototype_weight": 3.0})).double()
    made.step, made.steps = 1, 2
    return made


def batch():
    draw = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, SIZE, SIZE, generator=draw, dtype=torch.float64)
    image = image + torch.randn(2, 3, 4, 4, generator=draw).repeat_interleave(24, -1).repeat_interleave(24, -2)
    valid = torch.ones(2, SIZE, SIZE, dtype=torch.bool)
    valid[0, :, :40], valid[1, -20:] = False, False
    return {"target_image": image, "target_valid": valid, "key": torch.tensor([7, 2**61])}


def nearness(m, image):
    """The cosine of each cell with the means of classes, about the mean of those that have cells."""
    bank, cells = m.build.bank, m.cells(image).permute(0, 2, 3, 1)
    centre = bank.means[:2].double().mean(0)
    z, of_class = ((rows.double() - centre) / bank.deviation.double() for rows in (cells, bank.means[:2]))
    scores = F.cosine_similarity(z[..., None, :], of_class, dim=-1)
    scores = torch.cat([scores, torch.zeros_like(scores[..., :1])], -1).permute(0, 3, 1, 2)
    return F.interpolate(scores, size=(SIZE, SIZE), mode="bilinear", align_corners=False)


def test_the_loss_and_its_gradient_are_those_of_the_formula(method):
    m, data = copy.deepcopy(method), batch()
    other = copy.deepcopy(m)
    loss, _ = m.loss(data)
    loss.backward()

    x_t, valid, key = data["target_image"], data["target_valid"], data["key"]
    with torch.no_grad():
        p = other.teacher.predict(x_t).softmax(1) * (3.0 * nearness(other, x_t)).exp()
        confidence, label = (p / p.sum(1, keepdim=True)).max(1)
    trusted = torch.zeros_like(valid)
    for k in range(3):
        of_class = confidence[(label == k) & valid].sort(descending=True).values
        if len(of_class):
            trusted |= (label == k) & (confidence >= of_class[max(1, round(len(of_class) / 2)) - 1]) & valid
    pasted = class_mask(label.where(valid, 255).flip(0), key)
    assert 0 < pasted.sum() < pasted.numel() and (trusted & pasted).any()
    x_m = other.build.augmentation.strong(torch.where(pasted[:, None], x_t.flip(0), x_t), key, 0.2)
    y_m, q_m = torch.where(pasted, label.flip(0), label), torch.where(pasted, trusted.flip(0), trusted)
    wanted = 0.7 * (q_m * F.cross_entropy(other.model(x_m), y_m, reduction="none")).mean()
    wanted.backward()
    assert torch.allclose(loss, wanted, rtol=1e-6)
    for (name, one), two in zip(m.named_parameters(), other.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), name
        if one.grad is not None:
            assert torch.allclose(one.grad, two.grad, rtol=1e-4, atol=1e-5 * float(two.grad.abs().max()) + 1e-9), name
    assert m.model.network.decoder.classifier.weight.grad is None
