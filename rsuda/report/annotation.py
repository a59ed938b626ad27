"""Draw the windows to label next on their scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rsuda.annotation.suggest import Suggestion
from rsuda.core.legend import IGNORE
from rsuda.inference.sliding_window import finished_rows
from rsuda.learning.calibration import tempered
from rsuda.report.images import class_mask, photo
from rsuda.report.views import RunView, thumbnail

OVERVIEW = 360  # pixels of a scene's longer side


@dataclass(frozen=True)
class Square:
    """A window on its scene's overview, in percent of the scene's width and height."""

    rank: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Overview:
    """A scene with its windows; ``image`` is a data URI of ``width`` x ``height`` pixels."""

    scene: str
    image: str
    width: int
    height: int
    squares: tuple[Square, ...]


@dataclass(frozen=True)
class SuggestedWindow:
    """A window to label: its pictures as data URIs, and its main predicted classes in words."""

    window: Suggestion
    image: str
    mask: str
    classes: str


def suggested_windows(view: RunView, suggestions: Sequence[Suggestion]) -> list[SuggestedWindow]:
    """Draw each window and its prediction."""
    spec, windows = view.run.trained.spec, []
    for window in suggestions:
        scene = view.target_domain.scenes[window.scene]
        patch = scene.read(spec.bands, spec.gsd, (window.row, window.col, window.size, window.size))
        unit = (spec.unit(patch.values) * patch.valid).astype(np.float32)
        # predicted as the windows were scored: in the scene's blend of windows
        strips = finished_rows(
            view.predictor,
            scene,
            rows=(window.row, window.row + window.size),
            cols=(window.col, window.col + window.size),
        )
        probability_strips = (tempered(strip, spec.temperature, bias=spec.bias) for _, strip in strips)
        classes = np.concatenate([strip.argmax(0).to(torch.uint8).cpu().numpy() for strip in probability_strips])
        main = sorted(window.classes.items(), key=lambda share: -share[1])[:3]
        words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in main if share >= 0.005)
        mask = class_mask(np.where(patch.valid, classes, np.uint8(IGNORE)), spec.legend)
        windows.append(SuggestedWindow(window, photo(unit, patch.valid), mask, words))
    return windows


def overviews(view: RunView, suggestions: Sequence[Suggestion]) -> list[Overview]:
    """Draw each scene with its windows, scenes in the order of their first window's rank."""
    maps = []
    for name in dict.fromkeys(window.scene for window in suggestions):
        scene = view.target_domain.scenes[name]
        grid = scene.grid_at(view.run.trained.spec.gsd)
        squares = [
            Square(
                window.rank,
                100 * window.col / grid.width,
                100 * window.row / grid.height,
                100 * window.size / grid.width,
                100 * window.size / grid.height,
            )
            for window in suggestions
            if window.scene == name
        ]
        unit, valid = thumbnail(view.target, scene, OVERVIEW)
        maps.append(Overview(name, photo(unit, valid, quality=70), unit.shape[2], unit.shape[1], tuple(squares)))
    return maps
