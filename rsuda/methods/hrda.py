"""HRDA: DAFormer's training on two resolutions with scale attention.

Hoyer, Dai, Van Gool, "HRDA: context-aware high-resolution domain-adaptive semantic segmentation", ECCV 2022, arXiv 2204.13132.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture, q the trust in pseudo labels. Each
image is seen whole at half its resolution and, through a detail window of half its size, at full resolution.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.two_resolution_training import TwoResolutionMethod, TwoResolutionTraining


class HRDA(TwoResolutionMethod):
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

    options: Options

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.add_model()
        self.add_teacher()
        self.add_frozen_encoder()

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, key = batch["source_image"], batch["source_label"].long(), batch["key"]
        self.votes.observe(x_s, y_s, key, self.step)
        source = self.supervised(x_s, y_s, key)
        terms, loss = {"ce": source.ce}, source.ce

        if self.imagenet is not None:
            terms["distance"] = self.distance(source.image, source.deepest, y_s)
            loss = loss + self.distance_weight * terms["distance"]
        if self.options.mix_weight == 0 or self.source_only:
            return loss, terms

        x_t = batch["target_image"]
        pseudo = self.label(batch)
        pasted = class_mask(y_s, key)
        x_m = self.build.strong(paste(pasted, x_s, x_t), key, self.options.jitter)
        y_m = paste(pasted, y_s, pseudo.label)
        q_m = paste(pasted, torch.ones_like(pseudo.weight), pseudo.weight)
        terms["mix"] = self.supervised(x_m, y_m, key, q_m).ce
        terms["quality"] = pseudo.quality
        return loss + self.options.mix_weight * terms["mix"], terms
