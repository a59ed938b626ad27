"""Replace layers of borrowed encoders by faster and safer ones, by class, so that weights keep their names."""

from __future__ import annotations

import torch
from segmentation_models_pytorch.encoders.mix_transformer import Attention
from torch import Tensor, nn
from torch.nn import functional as F

_MOST_WEIGHTS = 1 << 22  # of attention that are held for an image, in bfloat16 on CPUs


class StridedDepthwise(nn.Conv2d):
    """On CPUs the gradient of a strided depthwise convolution takes 4 to 40 times as long in bfloat16 as in float32
    (torch 2.15). So there it is left in float32. The same weights and, but for rounding, the same result."""

    def forward(self, image: Tensor) -> Tensor:
        if image.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(image)
        with torch.autocast("cpu", enabled=False):
            return super().forward(image.float())


class FusedAttention(Attention):
    """The attention of Mix Transformers by torch's fused kernel, which never holds the (heads, H W, h w) weights. On a
    GPU they are most of a network's memory. The same but for rounding."""

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        batch, _, channels = x.shape
        q = self.q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        if self.sr_ratio > 1:
            small_map = self.sr(x.transpose(1, 2).unflatten(-1, (height, width)))
            x = self.norm(small_map.flatten(2).transpose(1, 2))
        k, v = self.kv(x).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        out = _attended(q, k, v, self.scale, self.attn_drop.p if self.training else 0.0)
        result: Tensor = self.proj_drop(self.proj(out.transpose(1, 2).reshape(batch, -1, channels)))
        return result


def _attended(q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float) -> Tensor:
    """Compute the attention of queries (B, heads, N, D) to keys (B, heads, n, D) and their values."""
    few = q.shape[1] * q.shape[2] * k.shape[2] <= _MOST_WEIGHTS
    if few and not dropout and q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad:
        # the gradient of torch's kernel takes two to six times as long as that of two products (torch 2.15)
        with torch.autocast("cpu", enabled=False):
            return (q * scale @ k.transpose(-2, -1)).softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scale)


class SkippingPointwise(nn.Conv2d):
    """A strided 1x1 convolution of few channels, without stride on the pixels that it reads. In channels-last memory its
    gradient by the weights writes past its memory on CPUs (oneDNN's issue 6035, torch 2.15). The same result."""

    MOST_CHANNELS = 15

    def forward(self, image: Tensor) -> Tensor:
        rows, cols = self.stride
        return F.conv2d(image[..., ::rows, ::cols], self.weight, self.bias)


def quicken(encoder: nn.Module) -> None:
    """Replace an encoder's layers by the ones above, in place."""
    for module in encoder.modules():
        if type(module) is nn.Conv2d and module.stride != (1, 1):
            if module.groups == module.in_channels > 1:
                module.__class__ = StridedDepthwise
            elif _breaks_off(module):
                module.__class__ = SkippingPointwise
        elif type(module) is Attention:
            module.__class__ = FusedAttention


def _breaks_off(layer: nn.Conv2d) -> bool:
    """Check whether training a strided convolution can end the process."""
    pointwise = layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding == (0, 0)
    return pointwise and layer.in_channels <= SkippingPointwise.MOST_CHANNELS
