"""Build the networks of a run: trained ones, frozen ones, or those of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import Tensor, nn

from rsuda.core.spec import Spec
from rsuda.learning.augmentation import Augmentation
from rsuda.learning.cells import CellEncoder
from rsuda.learning.encoders.build import made_for_three_bands
from rsuda.learning.encoders.frozen import freeze_encoders
from rsuda.learning.first_layer import composite_of, name_filters
from rsuda.learning.network import Architecture, Encoder, FrozenEncoder, SegmentationNetwork, build_encoder
from rsuda.learning.networks import build_network
from rsuda.learning.source_bank import SourceBank

_Built = TypeVar("_Built", bound=nn.Module)


@dataclass(frozen=True)
class NetworkBuilder:
    """Builder of a run's networks.

    Attributes:
        arch: encoder, decoder, classes and bands.
        spec: what the network expects of the target's pixels, and its classes.
        weights: of encoders: 'none', 'imagenet', 'packaged', 'sample' or a file.
        seed: of the networks' random weights.
        augmentation: for methods that distort images themselves; None changes no image.
        start: kind and architecture of the network that training starts from; None for a run from the first weights.
        frozen: whether the pretrained weights of the networks' encoders stay as they are.
        bank: what that network's run keeps of its source's classes; None where it keeps nothing.
        has_source: whether the run has labelled source data.
    """

    arch: Architecture
    spec: Spec
    weights: str = "none"
    seed: int = 0
    augmentation: Augmentation | None = None
    start: Mapping[str, Any] | None = None
    bank: SourceBank | None = None
    frozen: bool = False
    has_source: bool = True

    def network(self, kind: str = "plain", **options: Any) -> Any:
        """Build a network of a kind in ``rsuda.learning.networks.NETWORKS``."""
        network = self._with_filters(build_network(kind, self.arch, self.weights, **options))
        if self.frozen:
            freeze_encoders(network)
        return network

    def network_of_start(self) -> SegmentationNetwork:
        """Build a network of the start's kind; a plain one without a start."""
        fields = dict(self.start or {"network": "plain"})
        fields.pop("architecture", None)
        network: SegmentationNetwork = self.network(fields.pop("network"), **fields)
        return network

    @property
    def pretrained_features(self) -> bool:
        """Whether features of the first weights tell classes apart: they are pretrained, and some bands fit them.

        A first layer that was made to fit other bands gives features that vote worse than the model labels.
        """
        return self._bands_of_features is not None

    @property
    def _bands_of_features(self) -> tuple[int, ...] | None:
        """Positions of the bands that a pretrained encoder of cells reads; None where it cannot."""
        bands = self.spec.bands
        if self.weights == "none" or (len(bands) != 3 and not made_for_three_bands(self.weights)):
            return None
        return composite_of(bands)

    def frozen_encoder(self) -> FrozenEncoder:
        """Build another encoder with the first weights, which training leaves as it is; see ``FrozenEncoder``."""
        return FrozenEncoder(self._encoder())

    def cell_encoder(self, *, smooth: bool = False) -> CellEncoder:
        """Build another encoder with the first weights, for the features of cells; see ``CellEncoder``.

        Of more than three bands it reads a composite of three. Ask where ``pretrained_features``.
        """
        bands = self._bands_of_features
        if bands is None or len(bands) == len(self.spec.bands):
            return CellEncoder(self._encoder(), smooth=smooth)
        arch = replace(self.arch, bands=len(bands), adapter_rank=0)
        return CellEncoder(build_encoder(arch, self.weights), smooth=smooth, bands=bands)

    def strong(self, image: Tensor, key: Tensor, strength: float) -> Tensor:
        """Jitter and blur standardised images (B, bands, H, W) by their keys (B,); see ``Augmentation.strong``."""
        return image if self.augmentation is None else self.augmentation.strong(image, key, strength)

    def _encoder(self) -> Encoder:
        return self._with_filters(build_encoder(replace(self.arch, adapter_rank=0), self.weights))

    def _with_filters(self, network: _Built) -> _Built:
        if self.weights != "none":
            name_filters(network, self.spec.bands)
        return network
