"""Source-only: supervised training on the source. With source = target it is the supervised oracle."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Logits, Network
from rsuda.methods.base import Method


class SourceOnly(Method):
    """L = CE(network(x_s), y_s). Target images are never forwarded, so that batch-norm statistics are the source's too.

    Args:
        class_weights: 'none', 'balanced' (by the square root of each class's share of the source), or one per class.
    """

    needs_target: ClassVar[bool] = False
    paper: ClassVar[str] = "the lower bound of every paper; with source = target, the upper bound"
    networks: ClassVar[str] = "network"
    passes: ClassVar[tuple[float, float]] = (1, 0)
    model: Logits
    weight: Tensor

    def __init__(self, *base: Any, class_weights: str | list[float] = "none") -> None:
        super().__init__(*base)
        self.register_buffer("weight", torch.tensor(self.weights_by_class(class_weights)), persistent=False)
        self.model = Logits(Network(self.arch, self.weights))

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss = cross_entropy(self.model(batch["source_image"]), batch["source_label"], self.weight)
        return loss, {}
