"""HRDA: DAFormer's training on two resolutions with scale attention.

Hoyer, Dai, Van Gool, "HRDA: context-aware high-resolution domain-adaptive semantic segmentation", ECCV 2022, arXiv 2204.13132.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture, q the trust in pseudo labels. Each
image is seen whole at half its resolution and, through a detail window of half its size, at full resolution.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import PlainNetwork
from rsuda.learning.two_resolution_network import TwoResolutionNetwork, random_boxes, two_resolution_cross_entropy
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks.feature_distance import feature_distance, thing_cells
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.self_training import TeacherMethod, TwoResolutionTraining


class HRDA(TeacherMethod):
    """L = CE(x_s, y_s) + lambda q-weighted CE(x_m, y_m) + lambda_FD distance of features to ImageNet's.

    CE is (1 - lambda_d) CE(fused) + lambda_d CE(detail window); the distance is taken at half resolution.
    """

    class Options(TwoResolutionTraining):
        """Defaults are the paper's values."""

    off: ClassVar[dict[str, Any]] = {
        "source_only_share": 0.0,
        "mix_weight": 0.0,
        "distance_weight": 0.0,
        "resolutions": 1,
    }
    summary: ClassVar[str] = "DAFormer with a wide and a detailed view of each window, joined by learnt attention"
    paper: ClassVar[str] = "Hoyer et al., HRDA, ECCV 2022, arXiv 2204.13132"
    networks: ClassVar[str] = "network on two resolutions, teacher, frozen encoder"
    # each resolution has a quarter of the pixels; the teacher sees the one and nine windows of the other
    passes: ClassVar[tuple[float, float]] = (1.1, 5.25)
    rare_temperature: ClassVar[float] = 0.2  # the paper's 0.01 is tuned to 19 classes
    model: PlainNetwork | TwoResolutionNetwork

    options: Options

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.model = build.network("two-resolution" if options.resolutions == 2 else "plain")
        self.add_teacher()
        self.things = self.classes_named(options.things)
        self.distance_weight = options.distance_weight if self.things and build.weights != "none" else 0.0
        self.imagenet = build.frozen_encoder() if self.distance_weight else None

    @classmethod
    def window_multiple(cls, options: Options) -> int:
        return 64 if options.resolutions == 2 else 32

    def heads(self) -> list[nn.Module]:
        return [
            self.model.network.decoder,
            *([self.model.attention] if isinstance(self.model, TwoResolutionNetwork) else []),
        ]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, key = batch["source_image"], batch["source_label"].long(), batch["key"]
        self.votes.observe(x_s, y_s, key, self.step)
        ce, deepest, seen = self._supervised(x_s, y_s, key)
        terms, loss = {"ce": ce}, ce

        if self.imagenet is not None:
            with torch.no_grad():
                frozen = self.imagenet(seen)[-1]
            cells = thing_cells(y_s, self.things, (frozen.shape[-2], frozen.shape[-1]))
            terms["distance"] = feature_distance(deepest, frozen, cells)
            loss = loss + self.distance_weight * terms["distance"]
        if self.options.mix_weight == 0 or self.source_only:
            return loss, terms

        x_t, valid = batch["target_image"], batch["target_valid"]
        pseudo = self.label(x_t, valid, key)
        pasted = class_mask(y_s, key)
        x_m = self.build.strong(paste(pasted, x_s, x_t), key, self.options.jitter)
        y_m = paste(pasted, y_s, pseudo.label)
        q_m = paste(pasted, torch.ones_like(pseudo.weight), pseudo.weight)
        terms["mix"], _, _ = self._supervised(x_m, y_m, key, q_m)
        terms["quality"] = pseudo.quality
        return loss + self.options.mix_weight * terms["mix"], terms

    def _supervised(
        self, image: Tensor, label: Tensor, key: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross entropy, the encoder's deepest feature, and the image it was computed from."""
        if isinstance(self.model, TwoResolutionNetwork):
            # a source image and its mixture share the place of the detail window
            out = self.model.with_detail(image, random_boxes(key, image.shape[-2], image.shape[-1]))
            loss = two_resolution_cross_entropy(out, label, self.options.detail_weight, weight)
            return loss, out.pyramid[-1], self.model.halved(image)
        plain = self.model.network(image)
        return cross_entropy(plain.logits, label, pixel_weight=weight), plain.pyramid[-1], image
