"""Source-only: supervised training on the source. With source = target it is the supervised oracle."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import PlainNetwork
from rsuda.methods.base import ClassWeights, Method, MethodOptions, NetworkBuilder


class SourceOnly(Method):
    """L = CE(network(x_s), y_s). Target images are never forwarded, so that batch-norm statistics are the source's too."""

    class Options(MethodOptions):
        class_weights: Annotated[
            ClassWeights,
            Field(
                description="'none', 'balanced' (by the square root of each class's share of the source), or one number "
                "per class"
            ),
        ] = "none"

    needs_target: ClassVar[bool] = False
    summary: ClassVar[str] = "no adaptation: trains on the source alone, to compare with"
    paper: ClassVar[str] = "the lower bound of every paper; with source = target, the upper bound"
    networks: ClassVar[str] = "network"
    passes: ClassVar[tuple[float, float]] = (1, 0)
    model: PlainNetwork
    weight: Tensor

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.register_buffer("weight", torch.tensor(self.weights_by_class(options.class_weights)), persistent=False)
        self.model = build.network("plain")

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss = cross_entropy(self.model(batch["source_image"]), batch["source_label"], self.weight)
        return loss, {}
