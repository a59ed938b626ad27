"""Adapt a frozen encoder by a few numbers: LoRA beside its linear layers.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen, "LoRA: low-rank adaptation of large language models", ICLR 2022,
arXiv 2106.09685. The layer is W x + (alpha / r) B A x with A (r, inputs) random and B (outputs, r) zero. So nothing
changes at first.

Here alpha = r, and all linear layers of blocks have adapters, attention and MLP alike. The library peft would bring
transformers and accelerate for the same 20 lines, and its own names of tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell

ADAPTER = "lora_"  # before the names of adapters' tensors
_LEAST = 32  # inputs and outputs of a layer that is adapted


class AdaptedLinear(nn.Linear):
    """A linear layer and its adapter. The layer's own weights keep their names."""

    lora_a: nn.Parameter
    lora_b: nn.Parameter

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + F.linear(F.linear(x, self.lora_a), self.lora_b)


def add_adapters(encoder: nn.Module, rank: int, name: str) -> None:
    """Add adapters of a rank to an encoder, in place. Raises InputError for an encoder without linear layers."""
    layers = [m for m in encoder.modules() if type(m) is nn.Linear and min(m.in_features, m.out_features) >= _LEAST]
    if not layers:
        raise InputError(
            f"the encoder {name} has no linear layers for adapters: pass {spell('network.adapter_rank', 0)}, and "
            f"{spell('network.frozen', True)} for an encoder that stays as it is"
        )
    for layer in layers:
        layer.__class__ = AdaptedLinear
        down = layer.weight.new_empty(rank, layer.in_features)
        layer.lora_a = nn.Parameter(down.uniform_(-1, 1) / sqrt(layer.in_features))
        layer.lora_b = nn.Parameter(layer.weight.new_zeros(layer.out_features, rank))


def with_own_adapters(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add a network's own adapters to the tensors of another network where that has none."""
    state = network.state_dict()
    return {**{key: state[key] for key in state if key.rpartition(".")[2].startswith(ADAPTER)}, **tensors}
