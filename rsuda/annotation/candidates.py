"""The windows of scenes that could be annotated, and what a network tells of each; scenes stream through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsuda.core.errors import InputError
from rsuda.core.spec import Spec
from rsuda.geo.scene import Scene
from rsuda.inference.open_scene import check_gsd
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import finished_rows
from rsuda.learning.network import Decoder

LEAST_VALID = 0.5  # of a window's pixels; those with less are passed over
PIECE = 1 << 20  # pixels of a scene that are summed up at once


@dataclass(frozen=True)
class Candidate:
    """A window that could be annotated: ``shares`` (K,) mean class probabilities, ``wavering`` (K,) mean of p times
    entropy over log K, whose sum is the uncertainty; ``predicted`` (K,) shares of the classes predicted; ``fused`` (F,) mean
    fused feature, empty for a network without a decoder of rsuda's; ``valid`` share of pixels that hold data, 0 to 1."""

    scene: str
    row: int
    col: int
    shares: np.ndarray
    wavering: np.ndarray
    predicted: np.ndarray
    fused: np.ndarray
    valid: float

    @property
    def uncertainty(self) -> float:
        return float(self.wavering.sum())


def candidates(engine: Predictor, scenes: list[Scene], size: int) -> Iterator[Candidate]:
    """Windows of all scenes that hold data, scene by scene; scenes stream through the network.

    Raises InputError when no scene is as large as a window.
    """
    engine, gsd = replace(engine, tta="none"), engine.trained.spec.gsd
    insides = [_inside(scene, gsd) for scene in scenes]
    if not any(min(i) >= size for i in insides):
        height, width = max(insides, key=min)
        raise InputError(
            f"no scene is as large as a window of {size} px: the largest is {width} x {height} px of {gsd:g} m"
        )
    for scene, (height, width) in zip(scenes, insides, strict=True):
        check_gsd(scene, gsd)
        if min(height, width) >= size:
            yield from _of_scene(engine, scene, _spread(height, size), _spread(width, size), size)


def _inside(scene: Scene, gsd: float) -> tuple[int, int]:
    """(height, width) in whole pixels of ``gsd`` that lie inside the scene."""
    down, across = scene.step(gsd)
    return int(scene.grid.height / down + 1e-6), int(scene.grid.width / across + 1e-6)


def _spread(length: int, size: int) -> list[int]:
    """First positions of as many windows as fit side by side, evenly spread."""
    count = length // size
    return [0] if count == 1 else [round(i * (length - size) / (count - 1)) for i in range(count)]


class Fused:
    """Sums of an engine's fused features over the candidates of a scene, gathered while it predicts; of networks with several
    decoders the first one's that is asked."""

    def __init__(self, engine: Predictor, rows: list[int], cols: list[int], size: int) -> None:
        self.window, self.size, self.rows, self.cols = engine.window, size, np.array(rows), np.array(cols)
        self.latest: Tensor | None = None
        self.sums, self.cells = np.zeros(0), np.zeros((len(rows), len(cols)))
        self.hooks = [m.register_forward_hook(self._keep) for m in engine.model.modules() if isinstance(m, Decoder)]

    def _keep(self, module: Any, given: Any, output: tuple[Tensor, Tensor]) -> None:
        if self.latest is None:
            self.latest = output[0]

    def looked(self, row: int, cols: list[int]) -> None:
        """Add the features of windows with these first pixels, which the network has just looked at."""
        if self.latest is None:
            return
        maps, self.latest = self.latest.float().cpu().numpy(), None
        if not self.sums.size:
            self.sums = np.zeros((maps.shape[1], *self.cells.shape))
        down = self._inside(self.rows, row, maps.shape[2])
        for fused, col in zip(maps, cols, strict=True):
            across = self._inside(self.cols, col, maps.shape[3])
            self.sums += down @ fused @ across.T
            self.cells += down.sum(1)[:, None] * across.sum(1)

    def _inside(self, starts: np.ndarray, first: int, cells: int) -> np.ndarray:
        """(candidates, cells) of 1 where a cell's centre lies in a candidate, along one axis, and 0 elsewhere."""
        centre = first + (np.arange(cells) + 0.5) * self.window / cells
        inside = (centre >= starts[:, None]) & (centre < starts[:, None] + self.size)
        return inside.astype(np.float32)

    def of(self, i: int, j: int) -> np.ndarray:
        found: np.ndarray = self.sums[:, i, j] / max(1, self.cells[i, j]) if self.sums.size else self.sums
        return found

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()


def _of_scene(engine: Predictor, scene: Scene, rows: list[int], cols: list[int], size: int) -> Iterator[Candidate]:
    """Candidates at all of ``rows`` x ``cols``, each as soon as its last row is through."""
    spec, classes = engine.trained.spec, len(engine.trained.spec.legend)
    sums = np.zeros((len(rows), 3 * classes + 1, len(cols)))
    end, done = cols[-1] + size, 0
    ends = np.array(cols) + size
    fused = Fused(engine, rows, cols, size)
    try:
        for first, blend in finished_rows(
            engine, scene, rows=(rows[0], rows[-1] + size), cols=(0, end), on_batch=fused.looked
        ):
            part = max(1, PIECE // end)
            for a in range(0, blend.shape[1], part):
                piece = blend[:, a : a + part]
                top, bottom = first + a, first + a + piece.shape[1]
                maps = _maps(piece, _valid(scene, spec, top, bottom - top, end))
                for i, row in enumerate(rows):
                    if row < bottom and row + size > top:
                        here = maps[:, max(0, row - top) : row + size - top]
                        line = np.pad(here.sum(1, dtype=np.float64).cumsum(1), [(0, 0), (1, 0)])
                        sums[i] += line[:, ends] - line[:, cols]
            while done < len(rows) and rows[done] + size <= first + blend.shape[1]:
                for j, col in enumerate(cols):
                    *total, valid = sums[done, :, j]
                    if valid >= LEAST_VALID * size * size:
                        shares, wavering, predicted = (np.array(total) / valid).reshape(3, classes)
                        feature, held = fused.of(done, j), float(valid) / size**2
                        yield Candidate(scene.name, rows[done], col, shares, wavering, predicted, feature, held)
                done += 1
    finally:
        fused.close()


def _maps(blend: Tensor, valid: np.ndarray | None) -> np.ndarray:
    """(3 K + 1, h, W) float32, 0 where there is no data: the probabilities, these times entropy over log K, 1 for the class
    predicted, 1."""
    p = blend / blend.sum(0).clamp_min(1e-12)
    entropy = -torch.special.xlogy(p, p).sum(0) / np.log(max(2, len(p)))
    winner = torch.nn.functional.one_hot(p.argmax(0), len(p)).permute(2, 0, 1)
    maps: np.ndarray = torch.cat([p, p * entropy, winner, torch.ones_like(p[:1])]).cpu().numpy()
    return maps if valid is None else maps * valid


def _valid(scene: Scene, spec: Spec, row: int, height: int, width: int) -> np.ndarray | None:
    """Where rows of the scene at the network's GSD hold data; None where all of the file does."""
    if scene.valid(spec.bands, (0, 0, 1, 1)) is None:
        return None
    return scene.read(spec.bands, spec.gsd, (row, 0, height, width)).valid
