"""Name the options that methods of self-training share; a paper's own class changes their defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rsuda.methods.base import MethodOptions, Share, Weight

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
NeighbourWeight = Annotated[
    Weight,
    Field(
        description="weight of the votes of labelled source cells in the frozen pretrained encoder, beside the teacher's "
        "softmax; 0 for no votes; without pretrained weights of three bands they are off"
    ),
]
NeighbourSpread = Annotated[
    Share,
    Field(description="share of a target cell's pseudo label that similar target cells have; needs ``neighbours``"),
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


class SelfTraining(MethodOptions):
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
    neighbours: NeighbourWeight = 0.0
    spread: NeighbourSpread = 0.0


class FeatureDistanceTraining(SelfTraining):
    """DAFormer's self-training, which keeps features of some classes near those of ImageNet."""

    distance_weight: Annotated[
        Weight, Field(description="lambda_FD (paper 0.005); without pretrained weights the distance is off")
    ] = 0.005
    things: Annotated[
        str,
        Field(
            description="classes, by commas, whose features stay near ImageNet's; the paper takes the countable ones of "
            "Cityscapes, which seen from above are buildings and cars"
        ),
    ] = "building,car"


class TwoResolutionTraining(FeatureDistanceTraining):
    """DAFormer's self-training on HRDA's network."""

    resolutions: Annotated[
        Literal[1, 2], Field(description="2 trains HRDA's network, 1 a plain one (ablation, or DAFormer's)")
    ] = 2
    detail_weight: Annotated[Share, Field(description="lambda_d, the weight of the detail window (paper 0.1)")] = 0.1
