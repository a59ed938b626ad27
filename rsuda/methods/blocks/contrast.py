"""Supervised contrast of pixels (CLUDA; its loss form is that of Wang et al., "Exploring cross-image pixel contrast", 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rsuda.core.legend import IGNORE
from rsuda.learning.distributed import all_sum
from rsuda.learning.random_draws import uniform

PIXELS = 3  # purpose of the draw


class Points(NamedTuple):
    """Pixels of a batch, all in the order (image, row, column): ``place`` (N,) index into the flattened grid, ``label`` (N,),
    ``weight`` (N,) in 0..1."""

    place: Tensor
    label: Tensor
    weight: Tensor


def points(label: Tensor, weight: Tensor, size: tuple[int, int], key: Tensor, most: int) -> Points:
    """The pixels to contrast: labels (B, H, W) brought to the grid ``size`` by nearest, weights (B, H, W) bilinearly.

    Ignored pixels and those of weight 0 are left out. If more than ``most`` remain (0: no limit) they are drawn so that
    each class keeps as equal a number as its pixels allow.
    """
    grid = F.interpolate(label[:, None].float(), size=size, mode="nearest")[:, 0].long()
    trust = F.interpolate(weight[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    use = (grid != IGNORE) & (trust > 0)
    if most and int(use.sum()) > most:
        use = use & _balanced(grid, use, uniform(key, PIXELS, *size), most)
    return Points(use.flatten().nonzero()[:, 0], grid[use], trust[use])


def _balanced(label: Tensor, use: Tensor, order: Tensor, most: int) -> Tensor:
    """The pixels of lowest ``order`` of each class, at most ``most`` in all, the same number of each class if it has it."""
    counts = [(k, int(((label == k) & use).sum())) for k in label[use].unique().tolist()]
    chosen, room, left = torch.zeros_like(use), most, len(counts)
    for k, count in sorted(counts, key=lambda c: c[1]):
        share = min(count, room // left)
        rank = torch.where((label == k) & use, order, 2.0).flatten()
        chosen.view(-1)[rank.topk(share, largest=False).indices] = True
        room, left = room - share, left - 1
    return chosen


def features_at(feature: Tensor, size: tuple[int, int], place: Tensor) -> Tensor:
    """(N, C) vectors of a feature map (B, C, h, w) resized to ``size``, at flattened places (image, row, column)."""
    wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
    resized = F.interpolate(wide, size=size, mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1).flatten(0, 2)[place]


def contrast_rows(anchor: Tensor, other: Tensor, label: Tensor, label_other: Tensor, temperature: float) -> Tensor:
    """(N, M): log p_ij = l_ij - log(e^{l_ij} + sum over negatives k of i of e^{l_ik}), l = cosine / temperature."""
    # bfloat16 would leave two digits of a difference of logarithms
    with torch.autocast(anchor.device.type, enabled=False):
        logit = anchor @ other.T / temperature
        negative = label[:, None] != label_other[None]
        against = torch.where(negative, logit, -torch.inf).logsumexp(1, keepdim=True)
        return logit - torch.logaddexp(logit, against)


def pixel_contrast(z: Tensor, chosen: Points, temperature: float = 1.0) -> Tensor:
    """CLUDA's single-resolution loss on unit features (N, C) of the chosen points.

    L = -(1/N) sum_i (1 / max(1, |P(i)|)) sum over positives j != i of w_i w_j log p_ij. Anchors without positives
    contribute 0 but count in N; without negatives log p is 0.
    """
    if len(z) == 0:
        return z.sum()
    positive = (chosen.label[:, None] == chosen.label[None]).fill_diagonal_(False)
    trust = chosen.weight[:, None] * chosen.weight[None]
    log_p = contrast_rows(z, z, chosen.label, chosen.label, temperature)
    per_anchor = (torch.where(positive, trust * log_p, 0.0)).sum(1) / positive.sum(1).clamp(min=1)
    return -per_anchor.mean()


def two_resolution_contrast(
    low: Tensor, high: Tensor, inside: Tensor, weigh: Tensor, chosen: Points, temperature: float = 1.0
) -> Tensor:
    """CLUDA's learned-weighted loss: low-resolution anchors against low- and high-resolution features of the same points.

    a_ij = m_i w_i w_j; L = -(1/2N) sum_i (1 / max(1, |P(i)|)) sum_j t_i t_j [a_ij log p^LL_ij + (1 - a_ij) log p^LH_ij].

    Args:
        low, high: unit features (N, C); ``high`` is only read inside the detail crop.
        inside: (N,) bool, m, whether the point is in the detail window. High-resolution columns outside it are left
            out (the released code contrasts with zero vectors there, and takes class 0 for outside).
        weigh: (N,) in 0..1, the learned weight w.

    The same place at both resolutions is a positive of the LH term (the released code removes it). Where an anchor
    has no high-resolution positive, only its LL term remains.
    """
    if len(low) == 0:
        return low.sum() + high.sum() + weigh.sum()
    same = chosen.label[:, None] == chosen.label[None]
    trust = chosen.weight[:, None] * chosen.weight[None]
    a = inside[:, None] * weigh[:, None] * weigh[None]

    others = same.clone().fill_diagonal_(False)
    log_ll = contrast_rows(low, low, chosen.label, chosen.label, temperature)
    ll = torch.where(others, trust * a * log_ll, 0.0).sum(1) / others.sum(1).clamp(min=1)

    columns = inside.nonzero()[:, 0]
    detail = same[:, columns]
    log_lh = contrast_rows(low, high[columns], chosen.label, chosen.label[columns], temperature)
    lh = torch.where(detail, (trust * (1 - a))[:, columns] * log_lh, 0.0).sum(1) / detail.sum(1).clamp(min=1)
    return -(ll + lh).mean() / 2


def weight_by_share(term: Tensor, reference: Tensor, features: Sequence[Tensor], share: float) -> Tensor:
    """Weight w, scalar without gradient, such that |w d term / d features| = ``share`` |d reference / d features|.

    0 where the term has no gradient. Gradients are compared, since the value of a contrast is mostly a constant.
    """

    def pull(loss: Tensor) -> Tensor:
        parts = torch.autograd.grad(loss, features, retain_graph=True, allow_unused=True)
        squares = [g.to(torch.promote_types(g.dtype, torch.float32)).square().sum() for g in parts if g is not None]
        return all_sum(torch.stack(squares).sum()).sqrt()

    if not term.requires_grad:
        return term.new_zeros(())
    against, norm = pull(reference), pull(term)
    return torch.where(norm > 0, share * against / norm.clamp(min=1e-20), 0.0)
