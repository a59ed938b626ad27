"""Fold the layers of a trained network for prediction: batch norms into convolutions, on CPUs activations too."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import cast

import torch
from timm.layers.mlp import Mlp
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rsuda.learning.architecture import STRIDE
from rsuda.learning.decoders import AllMLPDecoder, FoldedMLPDecoder
from rsuda.learning.device import autocast
from rsuda.learning.layers import SkippingPointwise, StridedDepthwise
from rsuda.learning.network import Decoder

# What oneDNN calls an activation, and its bounds.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
    nn.SiLU: ("swish", []),
    nn.Hardswish: ("hardswish", []),
    nn.GELU: ("gelu", []),
}
_TOLERANCE = {"fp32": 1e-3, "bf16": 3e-2}  # of the largest logit


def for_prediction(model: nn.Module, bands: int, precision: str, device: torch.device) -> nn.Module:
    """Copy a network for prediction: but for rounding it answers the same, in less time.

    Args:
        model: on ``device``; it stays as it is, but for evaluation mode.
        bands: of its images.
        precision: 'bf16' or 'fp32'. On a CPU the copy predicts in this precision only, and has no gradients.

    Returns:
        the network in channels-last memory. A step that changes a network's answers is left out.
    """
    model_copy = without_batch_norm(model, bands)
    multiplies = any(isinstance(module, nn.Conv2d | nn.Linear) for module in model_copy.modules())
    if multiplies and device.type == "cpu" and torch.backends.mkldnn.is_available():
        fused = _fused(copy.deepcopy(model_copy), torch.bfloat16 if precision == "bf16" else torch.float32)
        model_copy = fused if _alike(model_copy, fused, bands, precision) else model_copy
    return model_copy.to(memory_format=torch.channels_last)


@torch.no_grad()
def without_batch_norm(model: nn.Module, bands: int) -> nn.Module:
    """Copy a network in evaluation mode and fold its batch norms into the convolutions before them.

    But for rounding the copy answers the same. Networks in which that changes anything come back as they are.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    model_copy = _folded(copy.deepcopy(model.eval()))
    return model_copy if _alike(model, model_copy, bands, "fp32") else model


@torch.inference_mode()
def _alike(model: nn.Module, model_copy: nn.Module, bands: int, precision: str) -> bool:
    """Compare the logits of two networks for one image of noise."""
    device = next(iter(model.parameters()), torch.empty(0)).device
    image = torch.randn(1, bands, 4 * STRIDE, 4 * STRIDE, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with autocast(precision, device):
            before, after = model(image).float(), model_copy(image).float()
    except (RuntimeError, AttributeError):  # another version of torch may lack the operator
        return False
    tolerance = _TOLERANCE[precision]
    return torch.allclose(before, after, rtol=tolerance, atol=tolerance * float(before.abs().max()))


def _folded(module: nn.Module) -> nn.Module:
    """Fold batch norms into the convolutions that are defined before them, in place."""
    children = dict(module.named_children())
    for before, after in pairwise(children):
        owner, name, layer, norm = module, before, children[before], children[after]
        if isinstance(layer, nn.Sequential) and len(layer):  # a separable convolution
            owner, (name, layer) = layer, list(layer.named_children())[-1]
        # other subclasses of batch norm may do more
        if isinstance(layer, nn.Conv2d) and type(norm) in (nn.BatchNorm2d, BatchNormAct2d):
            fused = fuse_conv_bn_eval(layer, cast(nn.BatchNorm2d, norm))
            setattr(owner, name, nn.Sequential(fused, norm.act) if isinstance(norm, BatchNormAct2d) else fused)
            setattr(module, after, nn.Identity())
    for name, child in children.items():
        if isinstance(child, AllMLPDecoder):
            setattr(module, name, FoldedMLPDecoder(child))
        else:
            _folded(child)
    return module


def _fused(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Replace convolutions and linear layers, and activations right after them, by those of oneDNN, in place."""
    children = {name: child for name, child in module.named_children() if not isinstance(child, nn.Identity)}
    # elsewhere the forward pass may call an activation more than once
    in_order = isinstance(module, nn.Sequential) or type(module) is Mlp
    following = dict(pairwise(children)) if in_order else {}
    for name, child in children.items():
        if not _is_plain(child):
            _fused(child, dtype)
            continue
        after = following.get(name)
        activation = children[after] if after and type(children[after]) in _ACTIVATIONS else None
        if after and activation is not None:
            setattr(module, after, nn.Identity())
        if isinstance(child, nn.Conv2d):
            setattr(module, name, FusedConvolution(child, activation, dtype))
        else:
            setattr(module, name, FusedLinear(cast(nn.Linear, child), activation, dtype))
    if isinstance(module, Decoder):
        module.classifier = nn.Sequential(module.classifier, _PlainLogits())
    return module


def _is_plain(layer: nn.Module) -> bool:
    """Check whether a layer is a linear one, or a convolution that is padded by zeros, and nothing else."""
    if not isinstance(layer, nn.Conv2d):
        return type(layer) is nn.Linear
    by_zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return type(layer) in (nn.Conv2d, StridedDepthwise, SkippingPointwise) and by_zeros


class _FusedLayer(nn.Module):
    """A layer with its activation, in one pass over memory (oneDNN). It has no gradients.

    Attributes:
        weight, bias: as those of the layer, in the precision of prediction.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, activation: nn.Module | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach().to(dtype), persistent=False)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().to(dtype), persistent=False)
        name, bounds = ("none", []) if activation is None else _ACTIVATIONS[type(activation)]
        self.activation = [name, bounds, activation.approximate if isinstance(activation, nn.GELU) else ""]

    weight: Tensor
    bias: Tensor | None


class FusedConvolution(_FusedLayer):
    """A convolution with its activation."""

    def __init__(self, layer: nn.Conv2d, activation: nn.Module | None, dtype: torch.dtype) -> None:
        super().__init__(layer, activation, dtype)
        self.geometry = [list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups]

    def forward(self, image: Tensor) -> Tensor:
        convolved: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image.to(self.weight.dtype), self.weight, self.bias, *self.geometry, *self.activation
        )
        return convolved


class FusedLinear(_FusedLayer):
    """A linear layer with its activation. In float32, torch's own takes twice as long on AMD's processors (MKL)."""

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self.weight.dtype), self.weight, self.bias, *self.activation
        )
        return product


class _PlainLogits(nn.Module):
    """Logits in float32 and row by row, in which they are resized several times as fast as in channels-last bfloat16."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.float().contiguous()
