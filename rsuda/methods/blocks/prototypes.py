"""Average features into class prototypes, contrast pixels with them, and calibrate them (BiCL)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.legend import IGNORE
from rsuda.learning.distributed import all_sum, shared_mean
from rsuda.learning.most_likely import most_likely


class Prototypes(NamedTuple):
    """``mean`` (K, D), zero for absent classes; ``present`` (K,) bool."""

    mean: Tensor
    present: Tensor


def masked_average(feature: Tensor, label: Tensor, classes: int) -> Prototypes:
    """Compute rho(c), the mean feature (B, D, h, w) with label (B, h, w) c over all processes; differentiable."""
    rows = feature.permute(0, 2, 3, 1).flatten(0, 2)
    member = torch.stack([(label == k).flatten() for k in range(classes)]).to(rows.dtype)
    count = all_sum(member.sum(1, keepdim=True))
    return Prototypes(all_sum(member @ rows) / count.clamp(min=1), count[:, 0] > 0)


def cosine(feature: Tensor, mean: Tensor) -> Tensor:
    """Compute the cosine (B, K, h, w) of each feature (B, D, h, w) with each prototype (K, D)."""
    places = feature.permute(0, 2, 3, 1)
    rows = places.flatten(0, 2)  # channels last, as encoders give them: another order would be copied
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(1e-12)
    return (rows @ F.normalize(mean, dim=1).T / length).view(*places.shape[:3], -1).permute(0, 3, 1, 2)


def prototype_contrast(
    feature: Tensor, label: Tensor, prototypes: Prototypes, among: Tensor, temperature: float
) -> Tensor:
    """Compute the mean over valid pixels of -log softmax_c(cosine(f, rho(c)) / tau) at the pixel's class.

    Valid are pixels whose class has a prototype and is ``among`` (K,) those contrasted. Absent classes are not
    candidates (the released code gives them the least cosine, -1, instead). 0 without a valid pixel, where the released
    code has 0 / 0.
    """
    present = prototypes.present & among
    has_class = label != IGNORE
    valid = has_class & present[label.where(has_class, 0)]
    score = cosine(feature, prototypes.mean) / temperature
    score = score.masked_fill(~present[None, :, None, None], -torch.inf)
    score = score.where(present.any(), torch.zeros_like(score))
    loss = F.cross_entropy(score, label.where(valid, IGNORE), ignore_index=IGNORE, reduction="sum")
    return shared_mean(loss, valid.sum())


class Calibration(nn.Module):
    """The bias of each class between domains, accumulated: xi_c <- m xi_c + (1 - m) (rho_T(c) - rho_S(c)).

    Only classes with both prototypes move. xi is a buffer, so a resumed run goes on with it.
    """

    bias: Tensor

    def __init__(self, classes: int, channels: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("bias", torch.zeros(classes, channels))

    @torch.no_grad()
    def update(self, source: Prototypes, target: Prototypes) -> None:
        both = (source.present & target.present)[:, None]
        bias = self.bias.lerp((target.mean - source.mean).to(self.bias), 1 - self.momentum)
        self.bias.copy_(torch.where(both, bias, self.bias))

    def forward(self, source: Prototypes) -> Prototypes:
        """Shift source prototypes towards the target's cluster of their class."""
        return Prototypes(source.mean + self.bias.to(source.mean), source.present)


@torch.no_grad()
def transfer(feature: Tensor, prototypes: Prototypes, temperature: float, threshold: float) -> Tensor:
    """Find the labels (B, h, w) of the nearest prototype.

    A label is 255 where softmax(cosine / tau) over the present classes is at most ``threshold``.
    """
    if not prototypes.present.any():
        return torch.full((len(feature), *feature.shape[-2:]), IGNORE, device=feature.device)
    score = cosine(feature, prototypes.mean) / temperature
    sure, label = most_likely(score.masked_fill(~prototypes.present[None, :, None, None], -torch.inf).softmax(1))
    return torch.where(sure > threshold, label, IGNORE)
