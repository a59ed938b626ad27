"""The windows to annotate next, drawn on their scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsuda.legend import IGNORE
from rsuda.report.pictures import mask, photo
from rsuda.report.sight import Eyes, Sight, Window
from rsuda.scene import Scene
from rsuda.suggest import Suggestion

OVERVIEW = 360  # pixels of a scene's longer side


@dataclass(frozen=True)
class Square:
    """A window on its scene's overview, in shares of the scene's width and height, 0 to 100."""

    rank: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class SceneMap:
    scene: str
    image: str
    width: int
    height: int
    squares: tuple[Square, ...]


@dataclass(frozen=True)
class Next:
    """A window to annotate: its pictures, and its main classes as the network sees them."""

    window: Suggestion
    image: str
    mask: str
    classes: str


def nexts(eyes: Eyes, found: Sequence[Suggestion]) -> list[Next]:
    spec, shown = eyes.run.trained.spec, []
    for s in found:
        scene = eyes.target_domain.scenes[s.scene]
        patch = scene.read(spec.bands, spec.gsd, (s.row, s.col, s.size, s.size))
        unit = (spec.unit(patch.values) * patch.valid).astype(np.float32)
        down, across = scene.step(spec.gsd)
        window = Window(scene, round(s.row * down), round(s.col * across), round(s.size * down))
        classes = eyes.target.probabilities(window, s.size).argmax(0).astype(np.uint8)
        main = sorted(s.classes.items(), key=lambda c: -c[1])[:3]
        told = ", ".join(f"{n} {100 * v:.0f} %" for n, v in main if v >= 0.005)
        drawn = mask(np.where(patch.valid, classes, np.uint8(IGNORE)), spec.legend)
        shown.append(Next(s, photo(unit, patch.valid), drawn, told))
    return shown


def overviews(eyes: Eyes, found: Sequence[Suggestion]) -> list[SceneMap]:
    """Each scene with its windows, scenes in the order of their first window's rank."""
    maps = []
    for name in dict.fromkeys(s.scene for s in found):
        scene = eyes.target_domain.scenes[name]
        grid = scene.grid_at(eyes.run.trained.spec.gsd)
        squares = [
            Square(s.rank, *(100 * v for v in (s.col / grid.width, s.row / grid.height, s.size / grid.width, s.size / grid.height)))
            for s in found if s.scene == name
        ]  # fmt: skip
        unit, valid = small(eyes.target, scene, OVERVIEW)
        maps.append(SceneMap(name, photo(unit, valid, quality=70), unit.shape[2], unit.shape[1], tuple(squares)))
    return maps


def small(sight: Sight, scene: Scene, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """A whole scene, (bands, h, w) on 0..1 and (h, w) bool, whose longer side has at most about so many pixels."""
    metres = max(scene.gsd)
    factor = max(1.0, max(scene.grid.height, scene.grid.width) / longest)
    grid = scene.grid_at(metres * factor)
    patch = scene.read(sight.spec.bands, metres * factor, (0, 0, grid.height, grid.width))
    return (sight.spec.unit(patch.values) * patch.valid).astype(np.float32), patch.valid
