"""Keep what a source's classes look like without its pixels: their mean features in a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.core.legend import IGNORE
from rsuda.learning.decoders import four_deepest
from rsuda.learning.network import Encoder, SegmentationNetwork, resize


@dataclass(frozen=True)
class SourceBank:
    """What a run keeps of its source: a few numbers for each class, and no pixel.

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
    """Compare the cells of images with a bank's classes, by cosine about the mean of the classes.

    z = (f - mu) / sigma, mu the mean of the class means and sigma the bank's deviation; the score of class k is the cosine
    of z with that of the class's mean. A class without cells has the score 0, neither near nor far.
    """

    centre: Tensor
    deviation: Tensor
    direction: Tensor

    def __init__(self, bank: SourceBank) -> None:
        super().__init__()
        present = bank.cells > 0
        centre = bank.means[present].mean(0) if present.any() else bank.means.mean(0)
        direction = F.normalize((bank.means - centre) / bank.deviation, dim=1) * present[:, None]
        self.register_buffer("centre", centre)
        self.register_buffer("deviation", bank.deviation)
        self.register_buffer("direction", direction)

    @torch.no_grad()
    def forward(self, cells: Tensor) -> Tensor:
        """Scores (B, K, h, w) from -1 to 1 of cells (B, D, h, w)."""
        with torch.autocast(cells.device.type, enabled=False):
            rows = cells.permute(0, 2, 3, 1).to(self.centre.dtype)
            scores = F.normalize((rows - self.centre) / self.deviation, dim=-1) @ self.direction.T
            return scores.permute(0, 3, 1, 2)


def own_encoder(model: SegmentationNetwork) -> Encoder:
    """Find the encoder of a network; of several, the one that sees the target."""
    for name in ("backbone_t", "network"):
        if hasattr(model, name):
            part = getattr(model, name)
            return cast(Encoder, getattr(part, "encoder", part))
    raise TypeError(f"{type(model).__name__} has no encoder")


class CellEncoder(nn.Module):
    """An encoder that stays as it is: images (B, bands, H, W) -> cells (B, D, H / 8, W / 8).

    A cell is the features of the levels of strides 4, 8 and 16, side by side. Batch norm normalises by its running statistics.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = cast(Encoder, encoder.eval().requires_grad_(False))

    def train(self, mode: bool = True) -> CellEncoder:
        """Change nothing: the encoder stays as it is."""
        return self

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        pyramid = self.encoder(image)
        levels = [pyramid[k] for k in four_deepest(self.encoder.out_channels)[:3]]
        size = (image.shape[-2] // 8, image.shape[-1] // 8)
        # the finest level is averaged over each cell; the others are as coarse as the cells or coarser
        return torch.cat([F.adaptive_avg_pool2d(levels[0], size), *(resize(level, size) for level in levels[1:])], 1)


class BankSums:
    """Running sums from which a bank is made, batch by batch.

    Args:
        classes: number of classes K.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.cells = torch.zeros(classes, dtype=torch.long)
        self.sum = self.square = torch.zeros(())

    def add(self, cells: Tensor, label: Tensor) -> None:
        """Add cells (B, D, h, w) with their class indices (B, h, w), 255 ignored."""
        rows, of = cells.permute(0, 2, 3, 1).flatten(0, 2).double().cpu(), label.flatten().cpu()
        rows, of = rows[of != IGNORE], of[of != IGNORE]
        member = F.one_hot(of, self.classes).double().T
        self.cells = self.cells + member.sum(1).long()
        self.sum, self.square = self.sum + member @ rows, self.square + member @ rows.square()

    def bank(self, shares: tuple[float, ...], *, pretrained: bool) -> SourceBank:
        """Make the bank of what was added."""
        number, present = self.cells.clamp(min=1)[:, None], self.cells > 0
        means = self.sum / number
        centre = means[present].mean(0)
        about = self.square / number - 2 * centre * means + centre.square()  # mean square about the centre
        deviation = about[present].mean(0).clamp(min=1e-12).sqrt()
        return SourceBank(means.float(), deviation.float(), self.cells, torch.tensor(shares), torch.tensor(pretrained))
