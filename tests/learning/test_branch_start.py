"""Test that a plain network starts both branches of a two-branch network without a change of its predictions."""

import pytest
import torch

from rsuda.core.errors import InputError
from rsuda.learning.branch_start import is_plain, load_plain
from rsuda.learning.network import Architecture, PlainNetwork
from rsuda.learning.two_branch_network import TwoBranchNetwork


def networks(decoder, disentangle):
    arch = Architecture("tu-mobilenetv3_small_050", decoder, 4, 3, 16, output_stride=16)
    torch.manual_seed(0)
    return PlainNetwork(arch).eval(), TwoBranchNetwork(arch, disentangle=disentangle).eval()


@pytest.mark.parametrize(
    ("decoder", "disentangle"),
    [("segformer", True), ("daformer", True), ("deeplabv2", True), ("deeplabv3plus", False), ("unet", False)],
)
def test_the_prediction_is_that_of_the_plain_network(decoder, disentangle):
    plain, two = networks(decoder, disentangle)
    image = torch.rand(2, 3, 64, 64)
    before = plain(image)
    assert not torch.allclose(two(image), before, atol=1e-3)
    assert is_plain(plain.state_dict()) and not is_plain(two.state_dict())
    load_plain(two, plain.state_dict())
    for answer in (two(image), two.source_branch(image)):
        assert torch.allclose(answer, before, atol=1e-5)


def test_a_decoder_that_mixes_levels_at_once_is_refused_with_the_disentangle_module():
    plain, two = networks("unet", True)
    with pytest.raises(
        InputError, match=r"decoder unet cannot start the disentangle module: .*'method.disentangle': False"
    ):
        load_plain(two, plain.state_dict())


def test_another_decoder_is_no_start():
    plain, _ = networks("daformer", True)
    with pytest.raises(RuntimeError, match=r"state_dict"):
        load_plain(networks("segformer", True)[1], plain.state_dict())
