"""Build the networks that runs save, by kind."""

from __future__ import annotations

from typing import Any

from rsuda.learning.network import Architecture, PlainNetwork, SegmentationNetwork
from rsuda.learning.two_branch_network import TwoBranchNetwork
from rsuda.learning.two_resolution_network import TwoResolutionNetwork

NETWORKS: dict[str, type[SegmentationNetwork]] = {
    network.kind: network for network in (PlainNetwork, TwoResolutionNetwork, TwoBranchNetwork)
}


def build_network(kind: str, arch: Architecture, weights: str = "none", **options: Any) -> Any:
    """Build a network of a kind in ``NETWORKS``.

    Args:
        weights: of its encoders, as in ``rsuda.learning.network.build_encoder``.
        options: of the kind; 'two-branch' has ``disentangle``.

    Raises:
        InputError: the encoder or the decoder is unknown, or they do not fit each other.
    """
    return NETWORKS[kind](arch, weights, **options)  # type: ignore[call-arg]
