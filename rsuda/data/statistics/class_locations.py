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
        self.pixels = 0
        self.weights: np.ndarray | None = None  # (scenes,) weight of a pixel of each scene; None for equal ones
        self._blocks: list[np.ndarray] = []  # (n, 3) int32: scene, row and column of each block's centre
        self._counts: list[np.ndarray] = []  # (n, K) int32

    def add(self, scene: int, label: np.ndarray, first_row: int = 0) -> None:
        """Add rows of a scene's label, (H, W) uint8; class indices from the number of classes on are ignored.

        Args:
            first_row: of the scene, a multiple of SIZE; rows are added from top to bottom.
        """
        self.pixels += label.size
        height, width = label.shape
        rows, cols = (np.arange(0, length, self.SIZE) for length in (height, width))
        row_centres = first_row + rows + np.minimum(self.SIZE, height - rows) // 2
        col_centres = cols + np.minimum(self.SIZE, width - cols) // 2
        centres = np.stack(np.meshgrid(row_centres, col_centres, indexing="ij"), -1).reshape(-1, 2)
        self._blocks.append(np.insert(centres, 0, scene, axis=1).astype(np.int32))
        # one bincount over (block, class) for a row of blocks; ignored pixels are counted in one more column
        column = np.arange(width) // self.SIZE * (self.classes + 1)
        for row in rows:
            part = np.minimum(label[row : row + self.SIZE], self.classes) + column
            counts = np.bincount(part.ravel(), minlength=len(cols) * (self.classes + 1))
            self._counts.append(counts.reshape(len(cols), -1)[:, : self.classes].astype(np.int32))

    @cached_property
    def blocks(self) -> np.ndarray:
        """Scene, row and column (blocks, 3) int32 of each block's centre."""
        return np.concatenate(self._blocks)

    @cached_property
    def counts(self) -> np.ndarray:
        """Pixels (blocks, K) int32 of each class in each block."""
        return np.concatenate(self._counts)

    @cached_property
    def cumulative(self) -> np.ndarray:
        """Running sums (K, blocks) of each class's pixels over the blocks."""
        return np.cumsum(self.counts, 0, dtype=np.int64).T

    @property
    def sparse(self) -> bool:
        """Whether less than a quarter of the pixels is labelled (a few annotated windows), so that random patches miss them."""
        return 4 * int(self.cumulative[:, -1].sum()) < self.pixels

    def draw_labelled(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Draw a block (scene, row, column) with labels; it holds each labelled pixel with equal probability."""
        return self._drawn(rng, self.cumulative.sum(0))

    def draw(self, rng: np.random.Generator, temperature: float) -> tuple[int, int, int]:
        """Draw a block (scene, row, column) that holds a random class, rare classes more often.

        Classes are drawn as in DAFormer (Hoyer et al., CVPR 2022): P(c) = softmax((1 - f_c) / T), where f_c is the
        class's share of all labelled pixels. The block holds each pixel of the class with equal probability. DAFormer
        draws among images instead; here one scene may be as large as its whole data set.
        """
        total = self.cumulative[:, -1]
        if self.weights is not None:
            total = self.weights[self.blocks[:, 0]] @ self.counts
        score = np.where(total > 0, (1 - total / total.sum()) / temperature, -np.inf)
        chance = np.exp(score - score.max())
        index = int(rng.choice(self.classes, p=chance / chance.sum()))
        return self._drawn(rng, self.cumulative[index])

    def draw_class(self, rng: np.random.Generator, index: int) -> tuple[int, int, int]:
        """Draw scene and position (row, col) of a block of a class, in proportion to its pixels; the source must have it."""
        return self._drawn(rng, self.cumulative[index])

    def _drawn(self, rng: np.random.Generator, sums: np.ndarray) -> tuple[int, int, int]:
        """Draw a block in proportion to its pixels, of which ``sums`` are running sums over the blocks."""
        if self.weights is None:
            return self._block(np.searchsorted(sums, rng.integers(sums[-1]), side="right"))
        sums = np.cumsum(np.diff(sums, prepend=0) * self.weights[self.blocks[:, 0]])
        return self._block(np.searchsorted(sums, rng.uniform(0, sums[-1]), side="right").clip(max=len(sums) - 1))

    def _block(self, number: int) -> tuple[int, int, int]:
        scene, row, col = map(int, self.blocks[number])
        return scene, row, col
