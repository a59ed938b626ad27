"""The windows of scenes that could be annotated, and what a network tells of each; scenes stream through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rsuda.bands import check_gsd, finished_rows
from rsuda.engine import Engine
from rsuda.errors import InputError
from rsuda.geo.raster import Raster
from rsuda.geo.scene import Scene
from rsuda.spec import Spec

LEAST_VALID = 0.5  # of a window's pixels; those with less are passed over
PIECE = 1 << 20  # pixels of a scene that are summed up at once


@dataclass(frozen=True)
class Candidate:
    """A window that could be annotated: ``shares`` (K,) mean class probabilities, ``wavering`` (K,) mean of p times
    entropy over log K, whose sum is the uncertainty; ``predicted`` (K,) shares of the classes predicted; ``colours`` (2 bands,)
    mean and standard deviation of each band on the 0..1 scale; ``valid`` share of pixels that hold data, 0 to 1."""

    scene: str
    row: int
    col: int
    shares: np.ndarray
    wavering: np.ndarray
    predicted: np.ndarray
    colours: np.ndarray
    valid: float

    @property
    def uncertainty(self) -> float:
        return float(self.wavering.sum())


def candidates(engine: Engine, scenes: list[Scene], size: int) -> Iterator[Candidate]:
    """Windows of all scenes that hold data, scene by scene; scenes stream through the network.

    Raises InputError when no scene is as large as a window.
    """
    gsd = engine.trained.spec.gsd
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


def _of_scene(engine: Engine, scene: Scene, rows: list[int], cols: list[int], size: int) -> Iterator[Candidate]:
    """Candidates at all of ``rows`` x ``cols``, each as soon as its last row is through."""
    spec = engine.trained.spec
    classes, bands = len(spec.legend), len(spec.bands)
    sums = np.zeros((len(rows), 3 * classes + 2 * bands + 1, len(cols)))
    end, done = cols[-1] + size, 0
    ends = np.array(cols) + size
    for first, blend in finished_rows(engine, scene, rows[0], rows[-1] + size, 0, end):
        part = max(1, PIECE // end)
        for a in range(0, blend.shape[1], part):
            piece = blend[:, a : a + part]
            top, bottom = first + a, first + a + piece.shape[1]
            maps = _maps(piece, scene.read(spec.bands, spec.gsd, (top, 0, bottom - top, end)), spec)
            for i, row in enumerate(rows):
                if row < bottom and row + size > top:
                    here = maps[:, max(0, row - top) : row + size - top]
                    line = np.pad(here.sum(1, dtype=np.float64).cumsum(1), [(0, 0), (1, 0)])
                    sums[i] += line[:, ends] - line[:, cols]
        while done < len(rows) and rows[done] + size <= first + blend.shape[1]:
            for j, col in enumerate(cols):
                *total, valid = sums[done, :, j]
                if valid >= LEAST_VALID * size * size:
                    means = np.array(total) / valid
                    shares, wavering, predicted = means[: 3 * classes].reshape(3, classes)
                    level, square = means[3 * classes :].reshape(2, bands)
                    colours = np.concatenate([level, np.sqrt(np.maximum(square - level**2, 0))])
                    yield Candidate(
                        scene.name, rows[done], col, shares, wavering, predicted, colours, float(valid) / size**2
                    )
            done += 1


def _maps(blend: Tensor, image: Raster, spec: Spec) -> np.ndarray:
    """(3 K + 2 bands + 1, h, W) float32, 0 where there is no data: the probabilities, these times entropy over log K, 1 for the
    class predicted, the bands on the 0..1 scale, their squares, 1."""
    p = blend / blend.sum(0).clamp_min(1e-12)
    entropy = -torch.special.xlogy(p, p).sum(0) / np.log(max(2, len(p)))
    winner = torch.nn.functional.one_hot(p.argmax(0), len(p)).permute(2, 0, 1)
    bands = spec.unit(image.values)
    seen = torch.cat([p, p * entropy, winner]).cpu().numpy()
    maps: np.ndarray = np.concatenate([seen, bands, bands**2, np.ones_like(bands[:1])]) * image.valid
    return maps
