"""Let labelled source cells vote on target cells in a frozen pretrained encoder: a second witness for pseudo labels.

The names that a model gives to clusters of the target can be wrong where it is most confident. Features of an encoder
that never saw the source's labels are another witness: their nearest source cells vote by class (k nearest neighbours;
class-balanced lists stand for Bayes' rule under equal class frequencies). No paper has it in this form. Related are the
frozen feature distance of DAFormer and the neighbourhood votes of NRC (Yang et al., NeurIPS 2021).

Symbols: f a feature of a cell, z its standardised direction, r the vote, p the softmax of a teacher, K classes.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.learning.decoders import four_deepest
from rsuda.learning.distributed import all_gather
from rsuda.learning.network import FrozenEncoder, resize
from rsuda.learning.random_draws import generators
from rsuda.methods.blocks.prototypes import labels_on_grid

STRIDE = 8  # pixels of a cell that votes and is voted on
CELLS = 400  # of each class in the source's lists
NEIGHBOURS = 20
NEWCOMERS = 60  # cells of each class that one batch adds to the lists
FULL_PACE, PACE = 16, 8  # the lists grow at each of the first steps, and then at every eighth
TARGET_CELLS, TARGET_NEWCOMERS, TARGET_NEIGHBOURS = 5000, 250, 10
TARGET_START = 1000  # cells in the target's list from which it is asked
SOURCE_DRAW, TARGET_DRAW = 11, 12  # purposes of the draws


class Neighbours(nn.Module):
    """Votes of labelled source cells, and of target cells that resemble each other.

    The lists of cells are buffers, so a resumed run goes on with them. All processes of a training hold the same lists.

    Args:
        encoder: the pretrained encoder, frozen, with the batch norm statistics of its pretraining.
        classes: K.
        weight: w of the vote: p' = (p + w r) / (1 + w).
        spread: share a of the labels of similar target cells: p'' = (1 - a) p' + a q.
    """

    scale: Tensor
    source_cells: Tensor
    source_number: Tensor
    target_cells: Tensor
    target_labels: Tensor
    target_number: Tensor

    def __init__(self, encoder: FrozenEncoder, classes: int, weight: float, spread: float) -> None:
        super().__init__()
        self.encoder, self.weight, self.spread = encoder, weight, spread
        channels = encoder.encoder.out_channels
        self.levels = four_deepest(channels)[:3]  # strides 4, 8, 16; stride 32 voted worse on three fields
        width = sum(channels[k] for k in self.levels)
        # each level counts alike, whatever its number of channels
        scale = torch.cat([torch.full((channels[k],), channels[k] ** -0.5) for k in self.levels])
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("source_cells", torch.zeros(classes, CELLS, width))
        self.register_buffer("source_number", torch.zeros(classes, dtype=torch.long))
        self.register_buffer("target_cells", torch.zeros(TARGET_CELLS, width))
        self.register_buffer("target_labels", torch.zeros(TARGET_CELLS, classes))
        self.register_buffer("target_number", torch.zeros((), dtype=torch.long))

    @property
    def ready(self) -> bool:
        """Whether each class that has cells at all has half a list of them."""
        number = self.source_number[self.source_number > 0]
        return len(number) > 1 and bool((number >= CELLS // 2).all())

    @torch.no_grad()
    def observe(self, image: Tensor, label: Tensor, key: Tensor, step: int) -> None:
        """Add cells of labelled source images (B, bands, H, W) and labels (B, H, W) to the lists, oldest out first."""
        if step >= FULL_PACE and step % PACE:
            return
        f = self._features(image)
        label = labels_on_grid(label, len(self.source_cells), (f.shape[-2], f.shape[-1]))
        f, label, key = all_gather(f), all_gather(label), all_gather(key)
        cells, classes = f.permute(0, 2, 3, 1).flatten(0, 2), label.flatten()
        draw = generators(key[:1], SOURCE_DRAW)[0]
        for k, filled in enumerate(self.source_number.tolist()):
            members = (classes == k).nonzero()[:, 0]
            chosen = members[torch.randperm(len(members), generator=draw)[:NEWCOMERS].to(members.device)]
            places = (filled + torch.arange(len(chosen), device=chosen.device)) % CELLS
            self.source_cells[k, places] = cells[chosen]
            self.source_number[k] += len(chosen)

    @torch.no_grad()
    def vote(self, image: Tensor) -> Tensor:
        """Votes r (B, K, h, w) on cells of ``STRIDE`` px of images (B, bands, H, W); they sum to 1."""
        return self._votes(self._directions(self._features(image)), (len(image), *_cells(image)))

    @torch.no_grad()
    def forward(self, logits: Tensor, image: Tensor, key: Tensor | None = None) -> Tensor:
        """Correct the logits (B, K, H, W) of a teacher by what the neighbours of each cell say, or return them as they are
        while the lists are short. Without a key (B,) the target's list stays as it is."""
        if not self.ready:
            return logits
        p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
        size, cells = (p.shape[-2], p.shape[-1]), (len(image), *_cells(image))
        z = self._directions(self._features(image))
        r = self._votes(z, cells)
        p = (p + self.weight * resize(r, size)) / (1 + self.weight)
        return (self._spread(p, z, cells, key) if self.spread else p).log()

    def _features(self, image: Tensor) -> Tensor:
        """Concatenated levels of the frozen encoder (B, C, h, w), float32."""
        with torch.autocast(image.device.type, enabled=False):
            pyramid = self.encoder(image.float())
            size = _cells(image)
            finest = pyramid[self.levels[0]].shape[-2:]
            levels = [resize(pyramid[k], finest) for k in self.levels]
            return F.adaptive_avg_pool2d(torch.cat(levels, 1), size)

    def _directions(self, f: Tensor) -> Tensor:
        """z of cells (N, C): features standardised by the lists, levels of equal weight, length 1."""
        return self._standardised(f.permute(0, 2, 3, 1).flatten(0, 2))

    def _standardised(self, cells: Tensor) -> Tensor:
        present = self.source_number > 0
        shortest = int(self.source_number[present].clamp(max=CELLS).min())
        balanced = self.source_cells[present, :shortest].flatten(0, 1)
        mean, std = balanced.mean(0), balanced.std(0) + 1e-6
        return F.normalize((cells - mean) / std * self.scale, dim=1)

    def _votes(self, z: Tensor, cells: tuple[int, int, int]) -> Tensor:
        number = self.source_number.clamp(max=CELLS)
        listed = torch.cat([self.source_cells[k, : int(n)] for k, n in enumerate(number)])
        classes = torch.repeat_interleave(torch.arange(len(number), device=z.device), number)
        nearest = (z @ self._standardised(listed).T).topk(NEIGHBOURS, dim=1).indices
        shares = F.one_hot(classes[nearest], len(number)).float().mean(1)
        # lists of unequal length would vote by their length
        shares = shares / (number.clamp(min=1) / CELLS)
        return _as_maps(shares / shares.sum(1, keepdim=True), cells)

    def _spread(self, p: Tensor, z: Tensor, cells: tuple[int, int, int], key: Tensor | None) -> Tensor:
        """p'' (B, K, H, W) of p'; the list of target cells remembers z and p'' of some cells."""
        size = (p.shape[-2], p.shape[-1])
        labels = F.adaptive_avg_pool2d(p, cells[1:]).permute(0, 2, 3, 1).flatten(0, 2)
        number = min(int(self.target_number), TARGET_CELLS)
        if number >= TARGET_START:
            listed = self.target_cells[:number]
            nearest = (z @ listed.T).topk(TARGET_NEIGHBOURS, dim=1).indices
            q = self.target_labels[:number][nearest].mean(1)
            labels = (1 - self.spread) * labels + self.spread * q
            p = (1 - self.spread) * p + self.spread * resize(_as_maps(q, cells), size)
        if key is None:
            return p
        z, labels, key = all_gather(z), all_gather(labels), all_gather(key)
        draw = generators(key[:1], TARGET_DRAW)[0]
        chosen = torch.randperm(len(z), generator=draw)[:TARGET_NEWCOMERS].to(z.device)
        places = (int(self.target_number) + torch.arange(len(chosen), device=z.device)) % TARGET_CELLS
        self.target_cells[places], self.target_labels[places] = z[chosen], labels[chosen]
        self.target_number += len(chosen)
        return p


class NoNeighbours(nn.Module):
    """Stands for ``Neighbours`` where the votes are off: a teacher's logits stay as they are."""

    def observe(self, image: Tensor, label: Tensor, key: Tensor, step: int) -> None:
        """Remember nothing."""

    def forward(self, logits: Tensor, image: Tensor, key: Tensor | None = None) -> Tensor:
        return logits


def _cells(image: Tensor) -> tuple[int, int]:
    return image.shape[-2] // STRIDE, image.shape[-1] // STRIDE


def _as_maps(values: Tensor, cells: tuple[int, int, int]) -> Tensor:
    """(B, K, h, w) of (B h w, K)."""
    return cast(Tensor, values.unflatten(0, cells).permute(0, 3, 1, 2))
