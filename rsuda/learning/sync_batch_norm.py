"""Layers that look over a batch's edge, for training on a share of the batch: batch norm and dropout.

Classes of modules are exchanged and restored; weights, buffers and their names stay.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, cast

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsuda.learning.distributed import all_gather, all_sum, world_size
from rsuda.learning.random_draws import BatchShard


class _Normalised(torch.autograd.Function):
    """Batch norm by the statistics of the batch of all processes: (x, weight, bias, eps) -> (y, mean, biased variance).

    torch has it for CUDA only; written out it would keep four images where this keeps one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        wide = x.to(weight.dtype)
        over = [d for d in range(x.ndim) if d != 1]
        variance, mean = torch.var_mean(wide, over, correction=0)
        # every process has as many pixels; means of squares would cancel in single precision
        means, variances = all_gather(torch.stack([mean, variance])[None]).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.mark_non_differentiable(mean, variance)
        return _scaled(wide, mean, scale * weight, bias).to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        g = gradients[0].to(weight.dtype)
        over = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        deviation = (x.to(weight.dtype) - mean.view(shape)) * scale.view(shape)
        sums = torch.stack([g.sum(over), (g * deviation).sum(over)])
        plain, along = all_sum(sums) / (world_size() * x.numel() / x.shape[1])
        dx = (g - plain.view(shape) - deviation * along.view(shape)) * (weight * scale).view(shape)
        return dx.to(x.dtype), sums[1], sums[0], None


def _scaled(x: Tensor, mean: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    shape = [1, -1] + [1] * (x.ndim - 2)
    return (x - mean.view(shape)) * scale.view(shape) + bias.view(shape)


class _Norm(_BatchNorm):
    """Mixed into a batch norm, timm's with an activation included."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return cast(Tensor, super().forward(x))
        weight = self.weight if self.weight is not None else x.new_ones(x.shape[1])
        bias = self.bias if self.bias is not None else x.new_zeros(x.shape[1])
        with torch.autocast(x.device.type, enabled=False):
            y, mean, variance = cast("tuple[Tensor, Tensor, Tensor]", _Normalised.apply(x, weight, bias, self.eps))
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                number = world_size() * x.numel() / x.shape[1]
                self.running_mean.lerp_(mean.to(self.running_mean), factor)
                self.running_var.lerp_((variance * number / (number - 1)).to(self.running_var), factor)
        for after in ("drop", "act"):
            if hasattr(self, after):
                y = getattr(self, after)(y)
        return y


class _Drop(nn.Module):
    """Mixed into a dropout: it draws for the whole batch and takes its own rows."""

    share: BatchShard

    def forward(self, x: Tensor) -> Tensor:
        p = float(self.drop_prob if isinstance(self, DropPath) else self.p)  # type: ignore[arg-type]
        if not self.training or p == 0:
            return x
        shape = list(x.shape)
        if isinstance(self, nn.Dropout2d):
            shape[2:] = [1, 1]
        elif isinstance(self, DropPath):
            shape[1:] = [1] * (x.ndim - 1)
        noise = x.new_empty(self.share.whole(shape[0]), *shape[1:]).bernoulli_(1 - p)
        return x * noise.div_(1 - p)[self.share.rows(len(x))]


@cache
def _mixed(mixin: Hashable, original: Hashable) -> type:
    return type(f"Shared{original.__name__}", (mixin, original), {"original": original})  # type: ignore[attr-defined, arg-type]


def synchronise(model: nn.Module, share: BatchShard) -> None:
    """Synchronise batch norm and dropout over the processes in training mode: both act on the whole batch."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, _Norm):
            module.__class__ = _mixed(_Norm, cast(Hashable, type(module)))
        elif isinstance(module, nn.Dropout | nn.Dropout2d | DropPath) and not isinstance(module, _Drop):
            module.__class__ = _mixed(_Drop, cast(Hashable, type(module)))
            module.share = share  # type: ignore[assignment]


def restore(model: nn.Module) -> None:
    """Undo ``synchronise``."""
    for module in model.modules():
        if isinstance(module, _Norm | _Drop):
            module.__class__ = cast(Any, type(module)).original
