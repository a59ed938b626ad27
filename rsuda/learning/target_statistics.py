"""Choose which images the running statistics of batch norm follow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def running_statistics_kept(*modules: nn.Module) -> Iterator[None]:
    """Keep running statistics as they are inside; batch norm still normalises by the batch."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [n.momentum for n in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def has_batch_norm(model: nn.Module) -> bool:
    """Check whether any layer of a model is a batch norm."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


@torch.no_grad()
def pooled_norms(model: nn.Module, images: Tensor) -> set[nn.Module]:
    """Collect the batch norms that see images (B, bands, H, W) pooled to one pixel, as in DeepLabV3+.

    The model is in evaluation mode.
    """
    norms_of_pixels: set[nn.Module] = set()

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].shape[2:].numel() == 1:
            norms_of_pixels.add(norm)

    hooks = [m.register_forward_pre_hook(look) for m in model.modules() if isinstance(m, _BatchNorm)]
    model(images)
    for hook in hooks:
        hook.remove()
    return norms_of_pixels


@torch.no_grad()
def estimate_statistics(model: nn.Module, batches: Iterable[Tensor], without: Collection[nn.Module] = ()) -> int:
    """Estimate batch norm's running statistics as the plain mean over batches of images; the rest of ``model`` stays.

    AdaBN (Li et al., "Revisiting batch normalization for practical domain adaptation", 2016), when the images are the
    target's. Batch norms of ``without`` keep their statistics. Returns the number of the others. Without a batch, or where
    one cannot be read, all statistics stay as they were.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m not in without]
    momenta, was = [n.momentum for n in norms], model.training
    before, complete = [[buffer.clone() for buffer in norm.buffers()] for norm in norms], False
    try:
        model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # torch's word for a cumulative mean
        count = 0
        for images in batches if norms else ():
            model(images)
            count += 1
        complete = count > 0
    finally:
        for norm, momentum, values in zip(norms, momenta, before, strict=True):
            norm.momentum = momentum
            for buffer, value in zip(norm.buffers(), values, strict=True):
                buffer.copy_(buffer if complete else value)
        model.train(was)
    return len(norms)


@torch.no_grad()
def mix_statistics(model: nn.Module, source: nn.Module, share: float) -> None:
    """Mix running statistics in place: ``share`` (0..1) of the model's own, the rest from a model of the same layers."""
    for norm, before in zip(model.modules(), source.modules(), strict=True):
        if isinstance(norm, _BatchNorm) and isinstance(before, _BatchNorm):
            for statistics, other in (
                (norm.running_mean, before.running_mean),
                (norm.running_var, before.running_var),
            ):
                if statistics is not None and other is not None:
                    statistics.lerp_(other, 1 - share)
