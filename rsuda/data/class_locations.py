"""Where the classes of labelled scenes lie, so that patches of rare classes can be drawn."""

from __future__ import annotations

from functools import cached_property

import numpy as np


class ClassLocations:
    """Where the classes of labelled scenes lie, by blocks of 64 x 64 of a scene's own pixels."""

    SIZE = 64

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.blocks: list[tuple[int, int, int]] = []  # scene, row and column of the block's centre
        self.counts: list[np.ndarray] = []
        self.pixels = 0

    def add(self, scene: int, label: np.ndarray) -> None:
        self.pixels += label.size
        for row in range(0, label.shape[0], self.SIZE):
            for col in range(0, label.shape[1], self.SIZE):
                block = label[row : row + self.SIZE, col : col + self.SIZE]
                self.blocks.append((scene, row + block.shape[0] // 2, col + block.shape[1] // 2))
                # a copy, since a slice would keep all 256 counts, which is 2 KB a block
                self.counts.append(np.bincount(block.ravel(), minlength=256)[: self.classes].astype(np.int32))

    @cached_property
    def cumulative(self) -> np.ndarray:
        """(K, blocks): running sums of a class's pixels over the blocks."""
        return np.cumsum(np.array(self.counts, np.int64), 0).T

    @property
    def sparse(self) -> bool:
        """Whether so few pixels are labelled, as of scenes with a few annotated windows, that random patches miss them."""
        return 4 * int(self.cumulative[:, -1].sum()) < self.pixels

    def draw_labelled(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Scene, row and column of a block; each labelled pixel is equally likely to be in it."""
        total = self.cumulative.sum(0)
        return self.blocks[int(np.searchsorted(total, rng.integers(total[-1]), side="right"))]

    def draw(self, rng: np.random.Generator, temperature: float) -> tuple[int, int, int]:
        """Scene, row and column of a block that holds a class drawn by DAFormer's P(c) = softmax((1 - f_c) / T), f_c the
        class's share of all labelled pixels. Each pixel of that class is equally likely to be in the block drawn; DAFormer
        draws among images that hold enough of it, but here one scene may be as large as its whole data set."""
        total = self.cumulative[:, -1]
        score = np.where(total > 0, (1 - total / total.sum()) / temperature, -np.inf)
        chance = np.exp(score - score.max())
        drawn = int(rng.choice(self.classes, p=chance / chance.sum()))
        row = self.cumulative[drawn]
        return self.blocks[int(np.searchsorted(row, rng.integers(row[-1]), side="right"))]
