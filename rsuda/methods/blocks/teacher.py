"""Average a student's weights exponentially over its steps: a teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from rsuda.core.errors import unknown
from rsuda.learning.encoders.frozen import share_frozen

STATISTICS = ("student", "batch", "target")


def decay(update: int, top: float) -> float:
    """Share of the old teacher kept at the i-th update (i >= 1): min(1 - 1 / (i + 1), top)."""
    return min(1 - 1 / (update + 1), top)


class Teacher(AveragedModel):
    """A copy of ``student`` that follows it by theta <- a(i) theta + (1 - a(i)) theta_student, a(i) = ``decay(i, top)``.

    Call ``update(student)`` once per optimiser step. The number of updates is a buffer, so a resumed run goes on with
    its own a(i). Buffers (batch-norm statistics) are copied from the student, so that the teacher can be used in eval
    mode. It starts as a copy; the released codes start it at random, which the early small a(i) forgets. Until i
    reaches 1 / (1 - top) it is the plain mean of all students so far, those of the warm-up included. At 0.99 these are
    the first 99 steps.

    Args:
        top: the final share of the old teacher.
        statistics: of batch norm. 'student': its running statistics, copied. 'batch': of each batch, as in the released
            codes of DACS and DAFormer. 'target': running statistics of the target images that this teacher predicts.
            The student's are those of source and mixed images, and those of a batch of few crops are noise
            (BENCHMARKS.md). Dropout is off in any case.
    """

    looks: Tensor

    def __init__(self, student: nn.Module, top: float = 0.999, statistics: str = "student") -> None:
        def average(old: Tensor, new: Tensor, count: Any) -> Tensor:
            return old.lerp(new, 1 - decay(int(count), top))

        super().__init__(student, avg_fn=average)
        self.n_averaged.fill_(1)  # torch would make the first update a plain copy; the papers average from i = 1
        if statistics not in STATISTICS:
            raise unknown("value of option teacher_statistics", statistics, STATISTICS)
        self.statistics = statistics
        self.register_buffer("looks", torch.zeros((), dtype=torch.long))
        self.eval().requires_grad_(False)
        share_frozen(self.module, student)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move towards the student; with 'target' the statistics of batch norm stay the teacher's own."""
        own_statistics = []
        if self.statistics == "target":
            own_statistics = [(buffer, buffer.clone()) for norm in self._norms for buffer in norm.buffers()]
        self.update_parameters(student)
        for buffer, values in own_statistics:
            buffer.copy_(values)

    def restart(self) -> None:
        """Make the next update a plain copy of the student, from which the average begins again."""
        self.n_averaged.zero_()

    @torch.no_grad()
    def predict(self, *images: Any) -> Any:
        """Predict images; with 'target' the statistics of batch norm follow these images first."""
        if self.statistics == "target":
            self.looks += 1
            for norm in self._norms:
                norm.train()
                norm.momentum = max(0.1, 1 / float(self.looks))  # the mean of the first ten batches, then a moving one
            self(*images)
            self.train(False)
        return self(*images)

    @property
    def _norms(self) -> list[_BatchNorm]:
        return [m for m in self.modules() if isinstance(m, _BatchNorm)]

    def train(self, mode: bool = True) -> Teacher:
        """Stay in eval mode, without dropout; with 'batch' batch norm stays in training mode."""
        super().train(False)
        if self.statistics == "batch":
            for norm in self._norms:
                norm.train()
        return self
