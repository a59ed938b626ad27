"""DACS: domain adaptation by cross-domain mixed sampling.

Tranheden, Olsson, Pinto, Svensson, "DACS: domain adaptation via cross-domain mixed sampling", WACV 2021, arXiv 2007.08702.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture, q the trust in pseudo labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Logits, Network
from rsuda.methods.base import Method
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, PseudoLabelWeights
from rsuda.methods.blocks.teacher import Teacher


class DACS(Method):
    """Self-training on class-mixed images: L = CE(x_s, y_s) + lambda q-weighted CE(x_m, y_m). Options:

    Args:
        mix_weight: lambda (paper 1).
        threshold: confidence that counts towards q (paper 0.968).
        trust: 'share', q is one number for the batch (paper); 'pixels', confident pixels only; 'classes', the most
            confident ``keep`` of each class's pixels only.
        keep: see ``trust``.
        start: share of the run that is source-only, until the teacher is worth listening to (paper 0).
        teacher_decay: final decay of the teacher (paper 0.99).
        teacher_statistics: of its batch norm: 'batch' (released codes), or 'shown', running ones of the target images.
        jitter: strength of the colour jitter of mixed images (paper 0.25).
    """

    paper: ClassVar[str] = "Tranheden et al., DACS, WACV 2021, arXiv 2007.08702"
    networks: ClassVar[str] = "network, teacher"
    passes: ClassVar[tuple[float, float]] = (2, 2)
    model: Logits

    def __init__(
        self,
        *base: Any,
        mix_weight: float = 1.0,
        threshold: float = 0.968,
        trust: str = "share",
        keep: float = 0.5,
        start: float = 0.0,
        teacher_decay: float = 0.99,
        teacher_statistics: str = "batch",
        jitter: float = 0.25,
    ) -> None:
        super().__init__(*base)
        self.mix_weight, self.jitter = mix_weight, jitter
        self.start = start
        self.model = Logits(Network(self.arch, self.weights))
        self.teacher = Teacher(self.model, teacher_decay, teacher_statistics)
        self.trust = PseudoLabelWeights(self.arch.classes, trust, threshold, keep)

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, key = batch["source_image"], batch["source_label"].long(), batch["key"]
        terms = {"ce": cross_entropy(self.model(x_s), y_s)}
        if self.mix_weight == 0 or self.progress < self.start:
            return terms["ce"], terms
        x_t, valid = batch["target_image"], batch["target_valid"]

        with torch.no_grad():
            pseudo = self.trust(self.teacher.look(x_t), valid)
        pasted = class_mask(y_s, key)
        x_m = self.strong(paste(pasted, x_s, x_t), key, self.jitter)
        y_m = paste(pasted, y_s, pseudo.label)
        q_m = paste(pasted, torch.ones_like(pseudo.weight), pseudo.weight)

        terms["mix"] = cross_entropy(self.model(x_m), y_m, pixel_weight=q_m)
        terms["quality"] = pseudo.quality
        return terms["ce"] + self.mix_weight * terms["mix"], terms

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """The teacher's labels of images, for looking at."""
        return self.trust(self.teacher(image), follow=False)

    def after_step(self) -> None:
        self.teacher.follow(self.model)
