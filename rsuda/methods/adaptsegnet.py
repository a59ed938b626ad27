"""AdaptSegNet: adversarial alignment of the output space.

Tsai, Hung, Schulter, Sohn, Yang, Chandraker, "Learning to adapt structured output space for semantic segmentation", CVPR 2018,
arXiv 1802.10349.

Symbols: x_s, y_s a source image and its label, x_t a target image, P_s, P_t their class probabilities, D the
discriminator.
The single-level form, the better one with least squares. It makes the target's outputs look like the source's, and so
assumes that classes are equally frequent in both: between a town and the country they are not.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import Logits, Network
from rsuda.methods.base import Method
from rsuda.methods.blocks.discriminators import OutputDiscriminator, judged_frozen, real_loss


class AdaptSegNet(Method):
    """L = CE(x_s, y_s) + lambda GAN(D(P_t), source), and for D: (GAN(D(P_s), source) + GAN(D(P_t), target)) / 2. Options:

    Args:
        adversarial_weight: lambda (paper 0.01 with least squares, 0.001 with cross entropy).
        adversary: 'least-squares' or 'cross-entropy'.
        channels: of the discriminator's first layer (paper 64).
    """

    paper: ClassVar[str] = "Tsai et al., AdaptSegNet, CVPR 2018, arXiv 1802.10349"
    networks: ClassVar[str] = "network, discriminator"
    passes: ClassVar[tuple[float, float]] = (2, 0)
    model: Logits

    def __init__(
        self, *base: Any, adversarial_weight: float = 0.01, adversary: str = "least-squares", channels: int = 64
    ) -> None:
        super().__init__(*base)
        self.one_of("adversary", adversary, ("least-squares", "cross-entropy"))
        self.adversarial_weight, self.squared = adversarial_weight, adversary == "least-squares"
        self.model = Logits(Network(self.arch, self.weights))
        self.judge = OutputDiscriminator(self.arch.classes, channels)

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def discriminators(self) -> list[nn.Module]:
        return [self.judge]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        logits_s = self.model(batch["source_image"])
        terms = {"ce": cross_entropy(logits_s, batch["source_label"])}
        if self.adversarial_weight == 0:
            return terms["ce"], terms
        p_s, p_t = logits_s.softmax(1).detach(), self.model(batch["target_image"]).softmax(1)
        # nodata looks like no class; it shall not tell the domains apart
        p_t = torch.where(batch["target_valid"][:, None], p_t, 1 / p_t.shape[1])

        # The segmentation network's term with D frozen, D's term on detached outputs: one backward serves both.
        terms["fool"] = real_loss(judged_frozen(self.judge, p_t), True, self.squared)
        terms["judge"] = (
            real_loss(self.judge(p_s), True, self.squared) + real_loss(self.judge(p_t.detach()), False, self.squared)
        ) / 2
        return terms["ce"] + self.adversarial_weight * terms["fool"] + terms["judge"], terms
