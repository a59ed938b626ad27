"""Test the views of a batch: which colours change, which do not, and what is drawn for them."""

import pytest
import torch
from kornia.color import rgb_to_hsv

from rsuda.core.settings import make_settings
from rsuda.learning.augmentation import Augmentation
from rsuda.methods import option_names, presets_of

STATISTICS = (([0.4] * 3, [0.2] * 3), ([0.5] * 3, [0.3] * 3))


def batch(images=8, size=16):
    generator = torch.Generator().manual_seed(3)
    return {
        "source_image": torch.rand(images, 3, size, size, generator=generator),
        "source_label": torch.randint(0, 4, (images, size, size), generator=generator),
        "source_valid": torch.rand(images, size, size, generator=generator) > 0.3,
        "target_image": torch.rand(images, 3, size, size, generator=generator),
        "target_valid": torch.rand(images, size, size, generator=generator) > 0.3,
        "key": torch.arange(images),
    }


def drawn(augment, kind, **words):
    torch.manual_seed(1)
    return getattr(augment, kind)(batch(), **words)


def test_the_targets_weak_view_keeps_its_colours():
    augment, raw = Augmentation(*STATISTICS), batch()
    found = drawn(augment, "target")
    assert set(found) == {"target_image", "target_valid"}
    plain = found["target_image"] * 0.3 + 0.5
    assert torch.allclose(plain.flatten(2).sort().values, raw["target_image"].flatten(2).sort().values, atol=1e-5)
    assert not torch.allclose(plain, raw["target_image"], atol=0.1)  # moved


def test_the_distorted_target_is_the_weak_view_in_other_colours_and_changes_no_other_draw():
    augment = Augmentation(*STATISTICS)
    weak, both = drawn(augment, "target"), drawn(augment, "target", distorted=True)
    assert all(torch.equal(both[k], v) for k, v in weak.items())
    changed = (both["target_distorted"] - both["target_image"]).abs().amax((1, 2, 3)) > 0.01
    assert 4 <= int(changed.sum()) <= 8
    plain = drawn(Augmentation(*STATISTICS, photometric=False), "target", distorted=True)
    assert torch.equal(plain["target_distorted"], weak["target_image"])


@pytest.mark.parametrize("kind", ["source", "target"])
def test_masks_move_with_their_image(kind):
    augment = Augmentation(*STATISTICS, photometric=False)
    raw = batch()
    valid = raw[f"{kind}_valid"]
    raw[f"{kind}_image"] = valid[:, None].float().expand(-1, 3, -1, -1)
    raw["source_label"] = raw["source_valid"].long()
    found = getattr(augment, kind)(raw)
    assert torch.equal(found[f"{kind}_image"][:, 0] > 0, found[f"{kind}_valid"])
    assert not torch.equal(found[f"{kind}_valid"], valid)
    if kind == "source":
        assert torch.equal(found["source_label"] > 0, found["source_valid"])


@pytest.mark.parametrize("hue", [0.0, 0.05, 0.1])
def test_the_hue_turns_by_its_share_of_the_circle_at_most(hue):
    augment = Augmentation(*STATISTICS, hue=hue)
    red = torch.tensor([0.6, 0.3, 0.3])[:, None, None].expand(300, 3, 4, 4)
    turned = rgb_to_hsv(augment.photometric(red))[:, 0, 0, 0] / (2 * torch.pi)
    turned = torch.minimum(turned, 1 - turned)
    assert float(turned.max()) <= hue + 1e-4 and float(turned.max()) >= 0.9 * hue


@pytest.mark.parametrize("name", ["paper", "mit-b0", "mit-b5", "resnet50"])
def test_st_dasegnet_turns_the_hue_as_its_released_code_does(name):
    changes = {"preset": name, "method.name": "st-dasegnet"}
    paper = make_settings(changes, presets_of=presets_of, option_names=option_names)
    assert paper.patches.hue == 0.1 and make_settings().patches.hue == 0.05
