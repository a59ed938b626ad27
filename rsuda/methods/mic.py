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
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import PlainNetwork
from rsuda.learning.two_resolution_network import TwoResolutionNetwork, random_boxes, two_resolution_cross_entropy
from rsuda.methods.base import NetworkBuilder, Share, Weight
from rsuda.methods.blocks.feature_distance import feature_distance, thing_cells
from rsuda.methods.blocks.masking import block_mask
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.self_training import TeacherMethod, TwoResolutionTraining


class MIC(TeacherMethod):
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
        if self.source_only or (self.options.mix_weight == 0 and self.options.masked_weight == 0):
            return loss, terms

        x_t, valid = batch["target_image"], batch["target_valid"]
        pseudo = self.label(x_t, valid, key)
        terms["quality"] = pseudo.quality

        if self.options.mix_weight > 0:
            pasted = class_mask(y_s, key)
            x_m = self.build.strong(paste(pasted, x_s, x_t), key, self.options.jitter)
            y_m = paste(pasted, y_s, pseudo.label)
            q_m = paste(pasted, torch.ones_like(pseudo.weight), pseudo.weight)
            terms["mix"] = self._supervised(x_m, y_m, key, q_m)[0]
            loss = loss + self.options.mix_weight * terms["mix"]

        # The student sees a part of the target image and learns the labels of the teacher, which sees the whole.
        if self.options.masked_weight > 0:
            block = self.options.mask_block or max(1, x_t.shape[-1] // 16)
            # 0 after standardisation is the mean colour
            x_masked = self.build.strong(x_t, key + 1, self.options.jitter) * block_mask(
                x_t, key, block, self.options.mask_ratio
            )
            terms["masked"] = self._supervised(x_masked, pseudo.label, key, pseudo.weight)[0]
            loss = loss + self.options.masked_weight * terms["masked"]
        return loss, terms

    def _supervised(
        self, image: Tensor, label: Tensor, key: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross entropy, the encoder's deepest feature, and the image it was computed from."""
        if isinstance(self.model, TwoResolutionNetwork):
            out = self.model.with_detail(image, random_boxes(key, image.shape[-2], image.shape[-1]))
            loss = two_resolution_cross_entropy(out, label, self.options.detail_weight, weight)
            return loss, out.pyramid[-1], self.model.halved(image)
        plain = self.model.network(image)
        return cross_entropy(plain.logits, label, pixel_weight=weight), plain.pyramid[-1], image
