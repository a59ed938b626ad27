"""Share what methods of self-training have in common: their options, and labels by a teacher and votes.

A paper's own class changes the defaults of options.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from rsuda.methods.base import Method, Share, Weight
from rsuda.methods.blocks.hints import correct_by_hints
from rsuda.methods.blocks.pseudo_labels import PseudoLabels, PseudoLabelWeights
from rsuda.methods.blocks.teacher import Teacher
from rsuda.methods.blocks.votes import NoVotes, VoteOptions, Votes, build_votes

TeacherDecay = Annotated[float, Field(ge=0, lt=1, description="final decay of the teacher's moving average")]
TeacherStatistics = Annotated[
    Literal["student", "batch", "target"],
    Field(
        description="statistics of the teacher's batch norm: 'batch', of the batch (released codes), 'target', running "
        "ones of the target images, or 'student', copies of the student's"
    ),
]
KeepShare = Annotated[
    float, Field(gt=0, le=1, description="share of the most confident pixels of each class that 'trust: classes' keeps")
]
SourceOnlyShare = Annotated[
    float,
    Field(ge=0, le=1, description="share of the run that is source-only, until the teacher is worth learning from"),
]
ContrastShare = Annotated[
    float,
    Field(
        ge=0,
        description="above 0, contrast is weighted at every step so that its gradient at the fused feature has this share of "
        "the norm of the cross entropy's; its weights then say only how its terms compare (paper 0: fixed weights)",
    ),
]
Jitter = Annotated[float, Field(ge=0, le=1, description="strength of the colour jitter of mixed images")]


class SelfTraining(VoteOptions):
    """Self-training on images mixed from both domains, with the labels of a teacher."""

    mix_weight: Annotated[Weight, Field(description="lambda, the weight of mixed images (paper 1)")] = 1.0
    threshold: Annotated[Share, Field(description="confidence that counts towards q (paper 0.968)")] = 0.968
    trust: Annotated[
        Literal["share", "pixels", "classes"],
        Field(
            description="how far pseudo labels are trusted: 'share', q is one number for the batch (paper), 'pixels', "
            "confident pixels only, or 'classes', the most confident pixels of each class only"
        ),
    ] = "share"
    keep_share: KeepShare = 0.5
    source_only_share: SourceOnlyShare = 0.0
    teacher_decay: TeacherDecay = 0.999
    teacher_statistics: TeacherStatistics = "batch"
    jitter: Jitter = 0.2


class TeacherLabels(Method):
    """A method that labels the target by one teacher and corrects its labels by votes. It builds all three itself."""

    options: VoteOptions
    trust: PseudoLabelWeights
    votes: Votes | NoVotes

    def labelling_teacher(self) -> Teacher:
        """Return the teacher; methods store it under names that their checkpoints keep."""
        raise NotImplementedError

    @torch.no_grad()
    def label(self, batch: dict[str, Tensor]) -> PseudoLabels:
        """Make pseudo labels of a batch's target images; thresholds, statistics and votes learn from them."""
        x_t, hint = batch["target_image"], batch.get("target_hint")
        logits = self.votes(self.labelling_teacher().predict(x_t), x_t, batch["key"])
        return self.trust(correct_by_hints(logits, hint, self.options.hint_accuracy), batch["target_valid"])

    @torch.no_grad()
    def teacher_logits(self, image: Tensor) -> Tensor:
        """Predict logits (B, K, H, W) of the teacher alone, for pictures and curves."""
        logits: Tensor = self.labelling_teacher()(image)
        return logits

    @torch.no_grad()
    def pseudo_labels_of(self, image: Tensor) -> PseudoLabels:
        """Make the labels of images (B, bands, H, W), for pictures and curves; nothing is learnt from them."""
        return self.trust(self.votes(self.teacher_logits(image), image), update=False)


class TeacherMethod(TeacherLabels):
    """A method whose teacher is the moving average of its whole model."""

    options: SelfTraining

    def add_teacher(self) -> None:
        """Build the teacher of ``self.model``, the trust in its labels, and the votes on them."""
        options = self.options
        self.teacher = Teacher(self.model, options.teacher_decay, options.teacher_statistics)
        self.trust = PseudoLabelWeights(self.build.arch.classes, options.trust, options.threshold, options.keep_share)
        self.votes = build_votes(self.build, options)

    def labelling_teacher(self) -> Teacher:
        return self.teacher

    def after_step(self) -> None:
        self.teacher.update(self.model)
