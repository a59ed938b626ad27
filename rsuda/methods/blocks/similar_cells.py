"""Remember target cells and their pseudo labels, and label cells as the most similar of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rsuda.learning.random_draws import generators

CELLS, NEWCOMERS, NEIGHBOURS = 5000, 250, 10
START = 1000  # cells in the list from which it is asked
TARGET_DRAW = 12  # purpose of the draws


class SimilarCells(nn.Module):
    """A list of target cells, first in, first out, with the class probabilities that they had.

    Args:
        width: numbers of a cell D.
        classes: K.
    """

    cells: Tensor
    labels: Tensor
    number: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("cells", torch.zeros(CELLS, width))
        self.register_buffer("labels", torch.zeros(CELLS, classes))
        self.register_buffer("number", torch.zeros((), dtype=torch.long))  # of cells ever listed

    @property
    def ready(self) -> bool:
        """Whether the list is long enough to be asked."""
        return min(int(self.number), CELLS) >= START

    def labels_of(self, z: Tensor) -> Tensor:
        """Average the class probabilities (N, K) of the listed cells that are nearest to directions (N, D)."""
        number = min(int(self.number), CELLS)
        nearest = (z @ self.cells[:number].T).topk(NEIGHBOURS, dim=1).indices
        return self.labels[:number][nearest].mean(1)

    def remember(self, z: Tensor, labels: Tensor, key: Tensor) -> None:
        """List some of the directions (N, D) with their class probabilities (N, K), oldest out first."""
        draw = generators(key[:1], TARGET_DRAW)[0]
        newcomers = torch.randperm(len(z), generator=draw)[:NEWCOMERS].to(z.device)
        places = (int(self.number) + torch.arange(len(newcomers), device=z.device)) % CELLS
        self.cells[places], self.labels[places] = z[newcomers], labels[newcomers]
        self.number += len(newcomers)
