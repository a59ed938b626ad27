"""The exponential moving average of a student."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel


def decay(update: int, top: float) -> float:
    """Share of the old teacher kept at the i-th update (i >= 1): min(1 - 1 / (i + 1), top)."""
    return min(1 - 1 / (update + 1), top)


class Teacher(AveragedModel):
    """A copy of ``student`` that follows it by theta <- a(i) theta + (1 - a(i)) theta_student, a(i) = ``decay(i, top)``.

    Call ``follow(student)`` once per optimiser step. The number of updates is a buffer, so a resumed run goes on with
    its own a(i). Buffers (batch-norm statistics) are copied from the student, so that the teacher can be used in eval
    mode. It starts as a copy; the released codes start it at random, which the early small a(i) forgets.

    Args:
        top: the final share of the old teacher.
        by_batch: batch norm normalises by the batch at hand, as in the released codes of DACS and DAFormer: the student's
            running statistics are those of source and mixed images, and would be wrong for the target's. Dropout stays
            off either way.
    """

    def __init__(self, student: nn.Module, top: float = 0.999, by_batch: bool = False) -> None:
        def average(old: Tensor, new: Tensor, count: Any) -> Tensor:
            return old.lerp(new, 1 - decay(int(count), top))

        super().__init__(student, avg_fn=average)
        self.n_averaged.fill_(1)  # torch would make the first update a plain copy; the papers average from i = 1
        self.by_batch = by_batch
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, student: nn.Module) -> None:
        self.update_parameters(student)

    def train(self, mode: bool = True) -> Teacher:
        """Stays in eval mode: no dropout; but for batch norm ``by_batch``."""
        super().train(False)
        if self.by_batch:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.train()
        return self
