"""Measure the windows of scenes that could be labelled; scenes stream through the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsuda.core.errors import InputError
from rsuda.core.spec import Spec
from rsuda.data.checks.gsd_limit import check_gsd
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import finished_rows
from rsuda.learning.calibration import tempered
from rsuda.learning.network import Decoder

LEAST_VALID = 0.5  # share of valid pixels; windows with less do not count
BLOCK = 1 << 20  # pixels of a scene that are summed at once

Progress = Callable[[float, float], None]  # of finished pixels and all


@dataclass(frozen=True)
class Candidate:
    """A window that could be labelled.

    Attributes:
        row, col: pixels at the model's GSD.
        shares: (K,) mean class probabilities.
        entropy: (K,) mean of class probability times entropy over log K; its sum is the uncertainty.
        class_shares: (K,) shares of the predicted classes.
        fused: (F,) mean fused feature; empty for a model without a decoder of rsuda.
        valid: share of pixels that have data, 0 to 1.
    """

    scene: str
    row: int
    col: int
    shares: np.ndarray
    entropy: np.ndarray
    class_shares: np.ndarray
    fused: np.ndarray
    valid: float

    @property
    def uncertainty(self) -> float:
        """Mean entropy of the window's pixels over log K, 0 to 1."""
        return float(self.entropy.sum())


def candidates(
    predictor: Predictor, scenes: list[Scene], size: int, progress: Progress | None = None
) -> Iterator[Candidate]:
    """Yield the windows with data of all scenes, scene by scene; scenes stream through the model.

    Probabilities are calibrated where the model has a scaling (``rsuda calibrate``).

    Raises InputError when no scene is as large as a window.
    """
    predictor, gsd = replace(predictor, tta="none"), predictor.trained.spec.gsd
    sizes = [_whole_pixels(scene, gsd) for scene in scenes]
    if not any(min(shape) >= size for shape in sizes):
        height, width = max(sizes, key=min)
        raise InputError(
            f"no scene is as large as a window of {size} px: the largest is {width} x {height} px of {gsd:g} m: choose a smaller "
            "size"
        )
    pixels = np.cumsum([0, *(height * width for height, width in sizes)])
    show = progress or (lambda done, total: None)
    for number, (scene, (height, width)) in enumerate(zip(scenes, sizes, strict=True)):
        check_gsd(scene, gsd)
        if min(height, width) >= size:

            def on_rows(rows: int, before: float = pixels[number], width: int = width) -> None:
                show(before + rows * width, pixels[-1])

            yield from _of_scene(predictor, scene, _spaced(height, size), _spaced(width, size), size, on_rows)
        show(pixels[number + 1], pixels[-1])


def _whole_pixels(scene: Scene, gsd: float) -> tuple[int, int]:
    """Return (height, width): the number of whole pixels of ``gsd`` inside the scene."""
    down, across = scene.step(gsd)
    return int(scene.grid.height / down + 1e-6), int(scene.grid.width / across + 1e-6)


def _spaced(length: int, size: int) -> list[int]:
    """Return the first pixels of as many windows as fit side by side, evenly spaced."""
    count = length // size
    return [0] if count == 1 else [round(i * (length - size) / (count - 1)) for i in range(count)]


