"""The windows to annotate next, drawn on their scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rsuda.annotation.suggest import Suggestion
from rsuda.core.legend import IGNORE
from rsuda.inference.sliding_window import finished_rows
from rsuda.report.images import mask, photo
from rsuda.report.views import RunView, small

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
class Overview:
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


def nexts(eyes: RunView, found: Sequence[Suggestion]) -> list[Next]:
    spec, shown = eyes.run.trained.spec, []
    for s in found:
        scene = eyes.target_domain.scenes[s.scene]
        patch = scene.read(spec.bands, spec.gsd, (s.row, s.col, s.size, s.size))
        unit = (spec.unit(patch.values) * patch.valid).astype(np.float32)
        # as the windows were judged: in the scene's blend of windows
        pieces = finished_rows(eyes.engine, scene, rows=(s.row, s.row + s.size), cols=(s.col, s.col + s.size))
        classes = np.concatenate([p.argmax(0).to(torch.uint8).cpu().numpy() for _, p in pieces])
        main = sorted(s.classes.items(), key=lambda c: -c[1])[:3]
        told = ", ".join(f"{n} {100 * v:.0f} %" for n, v in main if v >= 0.005)
        drawn = mask(np.where(patch.valid, classes, np.uint8(IGNORE)), spec.legend)
        shown.append(Next(s, photo(unit, patch.valid), drawn, told))
    return shown


def overviews(eyes: RunView, found: Sequence[Suggestion]) -> list[Overview]:
    """Each scene with its windows, scenes in the order of their first window's rank."""
    maps = []
    for name in dict.fromkeys(s.scene for s in found):
        scene = eyes.target_domain.scenes[name]
        grid = scene.grid_at(eyes.run.trained.spec.gsd)
        size = (grid.width, grid.height, grid.width, grid.height)
        squares = []
        for s in (s for s in found if s.scene == name):
            box = (100 * v / n for v, n in zip((s.col, s.row, s.size, s.size), size, strict=True))
            squares.append(Square(s.rank, *box))
        unit, valid = small(eyes.target, scene, OVERVIEW)
        maps.append(Overview(name, photo(unit, valid, quality=70), unit.shape[2], unit.shape[1], tuple(squares)))
    return maps
