"""MIC: masked image consistency on top of DAFormer's or HRDA's training.

Hoyer, Dai, Wang, Van Gool, "MIC: masked image consistency for context-enhanced domain adaptation", CVPR 2023,
arXiv 2212.01322.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture. x_M is the masked target
image, q the trust in pseudo labels.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from rsuda.methods.base import NetworkBuilder, Share, Weight
from rsuda.methods.blocks.masking import block_mask
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.two_resolution_training import TwoResolutionMethod, TwoResolutionTraining


class MIC(TwoResolutionMethod):
    """L = CE(x_s, y_s) + lambda q-weighted CE(x_m, y_m) + lambda_FD distance + lambda_M q-weighted CE(x_M, y_t)."""

    class Options(TwoResolutionTraining):
        masked_weight: Annotated[Weight, Field(description="lambda_M (paper 1)")] = 1.0
        mask_ratio: Annotated[Share, Field(description="share of cells that are masked (paper 0.7)")] = 0.7
        mask_block: Annotated[
            int,
            Field(
                ge=0,
                description="cell size in px; 0 for a sixteenth of the window (paper 64 at windows of 1024, 32 at 512)",
            ),
        ] = 0

    off: ClassVar[dict[str, Any]] = {
        "source_only_share": 0.0,
        "mix_weight": 0.0,
        "distance_weight": 0.0,
        "masked_weight": 0.0,
        "resolutions": 1,
    }
    summary: ClassVar[str] = "DAFormer or HRDA that must also label masked target images"
    paper: ClassVar[str] = "Hoyer et al., MIC, CVPR 2023, arXiv 2212.01322"
    networks: ClassVar[str] = "network on one or two resolutions, teacher, frozen encoder"
    passes: ClassVar[tuple[float, float]] = (3, 3)
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
        if self.source_only or (self.options.mix_weight == 0 and self.options.masked_weight == 0):
            return loss, terms

        x_t = batch["target_image"]
        pseudo = self.label(batch)
        terms["quality"] = pseudo.quality

        if self.options.mix_weight > 0:
            pasted = class_mask(y_s, key)
            x_m = self.build.strong(paste(pasted, x_s, x_t), key, self.options.jitter)
            y_m = paste(pasted, y_s, pseudo.label)
            q_m = paste(pasted, torch.ones_like(pseudo.weight), pseudo.weight)
            terms["mix"] = self.supervised(x_m, y_m, key, q_m).ce
            loss = loss + self.options.mix_weight * terms["mix"]

        # The student sees a part of the target image and learns the labels of the teacher, which sees the whole.
        if self.options.masked_weight > 0:
            block = self.options.mask_block or max(1, x_t.shape[-1] // 16)
            # 0 after standardisation is the mean colour
            x_masked = self.build.strong(x_t, key + 1, self.options.jitter) * block_mask(
                x_t, key, block, self.options.mask_ratio
            )
            terms["masked"] = self.supervised(x_masked, pseudo.label, key, pseudo.weight).ce
            loss = loss + self.options.masked_weight * terms["masked"]
        return loss, terms
