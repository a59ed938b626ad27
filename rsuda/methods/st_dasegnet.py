"""ST-DASegNet: self-training guided disentangled adaptation.

Zhao, Lyu et al., "Self-training guided disentangled adaptation for cross-domain remote sensing image semantic
segmentation", Int. J. Appl. Earth Obs. Geoinf. 2024, doi 10.1016/j.jag.2023.103646.

Symbols: x_s, y_s a source image and its label, x_t a target image. B_S, B_T are the source and target student
backbones, H_S, H_T their decoders. T_S, T_T are the EMA teachers of the decoders, D_S, D_T the domain discriminators.
F_ab is the feature of an image of domain a through backbone b.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, StrictBool
from torch import Tensor, nn

from rsuda.learning.branch_start import is_plain, load_plain
from rsuda.learning.losses import cross_entropy
from rsuda.learning.network import resize
from rsuda.learning.target_statistics import running_statistics_kept
from rsuda.learning.two_branch_network import TwoBranchNetwork
from rsuda.methods.base import Method, NetworkBuilder, PaperClassWeights, Share, Weight
from rsuda.methods.blocks.discriminators import (
    Discriminator,
    data_mask,
    domain_loss,
    frozen_discriminator,
    spatial_softmax,
)
from rsuda.methods.blocks.hints import correct_by_hints
from rsuda.methods.blocks.paper_weights import PAPER_WEIGHTS, paper_weights
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, PseudoLabelWeights, quality_weighted
from rsuda.methods.blocks.self_training import KeepShare, TeacherDecay, TeacherStatistics
from rsuda.methods.blocks.teacher import Teacher
from rsuda.methods.blocks.votes import NoVotes, VoteOptions, build_votes
from rsuda.methods.blocks.witness import witness_builder


class STDASegNet(Method):
    """L = CE of both students on x_s + lambda_P pseudo-label CE of both on x_t + lambda_A (adversarial + discriminators)."""

    class Options(VoteOptions):
        adversarial_weight: Annotated[
            Weight, Field(description="lambda_A of the adversarial and discriminator terms (paper 0.005)")
        ] = 0.005
        pseudo_weight: Annotated[Weight, Field(description="lambda_P of the pseudo-label terms (paper 0.25)")] = 0.25
        certain: Annotated[Share, Field(description="confidence that counts towards the quality q (paper 0.975)")] = (
            0.975
        )
        trusted: Annotated[
            Share, Field(description="confidence from which a pixel weighs q times its class factor (paper 0.8)")
        ] = 0.8
        pseudo_labels: Annotated[
            Literal["shared", "separate"],
            Field(
                description="'shared', the mean of both teachers supervises both students (released code, which made the "
                "published numbers), or 'separate', each teacher supervises its own student (the paper's figure 4)"
            ),
        ] = "shared"
        quality: Annotated[
            Literal["batch", "none"],
            Field(
                description="'batch', q multiplies every weight (paper), or 'none', q = 1, for runs too short for q to rise"
            ),
        ] = "batch"
        class_weights: Annotated[
            PaperClassWeights,
            Field(
                description="'paper' (of its two legends; 1 for any other) or the name of its task (potsdam-vaihingen, "
                "vaihingen-potsdam, isprs-resnet50, rural-urban, urban-rural), 'none', 'balanced' (by the square root of "
                "each class's share of the source) or one number per class, for both students"
            ),
        ] = "paper"
        disentangle: Annotated[StrictBool, Field(description="false leaves the disentangle module out (ablation)")] = (
            True
        )
        strided: Annotated[
            int,
            Field(
                ge=1,
                le=8,
                description="strided layers of the discriminators (paper 2 for MiT, 3 for ResNet-50), fewer for small windows",
            ),
        ] = 2
        statistics: Annotated[
            Literal["auto", "both", "target"],
            Field(
                description="images that batch norm's running statistics follow: 'both', source and target batches (paper), "
                "'target' batches only, or 'auto', as align.target_statistics; training normalises each domain by its own "
                "batch, and prediction sees the target alone, so mixed statistics fit neither where colours differ"
            ),
        ] = "target"
        teacher_decay: TeacherDecay = 0.999
        distort_target: Annotated[
            StrictBool,
            Field(description="whether teachers and students see the target with changed colours (paper), or as it is"),
        ] = True
        teacher_statistics: TeacherStatistics = "student"
        trust: Annotated[
            Literal["quality", "classes"],
            Field(
                description="weights of pseudo labels: 'quality', by q and ``trusted`` (paper), or 'classes', 1 for the most "
                "confident ``keep_share`` of each class's pixels and 0 for the rest, for runs too short for q to rise"
            ),
        ] = "quality"
        keep_share: KeepShare = 0.5
        source_only_share: Annotated[
            float,
            Field(
                ge=0,
                le=1,
                description="share of the run in which one branch learns the source alone for both; 0 in effect with a start, "
                "which is trained already",
            ),
        ] = 0.0

    off: ClassVar[dict[str, Any]] = {
        "adversarial_weight": 0.0,
        "pseudo_weight": 0.0,
        "class_weights": "none",
        "disentangle": False,
        "source_only_share": 0.0,
    }
    summary: ClassVar[str] = "two students, one for each domain's style, teach each other and fool discriminators"
    paper: ClassVar[str] = "Zhao, Lyu et al., ST-DASegNet, JAG 2024, arXiv 2301.05526"
    networks: ClassVar[str] = "two networks, two teachers of decoders, two discriminators"
    passes: ClassVar[tuple[float, float]] = (4, 1)
    model: TwoBranchNetwork
    options: Options
    weight_s: Tensor
    weight_t: Tensor
    factor: Tensor

    def __init__(self, build: NetworkBuilder, options: Options) -> None:
        super().__init__(build, options)
        self.distorts_target = options.distort_target
        # a run that stays source-only would train the module to no use, and its decoder on half of each feature
        source_only = (
            options.neighbours > 0 and not witness_builder(build, options).pretrained_features and build.start is None
        )
        self.model = build.network("two-branch", disentangle=options.disentangle and not source_only)
        self.teacher_s = Teacher(self.model.head_s, options.teacher_decay, options.teacher_statistics)
        self.teacher_t = Teacher(self.model.head_t, options.teacher_decay, options.teacher_statistics)
        self.trust = PseudoLabelWeights(build.arch.classes, "classes", 0.0, options.keep_share)
        self.votes = build_votes(build, options)
        deepest = self.model.backbone_s.out_channels[-1]
        self.discriminator_s = Discriminator(deepest, strided=options.strided)
        self.discriminator_t = Discriminator(deepest, strided=options.strided)
        weights = self._class_weights(options.class_weights)
        for name, values in zip(("weight_s", "weight_t", "factor"), weights, strict=True):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def _class_weights(self, option: str | list[float]) -> tuple[list[float], list[float], list[float]]:
        if option == "paper" or (isinstance(option, str) and option in PAPER_WEIGHTS):
            weights = paper_weights(option, self.spec.legend.names)
            return list(weights.h_s), list(weights.h_t), list(weights.c)
        same = self.weights_by_class(option)
        return same, same, [1.0] * len(same)

    def heads(self) -> list[nn.Module]:
        return [self.model.head_s, self.model.head_t, *([self.model.disentangle] if self.model.disentangle else [])]

    def discriminators(self) -> list[nn.Module]:
        return [self.discriminator_s, self.discriminator_t]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x_s, y_s, model = batch["source_image"], batch["source_label"], self.model
        size = (x_s.shape[-2], x_s.shape[-1])
        adapting = self.options.adversarial_weight > 0 or self.options.pseudo_weight > 0
        self.votes.observe(x_s, y_s, batch["key"], self.step)
        if self.source_only:
            terms = {"ce_s": cross_entropy(model.source_branch(x_s), y_s, self.weight_s)}
            return terms["ce_s"], terms

        # Source images through both backbones, supervised in both.
        with ExitStack() as stack:
            if adapting and self.options.statistics != "both":
                stack.enter_context(running_statistics_kept(model))
            f_ss, f_st = model.backbone_s(x_s), model.backbone_t(x_s)
            g_ss, g_st = model.separate(f_ss, f_st)
            p_ss, p_st = resize(model.head_s(g_ss)[1], size), resize(model.head_t(g_st)[1], size)
        terms = {"ce_s": cross_entropy(p_ss, y_s, self.weight_s), "ce_t": cross_entropy(p_st, y_s, self.weight_t)}
        loss = terms["ce_s"] + terms["ce_t"]
        if not adapting:
            return loss, terms

        # Target images through both backbones; the teachers label them, the students learn the labels.
        x_t, valid = batch["target_distorted" if self.distorts_target else "target_image"], batch["target_valid"]
        f_ts, f_tt = model.backbone_s(x_t), model.backbone_t(x_t)
        g_ts, g_tt = model.separate(f_ts, f_tt)
        if self.options.pseudo_weight > 0:
            for_s, for_t = self._label(g_ts, g_tt, batch)
            p_ts, p_tt = resize(model.head_s(g_ts)[1], size), resize(model.head_t(g_tt)[1], size)
            terms["pseudo"] = cross_entropy(p_ts, for_s.label, self.weight_s, for_s.weight) + cross_entropy(
                p_tt, for_t.label, self.weight_t, for_t.weight
            )
            terms["quality"] = (for_s.quality + for_t.quality) / 2
            loss = loss + self.options.pseudo_weight * terms["pseudo"]

        # Stage 1: target in B_S learns to look like source, source in B_T like target. Stage 2: the discriminators learn to
        # tell them apart, on detached features. With the discriminators frozen in stage 1, the gradient of the sum is
        # that of the two stages, so one backward pass serves both. Only the last level, before the disentangle module.
        if self.options.adversarial_weight > 0:
            # nodata takes no part, or borders would give the domains away (the paper's tiles have none)
            in_s, in_t = (data_mask(v, f_ss[-1].shape[-2:]) for v in (batch["source_valid"], valid))
            pairs = (("ss", f_ss, in_s), ("st", f_st, in_s), ("ts", f_ts, in_t), ("tt", f_tt, in_t))
            deepest = {k: spatial_softmax(f[-1], mask.cells) for k, f, mask in pairs}
            to_source = frozen_discriminator(self.discriminator_s, deepest["ts"])
            to_target = frozen_discriminator(self.discriminator_t, deepest["st"])
            terms["adversarial"] = domain_loss(to_source, True, size, in_t.weight) + domain_loss(
                to_target, True, size, in_s.weight
            )
            constant_features = {k: f.detach() for k, f in deepest.items()}
            terms["discriminator"] = (
                domain_loss(self.discriminator_s(constant_features["ss"]), True, size, in_s.weight)
                + domain_loss(self.discriminator_s(constant_features["ts"]), False, size, in_t.weight)
                + domain_loss(self.discriminator_t(constant_features["tt"]), True, size, in_t.weight)
                + domain_loss(self.discriminator_t(constant_features["st"]), False, size, in_s.weight)
            )
            # the released code scales the discriminators' own term by the same weight (nearly neutral under Adam)
            loss = loss + self.options.adversarial_weight * (terms["adversarial"] + terms["discriminator"])
        return loss, terms

    def load_start(self, tensors: Mapping[str, Tensor]) -> None:
        if is_plain(tensors):
            load_plain(self.model, tensors)
        else:
            super().load_start(tensors)

    @property
    def source_only_share(self) -> float:
        """Share of the run in which the source branch learns for both.

        The paper has no such phase; its runs are long enough without. A start is a trained network, which has this phase
        behind it. A run without votes never leaves it.
        """
        if self.votes_missing:
            return 1.0
        return 0.0 if self.build.start is not None else self.options.source_only_share

    @property
    def votes_missing(self) -> bool:
        """Whether neighbours are asked for but cannot vote.

        Pseudo labels that only the model itself supports would confirm its errors, so such a run is source-only to its end.
        """
        return self.options.neighbours > 0 and isinstance(self.votes, NoVotes)

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.votes_missing:
            late = self.build.start is not None and self.options.source_only_share > 0
            return ("the run starts from a trained network, so source_only_share has no effect",) if late else ()
        return (
            "the run learns the source alone, since pseudo labels cannot be checked by the source's classes: that needs "
            "pretrained weights and one band, three, or two of infrared, red, green and blue, and the pair has "
            f"{', '.join(self.spec.bands)} with weights '{self.build.weights}'; for self-training without the check set "
            "method.neighbours to 0",
        )

    @torch.no_grad()
    def _label(
        self, g_ts: list[Tensor], g_tt: list[Tensor], batch: dict[str, Tensor]
    ) -> tuple[PseudoLabels, PseudoLabels]:
        """Make pseudo labels for each student.

        The teachers read the students' disentangled features. Unlike the released code they do so in eval mode and
        without gradients, since live dropout only makes the labels noisy.
        """
        by_s, by_t = self.teacher_s.predict(g_ts)[1], self.teacher_t.predict(g_tt)[1]
        if self.options.pseudo_labels == "separate":
            for_s, for_t = (self._weigh(self._sized(by, batch["target_image"]), batch) for by in (by_s, by_t))
            return for_s, for_t
        for_both = self._weigh(self._sized((by_s + by_t) / 2, batch["target_image"]), batch)
        return for_both, for_both

    def _weigh(self, logits: Tensor, batch: dict[str, Tensor]) -> PseudoLabels:
        """Make pseudo labels and their weights of a teacher's logits (B, K, H, W), corrected by votes and hints.

        Without a key, for pictures, nothing is learnt from the images.
        """
        key, valid = batch.get("key"), batch["target_valid"]
        logits = self.votes(logits, batch["target_image"], key)
        logits = correct_by_hints(logits, batch.get("target_hint"), self.options.hint_accuracy)
        if self.options.trust == "classes":
            return self.trust(logits, valid, update=key is not None)
        by_quality = self.options.quality == "batch"
        return quality_weighted(logits, valid, self.factor, self.options.certain, self.options.trusted, by_quality)

    def _sized(self, logits: Tensor, image: Tensor) -> Tensor:
        """Resize logits (B, K, h, w) to (B, K, H, W), in at least single precision."""
        return resize(logits.to(torch.promote_types(logits.dtype, torch.float32)), image.shape[-2:])

    @torch.no_grad()
    def teacher_logits(self, image: Tensor) -> Tensor:
        """Predict the logits (B, K, H, W) that label images for the first student, for pictures and curves."""
        training = self.model.training
        self.model.eval()
        g_ts, g_tt = self.model.separate(self.model.backbone_s(image), self.model.backbone_t(image))
        self.model.train(training)
        by_s, by_t = self.teacher_s(g_ts)[1], self.teacher_t(g_tt)[1]
        return self._sized(by_s if self.options.pseudo_labels == "separate" else (by_s + by_t) / 2, image)

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """Make the first student's pseudo labels of images (B, bands, H, W), for pictures and curves.

        Nothing is learnt from them.
        """
        valid = torch.ones(len(image), *image.shape[-2:], dtype=torch.bool, device=image.device)
        return self._weigh(self.teacher_logits(image), {"target_image": image, "target_valid": valid})

    def after_step(self) -> None:
        if self.source_only:
            self.model.make_equal()
        self.teacher_s.update(self.model.head_s)
        self.teacher_t.update(self.model.head_t)
