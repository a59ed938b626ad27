"""Keep what a source's classes look like without its pixels: their mean features in a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.legend import IGNORE
from rsuda.learning.network import Encoder, SegmentationNetwork


@dataclass(frozen=True)
class SourceBank:
    """Bank of a run's source: a few numbers for each class, and no pixel.

    Attributes:
        means: (K, D) float32, the mean feature of each class's cells; 0 for a class without cells.
        deviation: (D,) float32, the deviation of features about the mean of the classes, each class with the same weight.
        cells: (K,) int64, how many cells each class has.
        shares: (K,) float32, each class's share of the source's labelled pixels.
        pretrained: () bool, whether the encoder is the one with the first weights, or else the run's own, trained one.
    """

    means: Tensor
    deviation: Tensor
    cells: Tensor
    shares: Tensor
    pretrained: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """List the tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def bytes(self) -> int:
        """Size of the tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors().values())

    def fits(self, classes: int) -> bool:
        """Check that the tensors belong together and to so many classes."""
        width = self.deviation.shape[0] if self.deviation.ndim == 1 else -1
        return (
            self.means.shape == (classes, width)
            and self.cells.shape == self.shares.shape == (classes,)
            and self.pretrained.shape == ()
        )


class ClassPrototypes(nn.Module):
    """Compare the cells of images with class means, by cosine about the mean of the classes.

    z = (f - mu) / sigma, mu the mean of the class means. The score of class k is the cosine of z with that of the
    class's mean. A class without cells has the score 0, neither near nor far.

    Args:
        means: (K, D), as those of a bank.
        deviation: (D,), sigma.
        cells: (K,), how many cells each class has.
    """

    centre: Tensor
    deviation: Tensor
    direction: Tensor

    def __init__(self, means: Tensor, deviation: Tensor, cells: Tensor) -> None:
        super().__init__()
        present = cells > 0
        centre = means[present].mean(0) if present.any() else means.mean(0)
        direction = F.normalize((means - centre) / deviation, dim=1) * present[:, None]
        self.register_buffer("centre", centre)
        self.register_buffer("deviation", deviation)
        self.register_buffer("direction", direction)

    @torch.no_grad()
    def forward(self, cells: Tensor) -> Tensor:
        """Compute the scores (B, K, h, w) from -1 to 1 of cells (B, D, h, w)."""
        with torch.autocast(cells.device.type, enabled=False):
            rows = cells.permute(0, 2, 3, 1).to(self.centre.dtype)
            return (self.standardised(rows) @ self.direction.T).permute(0, 3, 1, 2)

    def standardised(self, rows: Tensor) -> Tensor:
        """Compute the standardised features z (…, D), of length 1, of cells (…, D)."""
        return F.normalize((rows - self.centre) / self.deviation, dim=-1)


def own_encoder(model: SegmentationNetwork) -> Encoder:
    """Find the encoder of a network; of several, the one that sees the target."""
    for name in ("backbone_t", "network"):
        if hasattr(model, name):
            part = getattr(model, name)
            return cast(Encoder, getattr(part, "encoder", part))
    raise TypeError(f"{type(model).__name__} has no encoder")


class CellSums(nn.Module):
    """Running sums of labelled cells, from which class means are made, batch by batch.

    Args:
        classes: number of classes K.
        width: numbers of a cell D.
        dtype: of the sums. Devices without double precision need single precision.
    """

    cells: Tensor
    sum: Tensor
    square: Tensor

    def __init__(self, classes: int, width: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.register_buffer("cells", torch.zeros(classes, dtype=torch.long))
        self.register_buffer("sum", torch.zeros(classes, width, dtype=dtype))
        self.register_buffer("square", torch.zeros(classes, width, dtype=dtype))

    @torch.no_grad()
    def add(self, cells: Tensor, label: Tensor) -> None:
        """Add cells (B, D, h, w) with their class indices (B, h, w), 255 ignored."""
        rows, of = cells.permute(0, 2, 3, 1).flatten(0, 2).to(self.sum), label.flatten().to(self.cells)
        rows, of = rows[of != IGNORE], of[of != IGNORE]
        member = F.one_hot(of, len(self.cells)).to(self.sum).T
        self.cells += member.sum(1).long()
        with torch.autocast(rows.device.type, enabled=False):
            self.sum += member @ rows
            self.square += member @ rows.square()

    def moments(self) -> tuple[Tensor, Tensor]:
        """Compute the class means (K, D), 0 for a class without cells, and the deviation (D,) about their mean.

        A number of nearly the same value in all cells has a deviation of what rounding leaves of it, and so little weight.
        """
        number, present = self.cells.clamp(min=1)[:, None], self.cells > 0
        means = self.sum / number
        centre = means[present].mean(0)
        about = self.square / number - 2 * centre * means + centre.square()  # mean square about the centre
        rounding = 16 * torch.finfo(means.dtype).eps * (self.square / number)[present].mean(0)
        return means, torch.maximum(about[present].mean(0), rounding).clamp(min=1e-12).sqrt()

    def bank(self, shares: tuple[float, ...], *, pretrained: bool) -> SourceBank:
        """Make the bank of what was added."""
        means, deviation = self.moments()
        return SourceBank(means.float(), deviation.float(), self.cells, torch.tensor(shares), torch.tensor(pretrained))
