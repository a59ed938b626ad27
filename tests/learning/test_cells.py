"""Test cells: features of a frozen encoder that a border of an image does not change."""

import pytest
import torch
from torch.nn import functional as F

from rsuda.learning import cells
from rsuda.learning.cells import CellEncoder, cells_of
from rsuda.learning.network import Architecture, build_encoder


def encoder(name="mobilenet_v2", smooth=False):
    torch.manual_seed(0)
    return CellEncoder(build_encoder(Architecture(name, "segformer", 3, 3, 32, output_stride=16)), smooth=smooth)


@pytest.mark.parametrize("smooth", [False, True])
def test_cells_at_the_border_of_one_colour_are_those_inside(smooth, monkeypatch):
    image, module = torch.full((1, 3, 192, 192), 0.7), encoder(smooth=smooth)

    def unlike():
        maps = module(image)
        inside = maps[..., 11:13, 11:13].mean((-2, -1), keepdim=True)
        distance = (maps - inside).norm(dim=1)[0] / inside.norm()
        assert maps.shape[-2:] == cells_of(image)
        return distance[0].mean()  # of the upper row

    with_context = unlike()
    monkeypatch.setattr(cells, "CONTEXT", 0)
    assert with_context < 0.01 and unlike() > 0.1


def test_small_images_have_the_context_that_their_mirror_holds():
    module = encoder()
    assert module(torch.rand(1, 3, 32, 32)).shape[-2:] == (4, 4)
    image = torch.rand(1, 3, 64, 64)
    wide = module._cells(F.pad(image, (32,) * 4, mode="reflect"))
    assert torch.equal(module(image), wide[..., 4:12, 4:12])
