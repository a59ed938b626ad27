"""Correct a teacher's labels by hints: an old map or rough polygons of the target, a third witness for pseudo labels.

A hint h names one of K classes. It is right with probability a, and else it names each other class equally often. By Bayes'
rule

    p'(k) = p(k) P(h | k) / sum over j of p(j) P(h | j), P(h | h) = a, P(h | k) = (1 - a) / (K - 1) for k != h

so a hint adds log(a (K - 1) / (1 - a)) to the logit of its class. No paper has it in this form. The teacher's p is surer
than it is right, so an a above the true accuracy pays (docs/choosing.md, "An old map of the target").
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from rsuda.core.legend import IGNORE

HintAccuracy = Annotated[
    float,
    Field(
        gt=0,
        lt=1,
        description="how far hints of the target (an old map, rough polygons) are believed: the share of them that is right",
    ),
]


def hint_logit(accuracy: float, classes: int) -> float:
    """Compute log(a (K - 1) / (1 - a)), which a hint adds to the logit of its class; 0 for a single class."""
    return math.log(accuracy * (classes - 1) / (1 - accuracy)) if classes > 1 else 0.0


@torch.no_grad()
def correct_by_hints(logits: Tensor, hint: Tensor | None, accuracy: float) -> Tensor:
    """Compute the logits (B, K, H, W) of p', the probabilities corrected by hints.

    Args:
        logits: (B, K, H, W), log p but for what all classes share.
        hint: (B, H, W) uint8, class indices, 255 where there is no hint; None without hints.
        accuracy: a, in 0..1.
    """
    if hint is None:
        return logits
    classes = logits.shape[1]
    votes = F.one_hot(hint.long().where(hint != IGNORE, classes), classes + 1)[..., :classes]
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide + hint_logit(accuracy, classes) * votes.permute(0, 3, 1, 2)
