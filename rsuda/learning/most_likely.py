"""Find the most likely class of each pixel, faster than torch.max does on CPUs.

There are two functions, since neither can replace the other: training compares exact confidences with thresholds, and maps
stay byte-identical to those of earlier versions. Of 128 x 4096 pixels and 6 classes on one thread torch.max takes 11 ms,
``most_likely`` 11 ms and ``most_likely_probability`` 1.6 ms. In place of the last, the exact function would
change 60 confidences in a million by 1 of 254.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def most_likely(score: Tensor) -> tuple[Tensor, Tensor]:
    """Find the highest score (B, ...) over the classes of (B, K, ...), and the first class that has it (int64).

    The result is that of ``score.max(1)``.
    """
    best, label = score[:, 0].clone(), torch.zeros_like(score[:, 0], dtype=torch.uint8)
    for k in range(1, score.shape[1]):
        label.masked_fill_(score[:, k] > best, k)
        torch.maximum(best, score[:, k], out=best)
    return best, label.long()


def most_likely_probability(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Find the highest of probabilities (K, ...) float32, and the first class that has it (uint8).

    The bits of positive numbers are ordered as the numbers are. The last bits of each number are replaced by its class, so
    that one maximum finds both. Of the 24 binary digits of a number 3 are lost for up to 8 classes.
    """
    last = len(probabilities) - 1
    class_bits = (1 << last.bit_length()) - 1
    number = probabilities.view(torch.int32)
    best = (number[0] & ~class_bits) | last
    for k in range(1, len(probabilities)):
        torch.maximum(best, (number[k] & ~class_bits) | (last - k), out=best)
    return (best & ~class_bits).view(torch.float32), (last - (best & class_bits)).to(torch.uint8)
