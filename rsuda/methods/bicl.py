"""BiCL: bi-directional contrast of pixels and prototypes.

Lee, Eom, Lee, Park, Ham, "Bi-directional contrastive learning for domain adaptive semantic segmentation", ECCV 2022,
arXiv 2207.10892.

Symbols: x_s, y_s a source image and its label, x_t a target image; f_S, f_T their features before the classifier; rho_S,
rho_T the class prototypes; y_F static and y_D dynamic pseudo labels, y_T both together; xi the bias of each class between
domains.

The paper says what calibration and dynamic labels are for; its released code has neither at work. What is not known of
them is an option here: calibration, threshold, scope, ce_on_hybrid, static.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rsuda.core.legend import IGNORE
from rsuda.learning.distributed import count, gathered, rank
from rsuda.learning.losses import cross_entropy, entropy, labelled_cross_entropy
from rsuda.learning.network import Logits, Network
from rsuda.methods.base import Method
from rsuda.methods.blocks.prototypes import (
    Calibration,
    Prototypes,
    labels_on_grid,
    masked_average,
    prototype_contrast,
    transfer,
)
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, PseudoLabelWeights
from rsuda.methods.blocks.teacher import Teacher


class BiCL(Method):
    """L = CE(x_s, y_s) + l_T CE(x_t, y_F) + l_H (H(P_S) + l_T H(P_T)) + l_1 FCL + l_2 BCL. Options:

    Args:
        forward_weight, backward_weight: l_1 and l_2 (released code 0.2). Both 0 is the twin without contrast.
        target_weight: l_T (released code 0.3).
        entropy_weight: l_H (released code 0.4).
        temperature: tau (released code 0.1).
        static: who gives the static labels: 'teacher', the moving average of the student, or 'rounds', the student as it was
            at the start of each of ``rounds`` equal parts of the run (released code, 10 rounds).
        rounds: see ``static``.
        teacher_decay: final decay of that teacher.
        teacher_statistics: of its batch norm: 'batch' (released codes), or 'shown', running ones of the target images.
        keep: share of the most confident pixels of each class, and of each image, that get a static label (released code
            0.1; 0.1 of five classes leaves little, see the presets).
        dynamic: whether pixels without a static label may get one from the nearest calibrated source prototype.
        threshold: softmax of the cosines above which they do (released code 0.8).
        calibration: momentum of xi; 1 is no calibration. At 0.99 nine tenths of a bias are absorbed after 230 steps.
        scope: prototypes of the 'batch', since crops often lack a class, or of each image 'pair' (released code).
        ce_on_hybrid: whether y_D enters the cross entropy on the target too (released code: no).
        start: share of the run that is source-only (paper: a source-only stage before).
    """

    paper: ClassVar[str] = "Lee et al., BiCL, ECCV 2022, arXiv 2207.10892"
    networks: ClassVar[str] = "network, teacher"
    passes: ClassVar[tuple[float, float]] = (2, 2)
    model: Logits

    def __init__(
        self,
        *base: Any,
        forward_weight: float = 0.2,
        backward_weight: float = 0.2,
        target_weight: float = 0.3,
        entropy_weight: float = 0.4,
        temperature: float = 0.1,
        static: str = "teacher",
        rounds: int = 10,
        teacher_decay: float = 0.999,
        teacher_statistics: str = "batch",
        keep: float = 0.1,
        dynamic: bool = True,
        threshold: float = 0.8,
        calibration: float = 0.99,
        scope: str = "batch",
        ce_on_hybrid: bool = False,
        start: float = 0.1,
    ) -> None:
        super().__init__(*base)
        self.one_of("static", static, ("teacher", "rounds"))
        self.one_of("scope", scope, ("batch", "pair"))
        self.forward_weight, self.backward_weight = forward_weight, backward_weight
        self.target_weight, self.entropy_weight, self.temperature = target_weight, entropy_weight, temperature
        self.static, self.rounds, self.keep, self.dynamic = static, rounds, keep, dynamic
        self.threshold, self.scope, self.ce_on_hybrid, self.start = threshold, scope, ce_on_hybrid, start
        self.model = Logits(Network(self.arch, self.weights))
        self.labeller = Teacher(self.model, teacher_decay if static == "teacher" else 0.0, teacher_statistics)
        self.trust = PseudoLabelWeights(self.arch.classes, "classes", 0.0, keep)
        self.calibration = Calibration(self.arch.classes, self.model.network.decoder.width, calibration)

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s = batch["source_image"], batch["source_label"].long()
        source = self.model.network(x_s)
        # over all pixels as in all methods here (released code: over labelled ones)
        terms = {"ce": cross_entropy(source.logits, y_s)}
        weights = (self.forward_weight, self.backward_weight, self.target_weight, self.entropy_weight)
        if self.progress < self.start or not any(weights):
            return terms["ce"], terms

        x_t, valid = batch["target_image"], batch["target_valid"]
        target = self.model.network(x_t)
        y_f = self._static(x_t, valid)
        # cosines and their softmax in single precision, whatever the networks run at
        with torch.autocast(x_s.device.type, enabled=False):
            f_s, f_t = (f.to(torch.promote_types(f.dtype, torch.float32)) for f in (source.fused, target.fused))
            forward, backward, y_t = self._contrast(f_s, f_t, y_s, y_f, valid)
        terms |= {"forward": forward, "backward": backward}

        if self.ce_on_hybrid:
            size = (y_f.shape[-2], y_f.shape[-1])
            on_pixels = nn.functional.interpolate(y_t[:, None].float(), size=size, mode="nearest")[:, 0].long()
            y_f = torch.where((y_f == IGNORE) & valid, on_pixels, y_f)
        terms["ce_target"] = labelled_cross_entropy(target.logits, y_f)
        everywhere = torch.ones_like(valid)
        terms["entropy"] = entropy(source.logits, everywhere) + self.target_weight * entropy(target.logits, valid)
        loss = (
            terms["ce"] + self.target_weight * terms["ce_target"] + self.entropy_weight * terms["entropy"]
            + self.forward_weight * forward + self.backward_weight * backward
        )  # fmt: skip
        return loss, terms

    @torch.no_grad()
    def _static(self, x_t: Tensor, valid: Tensor) -> Tensor:
        """y_F: labels of the most confident pixels of each class, or of each image; 255 elsewhere.

        The released code labels the whole training set at the start of a round and stores it; labelling patches as they
        come, by a network that stays the same for the round, is the same but for the thresholds, which are moving averages.
        """
        found = self.trust(self.labeller.look(x_t), valid)
        confidence = found.confidence.where(valid, -1.0).flatten(1)
        rank = max(1, round(confidence.shape[1] * self.keep))
        local = found.confidence >= confidence.kthvalue(confidence.shape[1] - rank + 1).values[:, None, None]
        return torch.where((found.weight > 0) | (local & valid), found.label, IGNORE)

    def _contrast(
        self, f_s: Tensor, f_t: Tensor, y_s: Tensor, y_f: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """FCL, BCL and the hybrid labels on the features' grid. The paper contrasts at image size, on labels and cosines
        repeated by nearest; on the grid it is the same loss for less."""
        classes, size = self.arch.classes, (f_s.shape[-2], f_s.shape[-1])
        g_s, g_f = labels_on_grid(y_s, classes, size), labels_on_grid(y_f, classes, size)
        shown = labels_on_grid((~valid).long(), 1, size) == 0
        own = slice(len(f_s))
        if self.scope == "pair" and count() > 1:  # the bias follows pair after pair, so every process sees them all
            own = slice(rank() * len(f_s), (rank() + 1) * len(f_s))
            f_s, f_t, g_s, g_f, shown = (gathered(v) for v in (f_s, f_t, g_s, g_f, shown))
        everything = [slice(None)] if self.scope == "batch" else [slice(i, i + 1) for i in range(len(f_s))]
        forward, backward, hybrid = [], [], []
        for part in everything:
            rho_s = masked_average(f_s[part], g_s[part], classes)
            # the bias is estimated from static labels alone: dynamic ones come from it
            self.calibration.follow(rho_s, masked_average(f_t[part], g_f[part], classes))
            g_t = self._hybrid(f_t[part], g_f[part], shown[part], rho_s)
            rho_t = masked_average(f_t[part], g_t, classes)
            both = rho_s.present & rho_t.present
            forward.append(prototype_contrast(f_t[part], g_t, rho_s, both, self.temperature))
            backward.append(prototype_contrast(f_s[part], g_s[part], rho_t, both, self.temperature))
            hybrid.append(g_t)
        return torch.stack(forward).mean(), torch.stack(backward).mean(), torch.cat(hybrid)[own]

    def _hybrid(self, f_t: Tensor, static: Tensor, shown: Tensor, rho_s: Prototypes) -> Tensor:
        """y_T: static labels first, then those of the nearest calibrated source prototype. Calibrated prototypes serve
        labels only; inside the losses they would satisfy them without any adaptation."""
        if not self.dynamic:
            return static
        found = transfer(f_t, self.calibration(rho_s), self.temperature, self.threshold)
        return torch.where((static == IGNORE) & shown, found, static)

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """The labeller's labels of images, for looking at."""
        return self.trust(self.labeller(image), follow=False)

    def after_step(self) -> None:
        if self.static == "teacher" or self.global_step % max(1, self.optimisation.steps // self.rounds) == 0:
            self.labeller.follow(self.model)
