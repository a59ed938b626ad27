"""Vote by the class means of the labelled source: the prototypes that source-free takes from a bank, learnt in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rsuda.learning.source_bank import CellSums, ClassPrototypes

CELLS = 200  # of each class, from which its mean may vote
ALL_CELLS = 100 * CELLS  # of all classes, from which a class of fewer cells, below 1 %, no longer holds up the others
SHARPNESS = 10.0  # lambda; source-free weights the same cosines by it


class NearestMeans(nn.Module):
    """r = softmax over the classes of lambda cos(z, m_k), m_k the mean of all source cells of class k so far.

    Args:
        width: numbers of a cell D.
        classes: K.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.sums = CellSums(classes, width, torch.float32)

    @property
    def ready(self) -> bool:
        """Whether each class that has cells at all has enough of them, or the source has shown so many that it is a rare one."""
        number, voting = self.sums.cells, self._voting
        complete = bool(voting[number > 0].all()) or int(number.sum()) >= ALL_CELLS
        return int(voting.sum()) > 1 and complete

    def learn(self, cells: Tensor, label: Tensor, key: Tensor) -> None:
        """Add all cells (B, D, h, w) with labels (B, h, w) to the means."""
        self.sums.add(cells, label)

    def directions(self, cells: Tensor) -> Tensor:
        """Compute directions z (N, D) of cells (N, D): about the class means' mean, over their deviation, length 1."""
        return self._prototypes().standardised(cells)

    def votes(self, z: Tensor) -> Tensor:
        """Compute the votes (N, K) of directions; a class without enough source cells gets none."""
        with torch.autocast(z.device.type, enabled=False):
            cosine = z @ self._prototypes().direction.T
        return (SHARPNESS * cosine).masked_fill(~self._voting, -torch.inf).softmax(1)

    @property
    def _voting(self) -> Tensor:
        """Whether a class has enough cells to vote (K,)."""
        return self.sums.cells >= CELLS

    def _prototypes(self) -> ClassPrototypes:
        return ClassPrototypes(*self.sums.moments(), self.sums.cells)
