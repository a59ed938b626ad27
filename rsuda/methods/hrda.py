"""HRDA: DAFormer's training on two resolutions with scale attention.

Hoyer, Dai, Van Gool, "HRDA: context-aware high-resolution domain-adaptive semantic segmentation", ECCV 2022, arXiv 2204.13132.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture, q the trust in pseudo labels. Each
image is seen whole at half its resolution and, through a detail window of half its size, at full resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Logits, Network
from rsuda.learning.two_resolution_network import TwoResolutions, random_boxes, two_resolution_cross_entropy
from rsuda.methods.base import Method
from rsuda.methods.blocks.feature_distance import feature_distance, thing_cells
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, PseudoLabelWeights
from rsuda.methods.blocks.teacher import Teacher


class HRDA(Method):
    """L = CE(x_s, y_s) + lambda q-weighted CE(x_m, y_m) + lambda_FD distance of features to ImageNet's, where CE is
    (1 - lambda_d) CE(fused) + lambda_d CE(detail window). Options:

    Args:
        detail_weight: lambda_d (paper 0.1).
        resolutions: 1 leaves the second resolution out (ablation).
        mix_weight: lambda (paper 1).
        threshold: confidence that counts towards q (paper 0.968).
        trust, keep: 'share' is the paper's q; see DACS.
        start: share of the run that is source-only, until the teacher is worth listening to (paper 0).
        teacher_decay: final decay of the teacher (paper 0.999).
        teacher_statistics: of its batch norm: 'batch' (released codes), or 'shown', running ones of the target images.
        jitter: strength of the colour jitter of mixed images (paper 0.2).
        distance_weight: lambda_FD (paper 0.005), on the features at half resolution; off without pretrained weights.
        things: classes, by commas, whose features shall stay near ImageNet's.
    """

    paper: ClassVar[str] = "Hoyer et al., HRDA, ECCV 2022, arXiv 2204.13132"
    networks: ClassVar[str] = "network on two resolutions, teacher, frozen encoder"
    # each resolution has a quarter of the pixels; the teacher sees the one and nine windows of the other
    passes: ClassVar[tuple[float, float]] = (1.1, 5.25)
    rare_temperature: ClassVar[float] = 0.2  # the paper's 0.01 is tuned to 19 classes
    model: Logits | TwoResolutions

    def __init__(
        self,
        *base: Any,
        detail_weight: float = 0.1,
        resolutions: int = 2,
        mix_weight: float = 1.0,
        threshold: float = 0.968,
        trust: str = "share",
        keep: float = 0.5,
        start: float = 0.0,
        teacher_decay: float = 0.999,
        teacher_statistics: str = "batch",
        jitter: float = 0.2,
        distance_weight: float = 0.005,
        things: str = "building,car",
    ) -> None:
        super().__init__(*base)
        self.one_of("resolutions", resolutions, (1, 2))
        self.detail_weight, self.mix_weight, self.jitter = detail_weight, mix_weight, jitter
        self.start = start
        two = resolutions == 2
        self.model = TwoResolutions(self.arch, self.weights) if two else Logits(Network(self.arch, self.weights))
        self.teacher = Teacher(self.model, teacher_decay, teacher_statistics)
        self.trust = PseudoLabelWeights(self.arch.classes, trust, threshold, keep)
        self.things = self.classes_named(things)
        self.distance_weight = distance_weight if self.things and self.weights != "none" else 0.0
        self.imagenet = self.frozen_encoder() if self.distance_weight else None

    @classmethod
    def smallest_crop(cls, options: Mapping[str, Any], stride: int) -> int:
        return 64 if options.get("resolutions", 2) == 2 else 32

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder, *([self.model.attention] if isinstance(self.model, TwoResolutions) else [])]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, key = batch["source_image"], batch["source_label"].long(), batch["key"]
        ce, deepest, seen = self._supervised(x_s, y_s, key)
        terms, loss = {"ce": ce}, ce

        if self.imagenet is not None:
            with torch.no_grad():
                frozen = self.imagenet(seen)[-1]
            cells = thing_cells(y_s, self.things, (frozen.shape[-2], frozen.shape[-1]))
            terms["distance"] = feature_distance(deepest, frozen, cells)
            loss = loss + self.distance_weight * terms["distance"]
        if self.mix_weight == 0 or self.progress < self.start:
            return loss, terms

        x_t, valid = batch["target_image"], batch["target_valid"]
        with torch.no_grad():
            pseudo = self.trust(self.teacher.look(x_t), valid)
        pasted = class_mask(y_s, key)
        x_m = self.strong(paste(pasted, x_s, x_t), key, self.jitter)
        y_m = paste(pasted, y_s, pseudo.label)
        q_m = paste(pasted, torch.ones_like(pseudo.weight), pseudo.weight)
        terms["mix"], _, _ = self._supervised(x_m, y_m, key, q_m)
        terms["quality"] = pseudo.quality
        return loss + self.mix_weight * terms["mix"], terms

    def _supervised(
        self, image: Tensor, label: Tensor, key: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross entropy, the encoder's deepest feature, and the image it was computed from."""
        if isinstance(self.model, TwoResolutions):
            # a source image and its mixture share the place of the detail window
            out = self.model.with_detail(image, random_boxes(key, image.shape[-2], image.shape[-1]))
            loss = two_resolution_cross_entropy(out, label, self.detail_weight, weight)
            return loss, out.pyramid[-1], self.model.halved(image)
        plain = self.model.network(image)
        return cross_entropy(plain.logits, label, pixel_weight=weight), plain.pyramid[-1], image

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """The teacher's labels of images, for looking at."""
        return self.trust(self.teacher(image), follow=False)

    def after_step(self) -> None:
        self.teacher.follow(self.model)
