"""Layers that are swapped into borrowed encoders compute what those compute."""

import pytest
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.encoders.mix_transformer import Attention
from torch import nn

from rsuda.learning.decoders import in_a_row
from rsuda.learning.layers import FusedAttention, SkippingPointwise, StridedDepthwise, quicken


def gradients(module, out, image):
    module.zero_grad()
    return torch.autograd.grad(out.sin().sum(), [image, *module.parameters()])


@pytest.mark.parametrize(("heads", "reduced"), [(1, 4), (2, 2), (4, 1)])
def test_fused_attention_is_the_plain_one(heads, reduced):
    torch.manual_seed(0)
    plain = Attention(16, heads, qkv_bias=True, sr_ratio=reduced).double().train()
    for weight in plain.parameters():  # as it begins, attention is nearly even
        nn.init.normal_(weight, std=0.5)
    x = torch.randn(2, 64, 16, dtype=torch.float64, requires_grad=True)
    wanted = plain(x, 8, 8)
    wanted_gradients = gradients(plain, wanted, x)
    plain.__class__ = FusedAttention
    found = plain(x, 8, 8)
    assert torch.allclose(found, wanted, atol=1e-12, rtol=0) and found.std() > 0.01
    for one, other in zip(gradients(plain, found, x), wanted_gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-11, rtol=0)


def test_attention_trains_in_bfloat16_as_in_float32_but_for_rounding():
    torch.manual_seed(0)
    attention = Attention(64, 2, qkv_bias=True, sr_ratio=2).train()
    attention.__class__ = FusedAttention
    x = torch.randn(2, 256, 64, requires_grad=True)
    wanted = gradients(attention, attention(x, 16, 16), x)
    with torch.autocast("cpu", torch.bfloat16):
        found = attention(x, 16, 16)
    one, other = (torch.cat([g.flatten() for g in all]) for all in (gradients(attention, found.float(), x), wanted))
    assert float((one - other).norm()) < 0.03 * float(other.norm())


def test_a_mix_transformer_is_quickened_and_answers_the_same():
    torch.manual_seed(0)
    encoder = smp.encoders.get_encoder("mit_b0", weights=None).eval()
    image = torch.rand(1, 3, 64, 64)
    names = list(encoder.state_dict())
    with torch.no_grad():
        wanted = encoder(image)
        quicken(encoder)
        found = encoder(image)
    assert sum(isinstance(m, FusedAttention) for m in encoder.modules()) == 8
    assert list(encoder.state_dict()) == names
    for one, other in zip(found[2:], wanted[2:], strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))


def test_only_strided_depthwise_convolutions_are_swapped():
    encoder = smp.encoders.get_encoder("mobilenet_v2", weights=None)
    quicken(encoder)
    swapped = [m for m in encoder.modules() if isinstance(m, StridedDepthwise)]
    assert len(swapped) == 4 and all(m.groups == m.in_channels and m.stride == (2, 2) for m in swapped)


@pytest.mark.parametrize("side", [2, 9])  # the product of the weights costs more below 4 x 4
@pytest.mark.parametrize("bias", [True, False])
def test_two_convolutions_in_a_row_are_one(side, bias):
    torch.manual_seed(0)
    first, second = nn.Conv2d(16, 5, 1, bias=bias).double(), nn.Conv2d(5, 7, 1, bias=False).double()
    both = nn.Sequential(first, second)
    x = torch.randn(2, 16, side, side, dtype=torch.float64, requires_grad=True)
    wanted, found = both(x), in_a_row(first, second, x)
    assert found.shape == wanted.shape and torch.allclose(found, wanted, atol=1e-12, rtol=0)
    for one, other in zip(gradients(both, found, x), gradients(both, wanted, x), strict=True):
        assert torch.allclose(one, other, atol=1e-11, rtol=0)


@pytest.mark.parametrize("channels", [3, 12])  # torch 2.15 ends the process here without the swap
def test_a_strided_convolution_of_few_channels_trains_in_channels_last_memory(channels):
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, 48, 1, stride=2)
    image = torch.randn(2, channels, 192, 192, requires_grad=True)
    wanted = gradients(plain, plain(image), image)
    encoder = nn.Sequential(plain)
    quicken(encoder.to(memory_format=torch.channels_last))
    assert type(encoder[0]) is SkippingPointwise
    found = gradients(encoder, encoder(image.contiguous(memory_format=torch.channels_last)), image)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))
