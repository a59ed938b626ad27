"""AdaptSegNet: adversarial alignment of the output space.

Tsai, Hung, Schulter, Sohn, Yang, Chandraker, "Learning to adapt structured output space for semantic segmentation", CVPR 2018,
arXiv 1802.10349.

Symbols: x_s, y_s a source image and its label, x_t a target image, P_s, P_t their class probabilities, D the
discriminator.
The single-level form, the better one with least squares. It makes the target's outputs look like the source's, and so
assumes that classes are equally frequent in both. Between a town and the country they are not.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import PlainNetwork
from rsuda.methods.base import Method, MethodOptions, NetworkBuilder, Weight
from rsuda.methods.blocks.discriminators import OutputDiscriminator, frozen_discriminator, real_loss


class AdaptSegNet(Method):
    """L = CE(x_s, y_s) + lambda GAN(D(P_t), source), and for D: (GAN(D(P_s), source) + GAN(D(P_t), target)) / 2."""

    class Options(MethodOptions):
        adversarial_weight: Annotated[
            Weight, Field(description="lambda (paper 0.01 with least squares, 0.001 with cross entropy)")
        ] = 0.01
        adversary: Annotated[
            Literal["least-squares", "cross-entropy"], Field(description="GAN, the discriminator's loss")
        ] = "least-squares"
        channels: Annotated[
            int, Field(ge=1, le=1024, description="channels of the discriminator's first layer (paper 64)")
        ] = 64

    off: ClassVar[dict[str, Any]] = {"adversarial_weight": 0.0}
    summary: ClassVar[str] = "a discriminator pulls the target's predictions towards the source's"
    paper: ClassVar[str] = "Tsai et al., AdaptSegNet, CVPR 2018, arXiv 1802.10349"
    networks: ClassVar[str] = "network, discriminator"
    passes: ClassVar[tuple[float, float]] = (2, 0)
    model: PlainNetwork

    options: Options

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.model = build.network("plain")
        self.discriminator = OutputDiscriminator(build.arch.classes, options.channels)

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def discriminators(self) -> list[nn.Module]:
        return [self.discriminator]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        least_squares = self.options.adversary == "least-squares"
        logits_s = self.model(batch["source_image"])
        terms = {"ce": cross_entropy(logits_s, batch["source_label"])}
        if self.options.adversarial_weight == 0:
            return terms["ce"], terms
        p_s = _probabilities(logits_s.detach(), batch["source_valid"])
        p_t = _probabilities(self.model(batch["target_image"]), batch["target_valid"])

        # The segmentation network's term with D frozen, D's term on detached outputs: one backward serves both.
        terms["adversarial"] = real_loss(frozen_discriminator(self.discriminator, p_t), True, least_squares)
        terms["discriminator"] = (
            real_loss(self.discriminator(p_s), True, least_squares)
            + real_loss(self.discriminator(p_t.detach()), False, least_squares)
        ) / 2
        return terms["ce"] + self.options.adversarial_weight * terms["adversarial"] + terms["discriminator"], terms


def _probabilities(logits: Tensor, valid: Tensor) -> Tensor:
    """Compute class probabilities (B, K, H, W) in single precision. Nodata gets equal ones, or it would give the domain away."""
    p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    return torch.where(valid[:, None], p, 1 / p.shape[1])
