"""DACS: domain adaptation by cross-domain mixed sampling.

Tranheden, Olsson, Pinto, Svensson, "DACS: domain adaptation via cross-domain mixed sampling", WACV 2021, arXiv 2007.08702.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture, q the trust in pseudo labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import PlainNetwork
from rsuda.methods.base import NetworkBuilder
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.self_training import Jitter, SelfTraining, TeacherDecay, TeacherMethod


class DACS(TeacherMethod):
    """Self-training on class-mixed images: L = CE(x_s, y_s) + lambda q-weighted CE(x_m, y_m)."""

    class Options(SelfTraining):  # the paper's values
        teacher_decay: TeacherDecay = 0.99
        jitter: Jitter = 0.25

    off: ClassVar[dict[str, Any]] = {"source_only_share": 0.0, "mix_weight": 0.0}
    summary: ClassVar[str] = "self-training on mixed images: source pixels of some classes pasted onto the target"
    paper: ClassVar[str] = "Tranheden et al., DACS, WACV 2021, arXiv 2007.08702"
    networks: ClassVar[str] = "network, teacher"
    passes: ClassVar[tuple[float, float]] = (2, 2)
    model: PlainNetwork

    options: Options

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.model = build.network("plain")
        self.add_teacher()

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, key = batch["source_image"], batch["source_label"].long(), batch["key"]
        self.votes.observe(x_s, y_s, key, self.step)
        terms = {"ce": cross_entropy(self.model(x_s), y_s)}
        if self.options.mix_weight == 0 or self.source_only:
            return terms["ce"], terms
        x_t = batch["target_image"]

        pseudo = self.label(batch)
        mask = class_mask(y_s, key)
        x_m = self.build.strong(paste(mask, x_s, x_t), key, self.options.jitter)
        y_m = paste(mask, y_s, pseudo.label)
        q_m = paste(mask, torch.ones_like(pseudo.weight), pseudo.weight)

        terms["mix"] = cross_entropy(self.model(x_m), y_m, pixel_weight=q_m)
        terms["quality"] = pseudo.quality
        return terms["ce"] + self.options.mix_weight * terms["mix"], terms
