"""Let the labelled source vote on target cells in a frozen pretrained encoder: a second witness for pseudo labels.

The names that a model gives to clusters of the target can be wrong where it is most confident. Features of an encoder
that never saw the source's labels are another witness. Two modes: the nearest source cells vote by class (``NearestCells``),
or the class means do (``NearestMeans``). No paper has it in this form. Related are the frozen feature distance of DAFormer,
the neighbourhood votes of NRC (Yang et al., NeurIPS 2021) and the prototypes of ProDA (Zhang et al., CVPR 2021).

Symbols: f a feature of a cell, z its standardised direction, r the vote, p the softmax of a teacher, K classes.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rsuda.learning.cells import CellEncoder, cells_of, labels_on_grid
from rsuda.learning.distributed import all_gather
from rsuda.learning.network import resize
from rsuda.learning.network_builder import NetworkBuilder
from rsuda.methods.blocks.nearest_cells import NearestCells
from rsuda.methods.blocks.nearest_means import NearestMeans
from rsuda.methods.blocks.similar_cells import SimilarCells
from rsuda.methods.blocks.source_cells import encoded, is_observed
from rsuda.methods.blocks.witness import WitnessOptions, witness_builder
from rsuda.methods.options import Share, Weight


class VoteOptions(WitnessOptions):
    """The options of votes, which all methods of self-training share."""

    neighbours: Annotated[
        Weight,
        Field(
            description="weight of the votes of labelled source cells in the frozen pretrained encoder, beside the teacher's "
            "softmax; 0 for no votes; off without pretrained weights and one band, three, or two of infrared, red, green, blue"
        ),
    ] = 0.0
    votes: Annotated[
        Literal["neighbours", "prototypes"],
        Field(
            description="who votes: 'neighbours', the nearest source cells, or 'prototypes', the means of each class's source "
            "cells; their weight is ``neighbours``"
        ),
    ] = "neighbours"
    spread: Annotated[
        Share,
        Field(description="share of a target cell's pseudo label that similar target cells have; needs ``neighbours``"),
    ] = 0.0


class Witness(Protocol):
    """Module that learns labelled source cells and votes on the class that a cell looks like."""

    @property
    def ready(self) -> bool:
        """Whether it knows enough of each class to vote."""

    def learn(self, cells: Tensor, label: Tensor, key: Tensor) -> None:
        """Learn source cells (B, D, h, w), with labels (B, h, w) and keys (B,), of all processes."""

    def directions(self, cells: Tensor) -> Tensor:
        """Compute the directions z (N, D), of length 1, of cells (N, D)."""

    def votes(self, z: Tensor) -> Tensor:
        """Compute the votes (N, K) of directions; they sum to 1."""


class Votes(nn.Module):
    """Votes of the labelled source, and of target cells that resemble each other.

    What the witness and the list of target cells know are buffers, so a resumed run goes on with it. All processes of a
    training know the same.

    Args:
        encoder: the pretrained encoder.
        witness: who votes.
        classes: K.
        weight: w of the vote: p' = (p + w r) / (1 + w).
        spread: share a of the labels of similar target cells: p'' = (1 - a) p' + a q.
    """

    def __init__(self, encoder: CellEncoder, witness: Witness, classes: int, weight: float, spread: float) -> None:
        super().__init__()
        self.encoder, self.witness, self.classes, self.weight, self.spread = encoder, witness, classes, weight, spread
        self.similar = SimilarCells(sum(encoder.widths), classes)

    @property
    def ready(self) -> bool:
        """Whether the witness knows enough to vote."""
        return self.witness.ready

    @torch.no_grad()
    def observe(self, image: Tensor, label: Tensor, key: Tensor, step: int) -> None:
        """Learn the cells of labelled source images (B, bands, H, W) and labels (B, H, W), at some of the steps."""
        if is_observed(step):
            label = labels_on_grid(label, self.classes, cells_of(image))
            self.witness.learn(all_gather(encoded(self.encoder, image)), all_gather(label), all_gather(key))

    @torch.no_grad()
    def vote(self, image: Tensor) -> Tensor:
        """Compute the votes r (B, K, h, w) on the cells of images (B, bands, H, W), when ``ready``; they sum to 1."""
        return _as_maps(self.witness.votes(self._directions(image)), image)

    @torch.no_grad()
    def forward(self, logits: Tensor, image: Tensor, key: Tensor | None = None) -> Tensor:
        """Correct the logits (B, K, H, W) of a teacher by the votes on each cell.

        Before the witness is ready the logits are returned as they are. Without a key (B,) the list of target cells
        stays as it is.
        """
        if not self.ready:
            return logits
        p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
        size = (p.shape[-2], p.shape[-1])
        z = self._directions(image)
        r = _as_maps(self.witness.votes(z), image)
        p = (p + self.weight * resize(r, size)) / (1 + self.weight)
        return (self._spread(p, z, image, key) if self.spread else p).log()

    def _directions(self, image: Tensor) -> Tensor:
        return self.witness.directions(encoded(self.encoder, image).permute(0, 2, 3, 1).flatten(0, 2))

    def _spread(self, p: Tensor, z: Tensor, image: Tensor, key: Tensor | None) -> Tensor:
        """Compute p'' (B, K, H, W) of p'; the list of target cells remembers z and p'' of some cells."""
        labels = F.adaptive_avg_pool2d(p, cells_of(image)).permute(0, 2, 3, 1).flatten(0, 2)
        if self.similar.ready:
            q = self.similar.labels_of(z)
            labels = (1 - self.spread) * labels + self.spread * q
            p = (1 - self.spread) * p + self.spread * resize(_as_maps(q, image), (p.shape[-2], p.shape[-1]))
        if key is not None:
            self.similar.remember(all_gather(z), all_gather(labels), all_gather(key))
        return p


class NoVotes(nn.Module):
    """Stands for ``Votes`` where they are off: a teacher's logits stay as they are."""

    ready = False

    def observe(self, image: Tensor, label: Tensor, key: Tensor, step: int) -> None:
        """Learn nothing."""

    def forward(self, logits: Tensor, image: Tensor, key: Tensor | None = None) -> Tensor:
        return logits


def build_votes(build: NetworkBuilder, options: VoteOptions) -> Votes | NoVotes:
    """Build the votes of a method, if they have a weight and a pretrained encoder to vote in."""
    build = witness_builder(build, options)
    if not options.neighbours or not build.pretrained_features:
        return NoVotes()
    means, classes = options.votes == "prototypes", build.arch.classes
    encoder = build.cell_encoder(smooth=not means)
    witness = NearestMeans(sum(encoder.widths), classes) if means else NearestCells(encoder.widths, classes)
    return Votes(encoder, witness, classes, options.neighbours, options.spread)


def _as_maps(values: Tensor, image: Tensor) -> Tensor:
    """Reshape (B h w, K) to (B, K, h, w)."""
    return values.unflatten(0, (len(image), *cells_of(image))).permute(0, 3, 1, 2)