class FusedFeatures:
    """Sums of a model's fused features over the candidates of a scene, gathered while it predicts.

    For a model with several decoders they are those of the first one that runs.
    """

    def __init__(self, predictor: Predictor, rows: list[int], cols: list[int], size: int) -> None:
        self.window, self.size, self.rows, self.cols = predictor.window, size, np.array(rows), np.array(cols)
        self.latest: Tensor | None = None
        self.sums, self.cells = np.zeros(0), np.zeros((len(rows), len(cols)))
        self.hooks = [
            module.register_forward_hook(self._record)
            for module in predictor.model.modules()
            if isinstance(module, Decoder)
        ]

    def _record(self, module: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        if self.latest is None:
            self.latest = output[0]

    def on_batch(self, row: int, cols: list[int]) -> None:
        """Add the features of the windows with these first pixels, after their forward pass."""
        if self.latest is None:
            return
        maps, self.latest = self.latest.float().cpu().numpy(), None
        if not self.sums.size:
            self.sums = np.zeros((maps.shape[1], *self.cells.shape))
        down = self._overlap(self.rows, row, maps.shape[2])
        for fused, col in zip(maps, cols, strict=True):
            across = self._overlap(self.cols, col, maps.shape[3])
            self.sums += down @ fused @ across.T
            self.cells += down.sum(1)[:, None] * across.sum(1)

    def _overlap(self, starts: np.ndarray, first: int, cells: int) -> np.ndarray:
        """Return (candidates, cells): 1 where a candidate contains a cell's centre along one axis, else 0."""
        centre = first + (np.arange(cells) + 0.5) * self.window / cells
        inside = (centre >= starts[:, None]) & (centre < starts[:, None] + self.size)
        return inside.astype(np.float32)

    def mean(self, i: int, k: int) -> np.ndarray:
        """Return the mean feature (F,) of a candidate by its row and column; empty without a decoder."""
        result: np.ndarray = self.sums[:, i, k] / max(1, self.cells[i, k]) if self.sums.size else self.sums
        return result

    def close(self) -> None:
        """Remove the hooks from the model."""
        for hook in self.hooks:
            hook.remove()


def _of_scene(
    predictor: Predictor,
    scene: Scene,
    rows: list[int],
    cols: list[int],
    size: int,
    on_rows: Callable[[int], None],
) -> Iterator[Candidate]:
    """Yield the candidates at all of ``rows`` x ``cols``, each as soon as its last row is predicted."""
    spec, classes = predictor.trained.spec, len(predictor.trained.spec.legend)
    sums = np.zeros((len(rows), 3 * classes + 1, len(cols)))
    width, done = cols[-1] + size, 0
    ends = np.array(cols) + size
    fused = FusedFeatures(predictor, rows, cols, size)
    try:
        for first, blend in finished_rows(
            predictor, scene, rows=(rows[0], rows[-1] + size), cols=(0, width), on_batch=fused.on_batch
        ):
            step = max(1, BLOCK // width)
            for start in range(0, blend.shape[1], step):
                block = tempered(blend[:, start : start + step], spec.temperature, bias=spec.bias)
                top, bottom = first + start, first + start + block.shape[1]
                maps = _maps(block, _valid(scene, spec, top, bottom - top, width))
                for i, row in enumerate(rows):
                    if row < bottom and row + size > top:
                        inside = maps[:, max(0, row - top) : row + size - top]
                        line = np.pad(inside.sum(1, dtype=np.float64).cumsum(1), [(0, 0), (1, 0)])
                        sums[i] += line[:, ends] - line[:, cols]
            while done < len(rows) and rows[done] + size <= first + blend.shape[1]:
                for k, col in enumerate(cols):
                    *total, valid = sums[done, :, k]
                    if valid >= LEAST_VALID * size * size:
                        shares, entropy, class_shares = (np.array(total) / valid).reshape(3, classes)
                        feature, valid_share = fused.mean(done, k), float(valid) / size**2
                        yield Candidate(
                            scene.name, rows[done], col, shares, entropy, class_shares, feature, valid_share
                        )
                done += 1
            on_rows(first + blend.shape[1])
    finally:
        fused.close()


def _maps(blend: Tensor, valid: np.ndarray | None) -> np.ndarray:
    """Return (3 K + 1, h, W) float32, 0 where there is no data.

    The planes are the K probabilities, these times entropy over log K, 1 for the predicted class, and 1.
    """
    probabilities = blend / blend.sum(0).clamp_min(1e-12)
    entropy = -torch.special.xlogy(probabilities, probabilities).sum(0) / np.log(max(2, len(probabilities)))
    winner = torch.nn.functional.one_hot(probabilities.argmax(0), len(probabilities)).permute(2, 0, 1)
    ones = torch.ones_like(probabilities[:1])
    maps: np.ndarray = torch.cat([probabilities, probabilities * entropy, winner, ones]).cpu().numpy()
    return maps if valid is None else maps * valid


def _valid(scene: Scene, spec: Spec, row: int, height: int, width: int) -> np.ndarray | None:
    """Return where rows of the scene have data, at the model's GSD; None where the whole file has."""
    if scene.valid(spec.bands, (0, 0, 1, 1)) is None:
        return None
    return scene.read(spec.bands, spec.gsd, (row, 0, height, width)).valid
