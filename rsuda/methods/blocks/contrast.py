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
    """Choose the pixels to contrast from labels (B, H, W), resized by nearest, and weights (B, H, W), bilinearly.

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
    """Choose the pixels of lowest ``order`` of each class, at most ``most`` in all, as equally as the classes allow."""
    counts = [(k, int(((label == k) & use).sum())) for k in label[use].unique().tolist()]
    choice, room, classes = torch.zeros_like(use), most, len(counts)
    for k, count in sorted(counts, key=lambda c: c[1]):
        share = min(count, room // classes)
        rank = torch.where((label == k) & use, order, 2.0).flatten()
        choice.view(-1)[rank.topk(share, largest=False).indices] = True
        room, classes = room - share, classes - 1
    return choice


def features_at(feature: Tensor, size: tuple[int, int], place: Tensor) -> Tensor:
    """Sample vectors (N, C) of a feature map (B, C, h, w) resized to ``size``, at flattened (image, row, column)."""
    wide = feature.to(torch.promote_types(feature.dtype, torch.float32))
    full_size = F.interpolate(wide, size=size, mode="bilinear", align_corners=False)
    return full_size.permute(0, 2, 3, 1).flatten(0, 2)[place]


def log_contrast(anchor: Tensor, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Compute log p_ij (N, P): l_ij - log(e^{l_ij} + sum over negatives k of e^{l_ik}), l = cosine / temperature.

    Anchors (N, C) and positives (P, C) are features of one class, negatives (M, C) those of all others. Each has length 1.
    Without negatives log p is 0.
    """
    # bfloat16 would leave two digits of a difference of logarithms
    with torch.autocast(anchor.device.type, enabled=False):
        anchor = anchor / temperature
        against = (anchor @ negative.T).logsumexp(1, keepdim=True)
        return F.logsigmoid(anchor @ positive.T - against)


def pixel_contrast(z: Tensor, pixels: Points, temperature: float = 1.0) -> Tensor:
    """Compute CLUDA's single-resolution loss on unit features (N, C) of the contrasted points.

    L = -(1/N) sum_i (1 / max(1, |P(i)|)) sum over positives j != i of w_i w_j log p_ij. Anchors without positives
    contribute 0 but count in N; without negatives log p is 0.
    """
    total = z.sum() * 0  # a gradient of 0 without points
    for k in pixels.label.unique():
        same = pixels.label == k
        log_p = log_contrast(z[same], z[same], z[~same], temperature).fill_diagonal_(0.0)  # j != i
        total = total + _weighted(log_p, pixels.weight[same], pixels.weight[same]) / max(1, len(log_p) - 1)
    return -total / max(1, len(z))


def two_resolution_contrast(
    low: Tensor, high: Tensor, inside: Tensor, weigh: Tensor, pixels: Points, temperature: float = 1.0
) -> Tensor:
    """Compute CLUDA's learned-weighted loss: low-resolution anchors against both resolutions of the same points.

    a_ij = m_i w_i w_j; L = -(1/2N) sum_i (1 / max(1, |P(i)|)) sum_j t_i t_j [a_ij log p^LL_ij + (1 - a_ij) log p^LH_ij].

    Args:
        low, high: unit features (N, C); ``high`` is only read inside the detail crop.
        inside: (N,) bool, m, whether the point is in the detail window. High-resolution columns outside it are left
            out (the released code contrasts with zero vectors there, and takes class 0 for outside).
        weigh: (N,) in 0..1, the learned weight w.

    The same place at both resolutions is a positive of the LH term (the released code removes it). Where an anchor
    has no high-resolution positive, only its LL term remains.
    """
    total = (low.sum() + high.sum() + weigh.sum()) * 0  # a gradient of 0 without points
    for k in pixels.label.unique():
        same = pixels.label == k
        t, w, m = pixels.weight[same], weigh[same], inside[same]
        log_ll = log_contrast(low[same], low[same], low[~same], temperature).fill_diagonal_(0.0)  # j != i
        total = total + _weighted(log_ll, m * t * w, t * w) / max(1, len(log_ll) - 1)

        log_lh = log_contrast(low[same], high[same & inside], high[~same & inside], temperature)
        lh = _weighted(log_lh, t, t[m]) - _weighted(log_lh, m * t * w, (t * w)[m])
        total = total + lh / max(1, log_lh.shape[1])
    return -total / max(1, len(low)) / 2


def _weighted(log_p: Tensor, weight: Tensor, weight_other: Tensor) -> Tensor:
    """Sum over all pairs of w_i w_j log p_ij."""
    with torch.autocast(log_p.device.type, enabled=False):
        return weight.to(log_p) @ log_p @ weight_other.to(log_p)


def weight_by_share(term: Tensor, reference: Tensor, features: Sequence[Tensor], share: float) -> Tensor:
    """Compute the weight w, scalar without gradient, with |w d term / d features| = ``share`` |d reference / d features|.

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
