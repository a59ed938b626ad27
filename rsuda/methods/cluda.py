"""CLUDA: contrast of pixels on DAFormer's or HRDA's training.

Vayyat, Kasi, Bhattacharya, Ahmed, Tallamraju, "CLUDA: contrastive learning in unsupervised domain adaptation for semantic
segmentation", 2022, arXiv 2208.14227.

Symbols: x_s, y_s a source image and its label, x_t a target image, x_m, y_m their mixture. q is the trust in pseudo
labels, F the fused multi-level feature before dropout and classifier. Contrast is within the source batch and within
the mixed batch, where source and target pixels meet. The two batches are not contrasted with each other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, StrictBool
from torch import Tensor, nn
from torch.nn.functional import normalize

from rsuda.learning.distributed import all_gather
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Decoder, resize
from rsuda.learning.two_resolution_network import (
    GRID,
    Detailed,
    TwoResolutionNetwork,
    inside,
    pasted_on_grid,
    random_boxes,
    two_resolution_cross_entropy,
    uncertain_boxes,
)
from rsuda.methods.base import NetworkBuilder, Share, Weight
from rsuda.methods.blocks.contrast import (
    features_at,
    pixel_contrast,
    points,
    two_resolution_contrast,
    weight_by_share,
)
from rsuda.methods.blocks.mixing import class_mask, paste
from rsuda.methods.blocks.self_training import ContrastShare
from rsuda.methods.blocks.two_resolution_training import TwoResolutionMethod, TwoResolutionTraining


class CLUDA(TwoResolutionMethod):
    """L = CE(x_s, y_s) + lambda_C CL(x_s) + lambda (q-weighted CE(x_m, y_m) + lambda_C CL(x_m)) + lambda_FD distance.

    With two resolutions it is the learned-weighted form on HRDA's network, with one the plain form on DAFormer's.
    """

    class Options(TwoResolutionTraining):
        contrast_weight: Annotated[
            Weight, Field(description="lambda_C (paper 1, at temperature 1; about 0.1 at 0.1); 0 leaves contrast out")
        ] = 1.0
        contrast_share: ContrastShare = 0.0
        temperature: Annotated[float, Field(gt=0, description="tau (paper 1)")] = 1.0
        pixels: Annotated[
            int,
            Field(
                ge=0,
                description="the most pixels of a batch that are contrasted, drawn with the classes as balanced as they "
                "can be; 0 for all (paper: all 8450 of a 65 x 65 grid of 2 images)",
            ),
        ] = 2048
        centred: Annotated[
            StrictBool,
            Field(
                description="whether cosines are those of features minus their mean over the contrasted pixels (paper: no); "
                "features after a ReLU all have positive cosines"
            ),
        ] = False
        contrast_from: Annotated[Share, Field(description="share of the run after which contrast begins (paper 0)")] = (
            0.0
        )
        uncertain_from: Annotated[
            Share,
            Field(
                description="with 2 resolutions, share of the run after which the detail window of mixed images is the "
                "most uncertain one instead of a random one (paper 0.3)"
            ),
        ] = 0.3

    off: ClassVar[dict[str, Any]] = {
        "source_only_share": 0.0,
        "mix_weight": 0.0,
        "distance_weight": 0.0,
        "contrast_weight": 0.0,
        "resolutions": 1,
    }
    summary: ClassVar[str] = "self-training on mixed images, with contrast between the features of both domains"
    paper: ClassVar[str] = "Vayyat et al., CLUDA, 2022, arXiv 2208.14227"
    networks: ClassVar[str] = "network on one or two resolutions, teacher, frozen encoder"
    passes: ClassVar[tuple[float, float]] = (2, 3)
    rare_temperature: ClassVar[float] = 0.2  # the paper's 0.01 is tuned to 19 classes

    options: Options

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.add_model()
        self.weigher = None
        if isinstance(self.model, TwoResolutionNetwork):
            # g: w = sigmoid(g(half-resolution features)); it starts at w = 0.5 or nearly
            arch = replace(build.arch, classes=1, decoder="segformer")
            self.weigher = Decoder(arch, self.model.network.encoder.out_channels)
            for parameter in self.weigher.classifier.parameters():
                nn.init.normal_(parameter, std=1e-4)
        self.add_teacher()
        self.add_frozen_encoder()

    def heads(self) -> list[nn.Module]:
        return [*super().heads(), *([self.weigher] if self.weigher is not None else [])]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, key = batch["source_image"], batch["source_label"].long(), batch["key"]
        self.votes.observe(x_s, y_s, key, self.step)
        certain = torch.ones_like(y_s, dtype=torch.float32)
        ce, contrast, weight, deepest, image = self._learn(x_s, y_s, certain, key, mixed=False)
        terms = {"ce": ce, "contrast": contrast}
        loss = ce + weight * contrast

        if self.imagenet is not None:
            terms["distance"] = self.distance(image, deepest, y_s)
            loss = loss + self.distance_weight * terms["distance"]
        if self.options.mix_weight == 0 or self.source_only:
            return loss, terms

        x_t = batch["target_image"]
        pseudo = self.label(batch)
        mask = class_mask(y_s, key)
        x_m = self.build.strong(paste(mask, x_s, x_t), key, self.options.jitter)
        y_m = paste(mask, y_s, pseudo.label)
        q_m = paste(mask, certain, pseudo.weight)
        terms["mix"], terms["mix_contrast"], weight, _, _ = self._learn(x_m, y_m, q_m, key, mixed=True)
        terms["quality"] = pseudo.quality
        loss = loss + self.options.mix_weight * (terms["mix"] + weight * terms["mix_contrast"])
        return loss, terms

    def _learn(
        self, image: Tensor, label: Tensor, weight: Tensor, key: Tensor, mixed: bool
    ) -> tuple[Tensor, Tensor, Tensor | float, Tensor, Tensor]:
        """Compute the loss of images: weighted cross entropy and contrast.

        Returns:
            the cross entropy, the contrast and its weight, the encoder's deepest feature, and the image of that feature.
        """
        has_contrast = self.options.contrast_weight > 0 and self.progress >= self.options.contrast_from
        none = weight.new_zeros(())
        if not isinstance(self.model, TwoResolutionNetwork):
            plain = self.model.network(image)
            ce = cross_entropy(plain.logits, label, pixel_weight=weight)
            contrast = self._contrast(plain.fused, label, weight, key) if has_contrast else none
            return ce, contrast, self._weight(contrast, ce, [plain.fused]), plain.pyramid[-1], image
        choose = uncertain_boxes if mixed and self.progress >= self.options.uncertain_from else None
        out = self.model.with_detail(image, choose or random_boxes(key, image.shape[-2], image.shape[-1]))
        ce = two_resolution_cross_entropy(out, label, self.options.detail_weight, weight)
        contrast = self._contrast_of_two(out, label, weight, key) if has_contrast else none
        return ce, contrast, self._weight(contrast, ce, [out.low, out.high]), out.pyramid[-1], self.model.halved(image)

    def _weight(self, contrast: Tensor, ce: Tensor, fused: list[Tensor]) -> Tensor | float:
        """Return lambda_C, or the weight that gives contrast its share of the gradient."""
        share = self.options.contrast_share
        return weight_by_share(contrast, ce, fused, share) if share else self.options.contrast_weight

    def _contrast(self, fused: Tensor, label: Tensor, weight: Tensor, key: Tensor) -> Tensor:
        # pixels of all processes meet
        fused, label, weight, key = (all_gather(v) for v in (fused, label, weight, key))
        # the paper resizes to 65 x 65 whatever the window, an eighth of 512; this is an eighth of any window
        grid = (label.shape[-2] // GRID, label.shape[-1] // GRID)
        pixels = points(label, weight, grid, key, self.options.pixels)
        z = features_at(fused, grid, pixels.place)
        return pixel_contrast(normalize(z - self._centre(z), dim=1), pixels, self.options.temperature)

    def _contrast_of_two(self, out: Detailed, label: Tensor, weight: Tensor, key: Tensor) -> Tensor:
        assert self.weigher is not None
        # pixels of all processes meet
        box, low, high, label, weight, key = (all_gather(v) for v in (out.box, out.low, out.high, label, weight, key))
        whole = (label.shape[-2], label.shape[-1])
        size, grid = (whole[0] // 2, whole[1] // 2), (whole[0] // GRID, whole[1] // GRID)
        pixels = points(label, weight, grid, key, self.options.pixels)
        within = inside(box, size, whole, GRID).flatten()[pixels.place] > 0
        g = all_gather(self.weigher(out.pyramid)[1])
        w = resize(g.to(torch.promote_types(g.dtype, torch.float32)), grid).sigmoid().flatten()[pixels.place]
        near, far = (features_at(f, grid, pixels.place) for f in (low, pasted_on_grid(high, box, whole)))
        centre = self._centre(near)  # far features are those of some points only
        near, far = normalize(near - centre, dim=1), normalize(far - centre, dim=1)
        return two_resolution_contrast(near, far, within, w, pixels, self.options.temperature)

    def _centre(self, z: Tensor) -> Tensor:
        """Compute what is subtracted of features (N, C) before their cosines: 0 as in the paper, or their mean."""
        return z.mean(0) if self.options.centred else z.new_zeros(())
