"""Calibrate probabilities by a temperature: fit it to labelled pixels, and apply it without changing a class.

Temperature scaling (Guo et al., "On calibration of modern neural networks", ICML 2017) divides logits by T before the softmax,
so a probability p becomes p^(1/T), scaled to a sum of 1. One T may serve all pixels, or each predicted class has its own. The
order of a pixel's probabilities stays as it is in both cases, unlike under vector scaling.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LOWEST, HIGHEST = 0.1, 10.0  # temperatures that a fit may end at
_TINY = torch.finfo(torch.float32).tiny


def tempered(probabilities: Tensor, temperature: Sequence[float], axis: int = 0) -> Tensor:
    """Apply a temperature to probabilities: p^(1/T), scaled to a sum of 1.

    Args:
        probabilities: of K classes along ``axis``, float.
        temperature: one number, one for each class (that of the most likely class counts), or none.

    Returns:
        probabilities of the same shape; the tensor itself without a temperature.
    """
    if not temperature:
        return probabilities
    return divided(probabilities.clamp_min(_TINY).log(), temperature, axis).softmax(axis)


def divided(logits: Tensor, temperature: Sequence[float], axis: int = 0) -> Tensor:
    """Divide logits of K classes along ``axis`` by a temperature, see ``tempered``; without one they stay as they are."""
    if not temperature:
        return logits
    inverse = torch.tensor([1 / t for t in temperature], dtype=logits.dtype, device=logits.device)
    return logits * (inverse[0] if len(inverse) == 1 else inverse[logits.argmax(axis, keepdim=True)])


def fit_temperature(probabilities: Tensor, labels: Tensor) -> float:
    """Fit the temperature with the lowest mean negative log-likelihood.

    The likelihood is concave in 1/T, so the derivative changes its sign once, and bisection finds where.

    Args:
        probabilities: (N, K) float, N at least 1.
        labels: (N,) class indices.

    Returns:
        T from LOWEST to HIGHEST.
    """
    logs = probabilities.double().clamp_min(_TINY).log()
    labelled = logs.gather(1, labels.long()[:, None])[:, 0]

    def slope(inverse: float) -> float:
        return float(((logs * inverse).softmax(1) * logs).sum(1).sub(labelled).mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) <= 0:
        return LOWEST
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return round(2 / (low + high), 4)


def log_loss(probabilities: Tensor, labels: Tensor) -> float:
    """Compute the mean negative log-likelihood of labels (N,) under probabilities (N, K), in nats."""
    labelled = probabilities.double().gather(1, labels.long()[:, None])
    return float(-labelled.clamp_min(_TINY).log().mean())
