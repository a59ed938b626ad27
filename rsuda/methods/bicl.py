"""BiCL: bi-directional contrast of pixels and prototypes.

Lee, Eom, Lee, Park, Ham, "Bi-directional contrastive learning for domain adaptive semantic segmentation", ECCV 2022,
arXiv 2207.10892.

Symbols: x_s, y_s a source image and its label, x_t a target image. f_S, f_T their features before the classifier;
rho_S, rho_T the class prototypes. y_F static and y_D dynamic pseudo labels, y_T both together; xi the bias of each
class between domains.

The paper says what calibration and dynamic labels are for; its released code has neither at work. What is not known of
them is an option here: calibration, threshold, scope, ce_on_hybrid, static.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, StrictBool
from torch import Tensor, nn

from rsuda.core.legend import IGNORE
from rsuda.learning.cells import labels_on_grid
from rsuda.learning.distributed import all_gather, rank, world_size
from rsuda.learning.losses import cross_entropy, entropy, labelled_cross_entropy
from rsuda.learning.network import PlainNetwork
from rsuda.methods.base import NetworkBuilder, Share, Weight
from rsuda.methods.blocks.contrast import weight_by_share
from rsuda.methods.blocks.prototypes import (
    Calibration,
    Prototypes,
    masked_average,
    prototype_contrast,
    transfer,
)
from rsuda.methods.blocks.pseudo_labels import PseudoLabelWeights
from rsuda.methods.blocks.self_training import (
    ContrastShare,
    TeacherDecay,
    TeacherLabels,
    TeacherStatistics,
)
from rsuda.methods.blocks.teacher import Teacher
from rsuda.methods.blocks.votes import VoteOptions, build_votes


class BiCL(TeacherLabels):
    """L = CE(x_s, y_s) + l_T CE(x_t, y_F) + l_H (H(P_S) + l_T H(P_T)) + l_1 FCL + l_2 BCL."""

    class Options(VoteOptions):
        forward_weight: Annotated[Weight, Field(description="l_1 (released code 0.2)")] = 0.2
        backward_weight: Annotated[
            Weight, Field(description="l_2 (released code 0.2); l_1 and l_2 at 0 leave contrast out")
        ] = 0.2
        contrast_share: ContrastShare = 0.0
        target_weight: Annotated[Weight, Field(description="l_T (released code 0.3)")] = 0.3
        entropy_weight: Annotated[Weight, Field(description="l_H (released code 0.4)")] = 0.4
        temperature: Annotated[float, Field(gt=0, description="tau (released code 0.1)")] = 0.1
        static: Annotated[
            Literal["teacher", "rounds"],
            Field(
                description="source of the static labels: 'teacher', the moving average of the student, or 'rounds', the "
                "student as it was at the start of each of ``rounds`` equal parts of the run (released code, 10 rounds)"
            ),
        ] = "teacher"
        rounds: Annotated[int, Field(ge=1, description="see ``static``")] = 10
        teacher_decay: TeacherDecay = 0.999
        teacher_statistics: TeacherStatistics = "batch"
        keep_share: Annotated[
            float,
            Field(
                gt=0,
                le=1,
                description="share of the most confident pixels of each class, and of each image, that get a static label "
                "(released code 0.1; 0.1 of five classes leaves little, see the presets)",
            ),
        ] = 0.1
        dynamic: Annotated[
            StrictBool,
            Field(
                description="whether pixels without a static label may get one from the nearest calibrated source prototype"
            ),
        ] = True
        threshold: Annotated[
            Share, Field(description="softmax of the cosines above which they do (released code 0.8)")
        ] = 0.8
        calibration: Annotated[
            Share,
            Field(
                description="momentum of xi; 1 turns calibration off; at 0.99 nine tenths of a bias are absorbed after 230 steps"
            ),
        ] = 0.99
        centred: Annotated[
            StrictBool,
            Field(
                description="whether cosines are those of features minus the mean of both domains (released code: no); "
                "features after a ReLU all have positive cosines"
            ),
        ] = False
        scope: Annotated[
            Literal["batch", "pair"],
            Field(
                description="prototypes of the 'batch', since windows often lack a class, or of each image 'pair' "
                "(released code)"
            ),
        ] = "batch"
        ce_on_hybrid: Annotated[
            StrictBool, Field(description="whether y_D enters the cross entropy on the target too (released code: no)")
        ] = False
        source_only_share: Annotated[
            Share, Field(description="share of the run that is source-only (paper: a source-only stage before)")
        ] = 0.1

    off: ClassVar[dict[str, Any]] = {
        "forward_weight": 0.0,
        "backward_weight": 0.0,
        "target_weight": 0.0,
        "entropy_weight": 0.0,
        "source_only_share": 0.0,
    }
    summary: ClassVar[str] = (
        "self-training with contrast between features and class means, from each domain to the other"
    )
    paper: ClassVar[str] = "Lee et al., BiCL, ECCV 2022, arXiv 2207.10892"
    networks: ClassVar[str] = "network, teacher"
    passes: ClassVar[tuple[float, float]] = (2, 2)
    model: PlainNetwork

    options: Options

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        classes = build.arch.classes
        self.model = build.network("plain")
        decay = options.teacher_decay if options.static == "teacher" else 0.0
        self.labeller = Teacher(self.model, decay, options.teacher_statistics)
        self.trust = PseudoLabelWeights(classes, "classes", 0.0, options.keep_share)
        self.votes = build_votes(build, options)
        self.calibration = Calibration(classes, self.model.network.decoder.width, options.calibration)

    def labelling_teacher(self) -> Teacher:
        return self.labeller

    def heads(self) -> list[nn.Module]:
        return [self.model.network.decoder]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s = batch["source_image"], batch["source_label"].long()
        self.votes.observe(x_s, y_s, batch["key"], self.step)
        source = self.model.network(x_s)
        # over all pixels as in all methods here (released code: over labelled ones)
        terms = {"ce": cross_entropy(source.logits, y_s)}
        weights = (
            self.options.forward_weight,
            self.options.backward_weight,
            self.options.target_weight,
            self.options.entropy_weight,
        )
        if self.source_only or not any(weights):
            return terms["ce"], terms

        x_t, valid = batch["target_image"], batch["target_valid"]
        target = self.model.network(x_t)
        y_f = self._static(batch)
        # cosines and their softmax in single precision, whatever the networks run at
        with torch.autocast(x_s.device.type, enabled=False):
            f_s, f_t = (f.to(torch.promote_types(f.dtype, torch.float32)) for f in (source.fused, target.fused))
            forward, backward, y_t = self._contrast(f_s, f_t, y_s, y_f, valid)
        terms |= {"forward": forward, "backward": backward}

        if self.options.ce_on_hybrid:
            size = (y_f.shape[-2], y_f.shape[-1])
            on_pixels = nn.functional.interpolate(y_t[:, None].float(), size=size, mode="nearest")[:, 0].long()
            y_f = torch.where((y_f == IGNORE) & valid, on_pixels, y_f)
        terms["ce_target"] = labelled_cross_entropy(target.logits, y_f)
        terms["entropy"] = entropy(source.logits, batch["source_valid"]) + self.options.target_weight * entropy(
            target.logits, valid
        )
        scale: Tensor | float = 1.0
        if self.options.contrast_share:
            contrast = self.options.forward_weight * forward + self.options.backward_weight * backward
            fused = [source.fused, target.fused]
            scale = weight_by_share(contrast, terms["ce"], fused, self.options.contrast_share)
        loss = (
            terms["ce"]
            + self.options.target_weight * terms["ce_target"]
            + self.options.entropy_weight * terms["entropy"]
            + self.options.forward_weight * scale * forward
            + self.options.backward_weight * scale * backward
        )
        return loss, terms

    @torch.no_grad()
    def _static(self, batch: dict[str, Tensor]) -> Tensor:
        """Compute y_F: the labels of the most confident pixels of each class, or of each image; 255 elsewhere.

        The released code labels the whole training set at the start of a round and stores it. Here patches are labelled
        as they come, by a network that stays the same for the round. Only the thresholds differ: they are moving averages.
        """
        labels, valid = self.label(batch), batch["target_valid"]
        confidence = labels.confidence.where(valid, -1.0).flatten(1)
        pixels = confidence.shape[1]
        number = max(1, round(pixels * self.options.keep_share))
        level = confidence.kthvalue(pixels - number + 1).values[:, None, None]
        of_image = (labels.confidence >= level) & valid
        return torch.where((labels.weight > 0) | of_image, labels.label, IGNORE)

    def _contrast(
        self, f_s: Tensor, f_t: Tensor, y_s: Tensor, y_f: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute FCL, BCL and the hybrid labels on the features' grid.

        The paper contrasts at image size, on labels and cosines repeated by nearest. On the grid the loss is the same
        and costs less.
        """
        classes, size = self.build.arch.classes, (f_s.shape[-2], f_s.shape[-1])
        g_s, g_f = labels_on_grid(y_s, classes, size), labels_on_grid(y_f, classes, size)
        g_valid = labels_on_grid((~valid).long(), 1, size) == 0
        rows = slice(len(f_s))
        # the bias follows pair after pair, so every process sees them all
        if self.options.scope == "pair" and world_size() > 1:
            rows = slice(rank() * len(f_s), (rank() + 1) * len(f_s))
            f_s, f_t, g_s, g_f, g_valid = (all_gather(v) for v in (f_s, f_t, g_s, g_f, g_valid))
        # the gradient of a slice would come back in another order of memory, which slows the network's backward pass
        images = len(f_s) if self.options.scope == "batch" else 1
        parts = zip(*(v.split(images) for v in (f_s, f_t, g_s, g_f, g_valid)), strict=True)
        forward, backward, hybrid = [], [], []
        for z_s, z_t, l_s, l_f, l_valid in parts:
            if self.options.centred:
                data = torch.cat((l_s != IGNORE, l_valid))
                centre = masked_average(torch.cat((z_s, z_t)), torch.where(data, 0, IGNORE), 1).mean[0, :, None, None]
                z_s, z_t = z_s - centre, z_t - centre
            rho_s = masked_average(z_s, l_s, classes)
            # the bias is estimated from static labels alone: dynamic ones come from it
            self.calibration.update(rho_s, masked_average(z_t, l_f, classes))
            g_t = self._hybrid(z_t, l_f, l_valid, rho_s)
            rho_t = masked_average(z_t, g_t, classes)
            both = rho_s.present & rho_t.present
            forward.append(prototype_contrast(z_t, g_t, rho_s, both, self.options.temperature))
            backward.append(prototype_contrast(z_s, l_s, rho_t, both, self.options.temperature))
            hybrid.append(g_t)
        return torch.stack(forward).mean(), torch.stack(backward).mean(), torch.cat(hybrid)[rows]

    def _hybrid(self, f_t: Tensor, static: Tensor, valid: Tensor, rho_s: Prototypes) -> Tensor:
        """Compute y_T: static labels first, then those of the nearest calibrated source prototype.

        Calibrated prototypes serve labels only; inside the losses they would satisfy them without any adaptation.
        """
        if not self.options.dynamic:
            return static
        nearest = transfer(f_t, self.calibration(rho_s), self.options.temperature, self.options.threshold)
        return torch.where((static == IGNORE) & valid, nearest, static)

    def after_step(self) -> None:
        if self.options.static == "teacher" or self._begins_round:
            self.labeller.update(self.model)

    @property
    def _begins_round(self) -> bool:
        """Whether the student labels from the next step on as it is now.

        The first labels are those of the source-only model, as in the released code, or of the start.
        """
        now, then = (step * self.options.rounds // self.steps for step in (self.step, self.step + 1))
        return then > now or self.source_only or int(self.labeller.n_averaged) == 0
