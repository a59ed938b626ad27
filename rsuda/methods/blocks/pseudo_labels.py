"""Label unlabelled pixels by a teacher, and weight the labels by how far they are trusted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rsuda.core.errors import unknown
from rsuda.core.legend import IGNORE
from rsuda.learning.distributed import all_gather, all_sum
from rsuda.learning.most_likely import most_likely

RULES = ("share", "pixels", "classes")


class PseudoLabels(NamedTuple):
    """``label`` (B, H, W) int64, ``confidence`` (B, H, W) in 0..1, ``weight`` (B, H, W), ``quality`` scalar in 0..1."""

    label: Tensor
    confidence: Tensor
    weight: Tensor
    quality: Tensor


def _share(sure: Tensor, valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute the share of the valid pixels of all processes that are sure, a scalar of ``dtype``."""
    return all_sum(sure.sum()).to(dtype) / all_sum(valid.sum()).clamp(min=1)


@torch.no_grad()
def quality_weighted(
    logits: Tensor,
    valid: Tensor | None,
    class_factor: Tensor | None,
    certain: float = 0.975,
    trusted: float = 0.8,
    by_quality: bool = True,
) -> PseudoLabels:
    """Compute ST-DASegNet's pseudo labels and their weights.

    Label l = argmax p; quality q = share of pixels with p >= ``certain``. The weight is q * c[l] where p >= ``trusted``,
    and q / 2 elsewhere.

    Args:
        logits: (B, K, H, W).
        valid: (B, H, W) bool; other pixels (nodata) get weight 0 and do not count in q. None: all valid.
        class_factor: (K,), the factor c of each class; None: 1.
        by_quality: False leaves q out of the weights (it is still reported).
    """
    confidence, label = most_likely(logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1))
    if valid is None:
        valid = torch.ones_like(label, dtype=torch.bool)
    quality = _share((confidence >= certain) & valid, valid, confidence.dtype)
    factor = torch.ones_like(confidence) if class_factor is None else class_factor.to(confidence)[label]
    weight = (quality if by_quality else 1.0) * torch.where(confidence >= trusted, factor, 0.5) * valid
    return PseudoLabels(label, confidence, weight, quality)


class PseudoLabelWeights(nn.Module):
    """Weights of a teacher's labels by one of three rules of trust.

    'share' (DACS): the weight of all pixels is the share q of pixels with confidence >= ``threshold``.
    'pixels': 1 for these pixels, 0 for the rest.
    'classes' (class-balanced self-training, Zou et al., ECCV 2018; the first mask of CCM and BiCL): 1 for the most
    confident ``keep_share`` of the pixels with each class's label. So no class is swallowed because the network is less
    sure of it. The classes' thresholds are moving averages over batches; a class not seen yet takes all its pixels.

    Args:
        decay: share of the old threshold kept at each batch.
    """

    level: Tensor

    def __init__(self, classes: int, rule: str, threshold: float, keep_share: float, decay: float = 0.9) -> None:
        super().__init__()
        if rule not in RULES:
            raise unknown("value of option trust", rule, RULES)
        self.rule, self.threshold, self.keep_share, self.decay = rule, threshold, keep_share, decay
        self.register_buffer("level", torch.full((classes,), -1.0))

    @torch.no_grad()
    def forward(self, logits: Tensor, valid: Tensor | None = None, update: bool = True) -> PseudoLabels:
        """Label the pixels of logits (B, K, H, W).

        Pixels outside ``valid`` (B, H, W; None: all) weigh 0 and count nowhere. With ``update`` False the thresholds stay
        as they are.
        """
        confidence, label = most_likely(logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1))
        valid = torch.ones_like(label, dtype=torch.bool) if valid is None else valid
        sure = (confidence >= self.threshold) & valid
        quality = _share(sure, valid, confidence.dtype)
        if self.rule == "share":
            weight = quality * valid
        elif self.rule == "pixels":
            weight = sure
        else:
            if update:
                self._update(confidence, label, valid)
            weight = (confidence >= self.level[label]) & valid
        return PseudoLabels(label, confidence, weight.to(confidence.dtype), quality)

    def _update(self, confidence: Tensor, label: Tensor, valid: Tensor) -> None:
        # quantiles are of the whole batch: no mean of those of its parts gives them
        confidence, label = all_gather(confidence), all_gather(label.where(valid, IGNORE).to(torch.uint8))
        for k in range(len(self.level)):
            values = confidence[label == k]
            if len(values):
                number = min(len(values), max(1, round(len(values) * self.keep_share)))
                level = values.kthvalue(len(values) - number + 1).values
                has_level = self.level[k] >= 0
                self.level[k] = torch.where(has_level, self.level[k] * self.decay + level * (1 - self.decay), level)
