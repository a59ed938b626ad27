"""Freeze the pretrained weights of a network's encoders."""

from __future__ import annotations

from torch import nn

from rsuda.learning.encoders.new_layers import new_parameters
from rsuda.learning.first_layer import is_encoder


def freeze_encoders(network: nn.Module) -> None:
    """Leave all weights of a network's encoders as they are, but those of layers that no pretrained weights have.

    Batch norm goes on to normalise by the batch, and its running statistics to follow, since they are not weights.
    """
    for encoder in (module for module in network.modules() if is_encoder(module)):
        encoder.requires_grad_(False)
        for parameter in new_parameters(encoder):
            parameter.requires_grad_(True)


def share_frozen(twin_model: nn.Module, original: nn.Module) -> None:
    """Let a copy of a network use the original's frozen weights, which then are in memory once."""
    for twin, module in zip(twin_model.modules(), original.modules(), strict=True):
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                twin.register_parameter(name, parameter)
