"""CLUDA: contrast of pixels on DAFormer's or HRDA's training.

Vayyat, Kasi, Bhattacharya, Ahmed, Tallamraju, "CLUDA: contrastive learning in unsupervised domain adaptation for semantic
segmentation", 2022, arXiv 2208.14227.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture, q the trust in pseudo labels, F the
fused multi-level feature before dropout and classifier. Contrast is within the source batch and within the mixed batch, where
source and target pixels meet; the two batches are not contrasted with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.distributed import gathered
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Decoder, Logits, Network, resize
from rsuda.learning.two_resolution_network import (
    GRID,
    Detailed,
    TwoResolutions,
    inside,
    pasted_on_grid,
    random_boxes,
    two_resolution_cross_entropy,
    uncertain_boxes,
)
from rsuda.methods.base import Method
from rsuda.methods.blocks.contrast import pixel_contrast, points, two_resolution_contrast, unit_features
from rsuda.methods.blocks.feature_distance import feature_distance, thing_cells
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, PseudoLabelWeights
from rsuda.methods.blocks.teacher import Teacher


class CLUDA(Method):
    """L = CE(x_s, y_s) + lambda_C CL(x_s) + lambda (q-weighted CE(x_m, y_m) + lambda_C CL(x_m)) + lambda_FD distance. Options:

    Args:
        contrast_weight: lambda_C (paper 1, at temperature 1; about 0.1 at 0.1). 0 is the twin without contrast.
        temperature: tau (paper 1).
        pixels: the most pixels of a batch that are contrasted, drawn with the classes as balanced as they can be; 0 for all
            (paper: all 8450 of a 65 x 65 grid of 2 images).
        contrast_from: share of the run after which contrast sets in (paper 0).
        resolutions: 2 is the learned-weighted form on HRDA's network, 1 the plain form on DAFormer's.
        uncertain_from: with 2, share of the run after which the detail window of mixed images is the most uncertain one
            instead of a random one (paper 0.3).
        detail_weight: of HRDA's detail window (paper 0.1).
        mix_weight: lambda (paper 1).
        threshold: confidence that counts towards q (paper 0.968).
        trust, keep: 'share' is the paper's q; see DACS.
        start: share of the run that is source-only, until the teacher is worth listening to (paper 0).
        teacher_decay: final decay of the teacher (paper 0.999).
        teacher_statistics: of its batch norm: 'batch' (released codes), or 'shown', running ones of the target images.
        jitter: strength of the colour jitter of mixed images (paper 0.2).
        distance_weight: lambda_FD (paper 0.005); off without pretrained weights.
        things: classes, by commas, whose features shall stay near ImageNet's.
    """

    paper: ClassVar[str] = "Vayyat et al., CLUDA, 2022, arXiv 2208.14227"
    networks: ClassVar[str] = "network on one or two resolutions, teacher, frozen encoder"
    passes: ClassVar[tuple[float, float]] = (2, 3)
    rare_temperature: ClassVar[float] = 0.2  # the paper's 0.01 is tuned to 19 classes
    model: Logits | TwoResolutions

    def __init__(
        self,
        *base: Any,
        contrast_weight: float = 1.0,
        temperature: float = 1.0,
        pixels: int = 2048,
        contrast_from: float = 0.0,
        resolutions: int = 2,
        uncertain_from: float = 0.3,
        detail_weight: float = 0.1,
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
        self.contrast_weight, self.temperature, self.pixels = contrast_weight, temperature, pixels
        self.contrast_from, self.uncertain_from = contrast_from, uncertain_from
        self.detail_weight, self.mix_weight, self.jitter = detail_weight, mix_weight, jitter
        self.start = start
        two = resolutions == 2
        self.model = TwoResolutions(self.arch, self.weights) if two else Logits(Network(self.arch, self.weights))
        self.weigher = None
        if two:  # g: w = sigmoid(g(half-resolution features)); starts at w = 0.5 or nearly
            arch = replace(self.arch, classes=1, decoder="segformer")
            self.weigher = Decoder(arch, self.model.network.encoder.out_channels)
            for parameter in self.weigher.classifier.parameters():
                nn.init.normal_(parameter, std=1e-4)
        self.teacher = Teacher(self.model, teacher_decay, teacher_statistics)
        self.trust = PseudoLabelWeights(self.arch.classes, trust, threshold, keep)
        self.things = self.classes_named(things)
        self.distance_weight = distance_weight if self.things and self.weights != "none" else 0.0
        self.imagenet = self.frozen_encoder() if self.distance_weight else None

    @classmethod
    def smallest_crop(cls, options: Mapping[str, Any], stride: int) -> int:
        return 64 if options.get("resolutions", 2) == 2 else 32

    def heads(self) -> list[nn.Module]:
        heads: list[nn.Module] = [self.model.network.decoder]
        if isinstance(self.model, TwoResolutions) and self.weigher is not None:
            heads += [self.model.attention, self.weigher]
        return heads

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, key = batch["source_image"], batch["source_label"].long(), batch["key"]
        certain = torch.ones_like(y_s, dtype=torch.float32)
        ce, contrast, deepest, seen = self._learn(x_s, y_s, certain, key, mixed=False)
        terms = {"ce": ce, "contrast": contrast}
        loss = ce + self.contrast_weight * contrast

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
        q_m = paste(pasted, certain, pseudo.weight)
        terms["mix"], terms["mix_contrast"], _, _ = self._learn(x_m, y_m, q_m, key, mixed=True)
        terms["quality"] = pseudo.quality
        loss = loss + self.mix_weight * (terms["mix"] + self.contrast_weight * terms["mix_contrast"])
        return loss, terms

    def _learn(
        self, image: Tensor, label: Tensor, weight: Tensor, key: Tensor, mixed: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weighted cross entropy, contrast, the encoder's deepest feature, and the image it was computed from."""
        contrasting = self.contrast_weight > 0 and self.progress >= self.contrast_from
        none = weight.new_zeros(())
        if not isinstance(self.model, TwoResolutions):
            plain = self.model.network(image)
            ce = cross_entropy(plain.logits, label, pixel_weight=weight)
            contrast = self._contrast(plain.fused, label, weight, key) if contrasting else none
            return ce, contrast, plain.pyramid[-1], image
        choose = uncertain_boxes if mixed and self.progress >= self.uncertain_from else None
        out = self.model.with_detail(image, choose or random_boxes(key, image.shape[-2], image.shape[-1]))
        ce = two_resolution_cross_entropy(out, label, self.detail_weight, weight)
        contrast = self._contrast_of_two(out, label, weight, key) if contrasting else none
        return ce, contrast, out.pyramid[-1], self.model.halved(image)

    def _contrast(self, fused: Tensor, label: Tensor, weight: Tensor, key: Tensor) -> Tensor:
        # pixels of all processes meet
        fused, label, weight, key = (gathered(v) for v in (fused, label, weight, key))
        # the paper resizes to 65 x 65 whatever the crop, an eighth of 512; here an eighth of the crop at hand
        grid = (label.shape[-2] // GRID, label.shape[-1] // GRID)
        chosen = points(label, weight, grid, key, self.pixels)
        return pixel_contrast(unit_features(fused, grid, chosen.place), chosen, self.temperature)

    def _contrast_of_two(self, out: Detailed, label: Tensor, weight: Tensor, key: Tensor) -> Tensor:
        assert self.weigher is not None
        # pixels of all processes meet
        box, low, high, label, weight, key = (gathered(v) for v in (out.box, out.low, out.high, label, weight, key))
        whole = (label.shape[-2], label.shape[-1])
        size, grid = (whole[0] // 2, whole[1] // 2), (whole[0] // GRID, whole[1] // GRID)
        chosen = points(label, weight, grid, key, self.pixels)
        within = inside(box, size, whole, GRID).flatten()[chosen.place] > 0
        g = gathered(self.weigher(out.pyramid)[1])
        w = resize(g.to(torch.promote_types(g.dtype, torch.float32)), grid).sigmoid().flatten()[chosen.place]
        near = unit_features(low, grid, chosen.place)
        far = unit_features(pasted_on_grid(high, box, whole), grid, chosen.place)
        return two_resolution_contrast(near, far, within, w, chosen, self.temperature)

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """The teacher's labels of images, for looking at."""
        return self.trust(self.teacher(image), follow=False)

    def after_step(self) -> None:
        self.teacher.follow(self.model)
