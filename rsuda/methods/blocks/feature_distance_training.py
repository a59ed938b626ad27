"""Share DAFormer's distance of features to ImageNet's, which HRDA, MIC and CLUDA keep."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from rsuda.learning.network import FrozenEncoder
from rsuda.methods.base import Weight
from rsuda.methods.blocks.feature_distance import feature_distance, thing_cells
from rsuda.methods.blocks.self_training import SelfTraining, TeacherMethod


class FeatureDistanceTraining(SelfTraining):
    """DAFormer's self-training, which keeps features of some classes near those of ImageNet."""

    distance_weight: Annotated[
        Weight, Field(description="lambda_FD (paper 0.005); without pretrained weights the distance is off")
    ] = 0.005
    things: Annotated[
        str,
        Field(
            description="classes, by commas, whose features stay near ImageNet's; the paper takes the countable ones of "
            "Cityscapes, which seen from above are buildings and cars"
        ),
    ] = "building,car"


class FeatureDistanceMethod(TeacherMethod):
    """A method with a teacher whose features of some classes stay near those of a frozen encoder."""

    options: FeatureDistanceTraining
    imagenet: FrozenEncoder | None
    distance_weight: float

    def add_frozen_encoder(self) -> None:
        """Build the encoder with the first weights; None where the distance is off."""
        self.things = self.classes_named(self.options.things)
        pretrained = bool(self.things) and self.build.weights != "none"
        self.distance_weight = self.options.distance_weight if pretrained else 0.0
        self.imagenet = self.build.frozen_encoder() if self.distance_weight else None

    def distance(self, image: Tensor, deepest: Tensor, label: Tensor) -> Tensor:
        """Compute the mean distance of the deepest feature to the frozen encoder's, over the cells of some classes.

        Args:
            image: (B, bands, H, W), from which the feature was computed.
            deepest: (B, C, h, w).
            label: (B, H', W'), with 255 ignored.
        """
        assert self.imagenet is not None
        with torch.no_grad():
            frozen = self.imagenet(image)[-1]
        cells = thing_cells(label, self.things, (frozen.shape[-2], frozen.shape[-1]))
        return feature_distance(deepest, frozen, cells)
