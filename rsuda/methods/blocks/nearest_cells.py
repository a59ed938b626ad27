"""Vote by the nearest labelled source cells: k nearest neighbours in class-balanced lists.

Lists of equal length stand for Bayes' rule under equal class frequencies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.learning.random_draws import generators

CELLS = 400  # of each class in the lists
NEIGHBOURS = 20
NEWCOMERS = 60  # cells of each class that one batch adds to the lists
SOURCE_DRAW = 11  # purpose of the draws


class NearestCells(nn.Module):
    """The class shares among the nearest of the listed source cells. The lists are first in, first out.

    Args:
        widths: channels of each level of a cell, which all count alike whatever their number.
        classes: K.
    """

    scale: Tensor
    cells: Tensor
    number: Tensor

    def __init__(self, widths: list[int], classes: int) -> None:
        super().__init__()
        scale = torch.cat([torch.full((width,), width**-0.5) for width in widths])
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("cells", torch.zeros(classes, CELLS, sum(widths)))
        self.register_buffer("number", torch.zeros(classes, dtype=torch.long))  # of cells ever listed

    @property
    def ready(self) -> bool:
        """Whether each class that has cells at all has half a list of them."""
        number = self.number[self.number > 0]
        return len(number) > 1 and bool((number >= CELLS // 2).all())

    def learn(self, cells: Tensor, label: Tensor, key: Tensor) -> None:
        """Add some of the cells (B, D, h, w) with labels (B, h, w) to the lists, oldest out first."""
        rows, classes = cells.permute(0, 2, 3, 1).flatten(0, 2), label.flatten()
        draw = generators(key[:1], SOURCE_DRAW)[0]
        for k, number in enumerate(self.number.tolist()):
            members = (classes == k).nonzero()[:, 0]
            newcomers = members[torch.randperm(len(members), generator=draw)[:NEWCOMERS].to(members.device)]
            places = (number + torch.arange(len(newcomers), device=newcomers.device)) % CELLS
            self.cells[k, places] = rows[newcomers]
            self.number[k] += len(newcomers)

    def directions(self, cells: Tensor) -> Tensor:
        """Compute directions z (N, D) of cells (N, D): standardised by the lists, levels of equal weight, length 1."""
        present = self.number > 0
        shortest = int(self.number[present].clamp(max=CELLS).min())
        sample_of_classes = self.cells[present, :shortest].flatten(0, 1)
        mean, std = sample_of_classes.mean(0), sample_of_classes.std(0) + 1e-6
        return F.normalize((cells - mean) / std * self.scale, dim=1)

    def votes(self, z: Tensor) -> Tensor:
        """Compute the votes (N, K) of directions: the class shares among the nearest cells."""
        number = self.number.clamp(max=CELLS)
        cells = torch.cat([self.cells[k, : int(n)] for k, n in enumerate(number)])
        classes = torch.repeat_interleave(torch.arange(len(number), device=z.device), number)
        nearest = (z @ self.directions(cells).T).topk(NEIGHBOURS, dim=1).indices
        shares = F.one_hot(classes[nearest], len(number)).float().mean(1)
        # lists of unequal length would vote by their length
        shares = shares / (number.clamp(min=1) / CELLS)
        return shares / shares.sum(1, keepdim=True)
