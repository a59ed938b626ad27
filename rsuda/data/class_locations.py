"""Locate the classes of labelled scenes, so that patches of rare classes can be drawn."""

from __future__ import annotations

from functools import cached_property

import numpy as np


class ClassLocations:
    """Class counts of the blocks (64 x 64 of a scene's own pixels) of labelled scenes.

    Args:
        classes: number of classes.
    """

    SIZE = 64

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.blocks: list[tuple[int, int, int]] = []  # scene, row and column of the block's centre
        self.counts: list[np.ndarray] = []
        self.pixels = 0

    def add(self, scene: int, label: np.ndarray) -> None:
        """Add the label (H, W) uint8 of a scene; class indices from the number of classes on are ignored."""
        self.pixels += label.size
        for row in range(0, label.shape[0], self.SIZE):
            for col in range(0, label.shape[1], self.SIZE):
                block = label[row : row + self.SIZE, col : col + self.SIZE]
                self.blocks.append((scene, row + block.shape[0] // 2, col + block.shape[1] // 2))
                # a copy, since a slice would hold all 256 counts in memory, which is 2 KB a block
                self.counts.append(np.bincount(block.ravel(), minlength=256)[: self.classes].astype(np.int32))

    @cached_property
    def cumulative(self) -> np.ndarray:
        """Running sums (K, blocks) of each class's pixels over the blocks."""
        return np.cumsum(np.array(self.counts, np.int64), 0).T

    @property
    def sparse(self) -> bool:
        """Whether less than a quarter of the pixels is labelled (a few annotated windows), so that random patches miss them."""
        return 4 * int(self.cumulative[:, -1].sum()) < self.pixels

    def draw_labelled(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Draw a block (scene, row, column) with labels; it holds each labelled pixel with equal probability."""
        total = self.cumulative.sum(0)
        return self.blocks[int(np.searchsorted(total, rng.integers(total[-1]), side="right"))]

    def draw(self, rng: np.random.Generator, temperature: float) -> tuple[int, int, int]:
        """Draw a block (scene, row, column) that holds a random class, rare classes more often.

        Classes are drawn as in DAFormer (Hoyer et al., CVPR 2022): P(c) = softmax((1 - f_c) / T), where f_c is the
        class's share of all labelled pixels. The block holds each pixel of the class with equal probability. DAFormer
        draws among images instead; here one scene may be as large as its whole data set.
        """
        total = self.cumulative[:, -1]
        score = np.where(total > 0, (1 - total / total.sum()) / temperature, -np.inf)
        chance = np.exp(score - score.max())
        index = int(rng.choice(self.classes, p=chance / chance.sum()))
        row = self.cumulative[index]
        return self.blocks[int(np.searchsorted(row, rng.integers(row[-1]), side="right"))]
