"""Share HRDA's training on one or two resolutions, which MIC and CLUDA take over."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import PlainNetwork
from rsuda.learning.two_resolution_network import TwoResolutionNetwork, random_boxes, two_resolution_cross_entropy
from rsuda.methods.base import Share
from rsuda.methods.blocks.feature_distance_training import FeatureDistanceMethod, FeatureDistanceTraining


class TwoResolutionTraining(FeatureDistanceTraining):
    """DAFormer's self-training on HRDA's network."""

    resolutions: Annotated[
        Literal[1, 2], Field(description="2 trains HRDA's network, 1 a plain one (ablation, or DAFormer's)")
    ] = 2
    detail_weight: Annotated[Share, Field(description="lambda_d, the weight of the detail window (paper 0.1)")] = 0.1


class Supervised(NamedTuple):
    """``ce`` scalar cross entropy, ``deepest`` (B, C, h, w) feature of the encoder, ``image`` that the feature is of."""

    ce: Tensor
    deepest: Tensor
    image: Tensor


class TwoResolutionMethod(FeatureDistanceMethod):
    """A method that trains HRDA's network, or with one resolution a plain one."""

    options: TwoResolutionTraining
    model: PlainNetwork | TwoResolutionNetwork

    @classmethod
    def window_multiple(cls, options: TwoResolutionTraining) -> int:
        """Return the number of pixels of which a window's sides must be a multiple: half of it is a detail window."""
        return 64 if options.resolutions == 2 else 32

    def add_model(self) -> None:
        """Build the network that is trained and saved."""
        self.model = self.build.network("two-resolution" if self.options.resolutions == 2 else "plain")

    def heads(self) -> list[nn.Module]:
        return [
            self.model.network.decoder,
            *([self.model.attention] if isinstance(self.model, TwoResolutionNetwork) else []),
        ]

    def supervised(self, image: Tensor, label: Tensor, key: Tensor, weight: Tensor | None = None) -> Supervised:
        """Compute the cross entropy of images with a label (B, H, W) and a weight of each pixel.

        The detail window is drawn from ``key``, so that a source image and its mixture share its place.
        """
        if isinstance(self.model, TwoResolutionNetwork):
            out = self.model.with_detail(image, random_boxes(key, image.shape[-2], image.shape[-1]))
            loss = two_resolution_cross_entropy(out, label, self.options.detail_weight, weight)
            return Supervised(loss, out.pyramid[-1], self.model.halved(image))
        plain = self.model.network(image)
        return Supervised(cross_entropy(plain.logits, label, pixel_weight=weight), plain.pyramid[-1], image)
