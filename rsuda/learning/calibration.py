"""Calibrate probabilities: fit a temperature or a vector scaling to labelled pixels, and apply it.

Both are of Guo et al., "On calibration of modern neural networks" (ICML 2017). Temperature scaling divides logits by T before
the softmax, so a probability p becomes p^(1/T), scaled to a sum of 1. One T may serve all pixels, or each predicted class has
its own. The order of a pixel's probabilities stays as it is in both cases. Vector scaling gives each class's own logit a
divisor and a bias: p_k becomes p_k^(1/T_k) exp(b_k), scaled to a sum of 1. So the most likely class may change. Logits are
those of a pixel whose exponentials sum to 1, the logarithms of its probabilities, since windows blend probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LOWEST, HIGHEST = 0.1, 10.0  # temperatures that a fit may end at
MOST_BIAS = 10.0
_TINY = torch.finfo(torch.float32).tiny


def tempered(probabilities: Tensor, temperature: Sequence[float], axis: int = 0, bias: Sequence[float] = ()) -> Tensor:
    """Apply a temperature to probabilities: p^(1/T), scaled to a sum of 1; with a bias, a vector scaling.

    Args:
        probabilities: of K classes along ``axis``, float.
        temperature: one number, one for each class (that of the most likely class counts), or none.
        bias: none, or one for each class; each class then has the temperature in its own place.

    Returns:
        probabilities of the same shape; the tensor itself without a temperature.
    """
    if not temperature:
        return probabilities
    return divided(probabilities.clamp_min(_TINY).log(), temperature, axis, bias).softmax(axis)


def divided(logits: Tensor, temperature: Sequence[float], axis: int = 0, bias: Sequence[float] = ()) -> Tensor:
    """Divide logits of K classes along ``axis`` by a temperature, see ``tempered``; without one they stay as they are."""
    if not temperature:
        return logits
    inverse, offset = (
        torch.tensor(numbers, dtype=logits.dtype, device=logits.device)
        for numbers in ([1 / t for t in temperature], bias)
    )
    return scaled(logits, inverse, offset, axis)


def scaled(logits: Tensor, inverse: Tensor, bias: Tensor, axis: int) -> Tensor:
    """Scale logits of K classes along ``axis`` by inverse temperatures (1,) or (K,), and biases (0,) or (K,)."""
    if len(bias):
        shape = [-1 if k == axis else 1 for k in range(logits.ndim)]
        return logits.log_softmax(axis) * inverse.view(shape) + bias.view(shape)
    return logits * (inverse[0] if len(inverse) == 1 else inverse[logits.argmax(axis, keepdim=True)])


def unscaled(probabilities: Tensor, temperature: Sequence[float], bias: Sequence[float] = ()) -> Tensor:
    """Find logits (B, K, …) whose calibration gives these probabilities (B, K, …); the inverse of ``tempered``."""
    logits = probabilities.clamp_min(_TINY).log()
    if not temperature:
        return logits
    numbers = torch.tensor(temperature, dtype=logits.dtype, device=logits.device)
    if not bias:
        return logits * (numbers[0] if len(numbers) == 1 else numbers[logits.argmax(1, keepdim=True)])
    shape = [1, -1, *[1] * (logits.ndim - 2)]
    numbers = numbers.view(shape)
    start = (logits - logits.new_tensor(bias).view(shape)) * numbers
    shift = torch.zeros_like(start[:, :1])
    for _ in range(30):  # Newton: exp(start + T shift) must sum to 1; the logarithm of the sum is convex in the shift
        scores = start + numbers * shift
        total = scores.logsumexp(1, keepdim=True)
        shift = shift - total / ((scores - total).exp() * numbers).sum(1, keepdim=True)
    return start + numbers * shift


def fit_temperature(probabilities: Tensor, labels: Tensor, *, prior: float = 0.0, centre: float = 1.0) -> float:
    """Fit the temperature with the lowest mean negative log-likelihood, plus prior / 2 (1/T - 1/centre)^2.

    The sum is convex in 1/T, so the derivative changes its sign once, and bisection finds where.

    Args:
        probabilities: (N, K) float, N at least 1.
        labels: (N,) class indices.
        prior: weight of the pull to ``centre``, at least 0.
        centre: temperature that few labels should end near.

    Returns:
        T from LOWEST to HIGHEST.
    """
    logs = probabilities.double().clamp_min(_TINY).log()
    of_label = logs.gather(1, labels.long()[:, None])[:, 0]

    def slope(inverse: float) -> float:
        pull = prior * (inverse - 1 / centre)
        return float(((logs * inverse).softmax(1) * logs).sum(1).sub(of_label).mean()) + pull

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) <= 0:
        return LOWEST
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return round(2 / (low + high), 4)


def fit_vector(
    probabilities: Tensor, labels: Tensor, free: Sequence[int] | None = None, *, prior: float = 0.0
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit the vector scaling with the lowest mean negative log-likelihood, which is convex in 1/T_k and b_k.

    With a prior, prior / 2 times the sum of all (1/T_k - 1/T)^2 and b_k^2 is added, where T is the common temperature.

    Args:
        probabilities: (N, K) float, N at least 1.
        labels: (N,) class indices.
        free: classes with a temperature and bias of their own; all by default. The others have the common temperature and
            bias 0.
        prior: weight of the pull to the common temperature and to no bias, at least 0.

    Returns:
        K temperatures from LOWEST to HIGHEST, and K biases of at most MOST_BIAS; where all classes are free, their mean is 0.
    """
    from scipy.optimize import minimize

    logs = probabilities.double().clamp_min(_TINY).log().log_softmax(1).numpy()
    true, classes = labels.long().numpy(), logs.shape[1]
    free_classes = np.arange(classes) if free is None else np.asarray(free, np.int64)
    common = 1 / fit_temperature(probabilities, labels, prior=prior)
    inverse, bias = np.full(classes, common), np.zeros(classes)
    rows = np.arange(len(true))

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        inverse[free_classes], bias[free_classes] = np.split(values, 2)
        logits = torch.from_numpy(logs * inverse + bias).log_softmax(1).numpy()
        slope = np.exp(logits)
        slope[rows, true] -= 1
        away = values - np.repeat([common, 0.0], len(free_classes))
        gradient = np.concatenate([(slope * logs).mean(0)[free_classes], slope.mean(0)[free_classes]]) + prior * away
        return -float(logits[rows, true].mean()) + prior / 2 * float(away @ away), gradient

    limits = [(1 / HIGHEST, 1 / LOWEST)] * len(free_classes) + [(-MOST_BIAS, MOST_BIAS)] * len(free_classes)
    best = minimize(
        loss, np.concatenate([inverse[free_classes], bias[free_classes]]), jac=True, method="L-BFGS-B", bounds=limits
    )
    inverse[free_classes], bias[free_classes] = np.split(best.x, 2)
    if len(free_classes) == classes:
        bias -= bias.mean()
    return tuple(round(float(1 / number), 4) for number in inverse), tuple(round(float(number), 4) for number in bias)


def log_losses(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Compute the negative log-likelihood of each label (N,) under probabilities (N, K), in nats, as float64."""
    of_label = probabilities.gather(1, labels.long()[:, None])[:, 0].double()
    return -of_label.clamp_min(_TINY).log()


def log_loss(probabilities: Tensor, labels: Tensor) -> float:
    """Compute the mean of ``log_losses`` of labels (N,) under probabilities (N, K), in nats."""
    return float(log_losses(probabilities, labels).mean())
