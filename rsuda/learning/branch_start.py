"""Start a two-branch network from a trained plain one, so that both branches predict what the plain network does."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.learning.two_branch_network import TwoBranchNetwork

# decoders whose first layers read the pyramid, each one level: names of these layers within the decoder
_READERS = {"segformer": "body.embed.", "daformer": "body.embed.", "deeplabv2": "body.branches."}
_ENCODER, _DECODER = "network.encoder.", "network.decoder."


def is_plain(tensors: Mapping[str, Tensor]) -> bool:
    """Check whether tensors are those of a plain network: one encoder and one decoder."""
    return bool(tensors) and all(name.startswith((_ENCODER, _DECODER)) for name in tensors)


@torch.no_grad()
def load_plain(network: TwoBranchNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Load the tensors of a plain network into the source branch, and make the target branch its copy.

    Raises:
        InputError: the disentangle module cannot stand before this decoder.
        RuntimeError: the tensors are those of another encoder or decoder.
    """
    encoder, decoder = (_part(tensors, prefix) for prefix in (_ENCODER, _DECODER))
    network.backbone_s.load_state_dict(encoder)
    network.head_s.load_state_dict(decoder if network.disentangle is None else _after_disentangling(network, decoder))
    network.make_equal()


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}


def _after_disentangling(network: TwoBranchNetwork, decoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert a decoder's tensors such that it answers the same behind the disentangle module.

    Of equal branches the module halves every level that decoders read, so the layers that read them have twice the weight.
    The channels that it adds to the last level weigh nothing at first.
    """
    name = network.arch.decoder
    if name not in _READERS:
        raise InputError(
            f"a plain network with decoder {name} cannot start the disentangle module: start from a run with decoder "
            f"{', '.join(_READERS)}, or leave the module out by {spell('method.disentangle', False)}"
        )
    result = dict(decoder)
    for key, tensor in network.head_s.state_dict().items():
        if key.startswith(_READERS[name]) and key.endswith("weight") and key in decoder:
            channels = tensor.shape[1] - decoder[key].shape[1]
            universal = decoder[key].new_zeros((len(tensor), channels, *tensor.shape[2:]))
            result[key] = torch.cat([2 * decoder[key], universal], 1)
    return result
