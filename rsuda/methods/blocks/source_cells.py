"""Learn what the source's classes look like in a frozen encoder, from the batches of training."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from rsuda.learning.cells import CellEncoder, cells_of, labels_on_grid
from rsuda.learning.distributed import all_gather
from rsuda.learning.source_bank import CellSums, ClassPrototypes

_FULL_PACE, _PACE = 16, 8  # source cells are learnt at each of the first steps, and then at every eighth


def is_observed(step: int) -> bool:
    """Check whether the source cells of a step are learnt."""
    return step < _FULL_PACE or step % _PACE == 0


def encoded(encoder: CellEncoder, image: Tensor) -> Tensor:
    """Encode images (B, bands, H, W) to cells (B, D, h, w), in the encoder's own precision."""
    with torch.autocast(image.device.type, enabled=False):
        return cast(Tensor, encoder(image.to(next(encoder.parameters()).dtype)))


class LearntPrototypes(nn.Module):
    """Score cells by the class means of all source cells so far: ``ClassPrototypes`` without a bank.

    The sums are buffers, so a resumed run goes on with them. All processes of a training know the same.

    Args:
        width: numbers of a cell D.
        classes: K.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.sums = CellSums(classes, width, torch.float32)

    @torch.no_grad()
    def observe(self, encoder: CellEncoder, image: Tensor, label: Tensor, step: int) -> None:
        """Learn the cells of labelled source images (B, bands, H, W) and labels (B, H, W), at some of the steps."""
        if is_observed(step):
            label = labels_on_grid(label, self.classes, cells_of(image))
            self.sums.add(all_gather(encoded(encoder, image)), all_gather(label))

    def forward(self, cells: Tensor) -> Tensor:
        """Compute the scores (B, K, h, w) from -1 to 1 of cells (B, D, h, w); 0 while no class has a cell."""
        if not self.sums.cells.any():
            return cells.new_zeros(len(cells), self.classes, *cells.shape[-2:])
        scores: Tensor = ClassPrototypes(*self.sums.moments(), self.sums.cells)(cells)
        return scores
