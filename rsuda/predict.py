"""From a scene to class probabilities on the network's grid, classes on the scene's own grid, and files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rsuda.data import unit
from rsuda.device import autocast, pick_device, pick_precision
from rsuda.errors import InputError
from rsuda.legend import IGNORE
from rsuda.network import STRIDE
from rsuda.raster import axis_weights, weigh
from rsuda.run import Trained
from rsuda.scene import Scene
from rsuda.tiles import blend_weights, starts


@dataclass(frozen=True)
class Prediction:
    """``classes`` (H, W) uint8, 255 where the scene has no data; ``confidence`` (H, W) uint8, 0 to 254 for 0..1."""

    classes: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Engine:
    """A network on a device, with its windowing.

    Attributes:
        window: pixels per side of the windows fed to the network, a multiple of 32.
        overlap: pixels that neighbouring windows share at least.
    """

    trained: Trained
    device: torch.device
    precision: str
    window: int = 512
    overlap: int = 128
    batch_size: int = 4

    @staticmethod
    def of(
        trained: Trained, device: str = "auto", precision: str = "auto", window: int = 512, overlap: int = 128, batch_size: int = 4
    ) -> Engine:
        """Raises InputError when the window is not a multiple of 32 or the overlap does not fit in it."""
        if window < STRIDE or window % STRIDE:
            raise InputError(f"the tile size must be a multiple of {STRIDE}, not {window}")
        if not 0 <= overlap < window:
            raise InputError(f"the overlap must be at least 0 and below the tile size {window}, not {overlap}")
        where = pick_device(device)
        trained.model.to(where, memory_format=torch.channels_last).eval()
        return Engine(trained, where, pick_precision(precision, where), window, overlap, batch_size)

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities (B, K, h, w) float32 of images (B, bands, h, w) on 0..1."""
        spec = self.trained.spec
        mean, std = (torch.tensor(v)[:, None, None] for v in (spec.mean, spec.std))
        x = ((torch.from_numpy(images) - mean) / std).to(self.device).contiguous(memory_format=torch.channels_last)
        with autocast(self.precision, self.device):
            logits = self.trained.model(x)
        return logits.float().softmax(1).cpu().numpy()

    def scene(self, scene: Scene, bands: tuple[str, ...] | None = None) -> Prediction:
        """Predict a whole scene, on its own grid.

        The scene is read at the network's GSD in overlapping windows, whose probabilities are blended by a partition of
        unity; the blend is brought to the scene's own pixels and only then turned into classes.
        """
        spec = self.trained.spec
        grid = scene.grid_at(spec.gsd)
        blend = np.zeros((len(spec.legend), grid.height, grid.width), np.float32)
        rows, cols = (starts(n, self.window, self.window - self.overlap) for n in (grid.height, grid.width))
        down, across = blend_weights(grid.height, self.window, rows), blend_weights(grid.width, self.window, cols)
        places = [(i, j) for i in range(len(rows)) for j in range(len(cols))]
        for k in range(0, len(places), self.batch_size):
            some = places[k : k + self.batch_size]
            images = np.stack([self._read(scene, rows[i], cols[j], grid.height, grid.width, bands) for i, j in some])
            for (i, j), found in zip(some, self.probabilities(images), strict=True):
                height, width = min(self.window, grid.height - rows[i]), min(self.window, grid.width - cols[j])
                weight = down[i][:height, None] * across[j][None, :width]
                blend[:, rows[i] : rows[i] + height, cols[j] : cols[j] + width] += found[:, :height, :width] * weight
        return self._on_own_grid(blend, scene, bands)

    def _read(
        self, scene: Scene, row: int, col: int, height: int, width: int, bands: tuple[str, ...] | None
    ) -> np.ndarray:
        """A window on 0..1, mirrored at the scene's edge where the scene is smaller than the window."""
        inside = min(self.window, height - row), min(self.window, width - col)
        spec = self.trained.spec
        patch = scene.read(bands or spec.bands, spec.gsd, (row, col, *inside))
        image = unit(patch.values, spec) * patch.valid
        missing = [(0, 0), (0, self.window - inside[0]), (0, self.window - inside[1])]
        return np.pad(image, missing, mode="symmetric").astype(np.float32)

    def _on_own_grid(self, blend: np.ndarray, scene: Scene, bands: tuple[str, ...] | None) -> Prediction:
        step = scene.step(self.trained.spec.gsd)
        height, width = scene.grid.height, scene.grid.width
        classes, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
        left, right, across = axis_weights(blend.shape[2], 0.0, 1 / step[1], width)
        for row, count in strips(height):
            top, bottom, down = axis_weights(blend.shape[1], row / step[0], 1 / step[0], count)
            own = blend[:, row : row + count] if step == (1, 1) else weigh(blend[:, top:bottom, left:right], down, across)
            valid = scene.read(bands or self.trained.spec.bands, None, (row, 0, count, width)).valid
            classes[row : row + count] = np.where(valid, own.argmax(0), IGNORE)
            confidence[row : row + count] = np.where(valid, np.rint(own.max(0) * 254), IGNORE)
        return Prediction(classes, confidence)


def strips(height: int, rows: int = 512) -> Iterator[tuple[int, int]]:
    """(first row, rows) of strips that cover a height."""
    for row in range(0, height, rows):
        yield row, min(rows, height - row)


def default_output(scene: Path, out: Path | None) -> Path:
    """Where a scene's class raster goes: beside it, or into a folder."""
    return (out or scene.parent) / f"{scene.stem}_classes.tif"
