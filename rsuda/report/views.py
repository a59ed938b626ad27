"""What a run's network sees of a window: pixels as they are fed, class probabilities, the fused feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsuda.core.errors import RsudaError
from rsuda.core.spec import Spec
from rsuda.data.colours import ColourMatching
from rsuda.data.domain import Domain
from rsuda.data.find_domain import domain, find_domains
from rsuda.data.pair import pair
from rsuda.geo.resample import axis_weights, weigh
from rsuda.geo.scene import Scene
from rsuda.geo.windows import random_window
from rsuda.inference.predictor import Predictor
from rsuda.learning.network import Decoder
from rsuda.report.runs import ReportRun

SIDE = 256  # pixels of a window that is shown, at the network's GSD
CONTEXT = 128  # pixels around a window that the network is shown with it, where the scene has them


@dataclass(frozen=True)
class Window:
    """A square of a scene's own pixels."""

    scene: Scene
    row: int
    col: int
    side: int

    def at(self, gsd: float | None) -> tuple[int, int, int, int]:
        """(row, col, height, width) in pixels of ``scene.grid_at(gsd)``."""
        down, across = self.scene.step(gsd)
        return (
            round(self.row / down),
            round(self.col / across),
            max(1, round(self.side / down)),
            max(1, round(self.side / across)),
        )


@dataclass(frozen=True)
class DomainView:
    """A network and the way in which a domain's pixels enter it.

    Attributes:
        spec: of the domain; its mean and deviation may differ from those saved with the network.
        gsd: that windows are read at; None for each scene's own.
        matching: the map of the source's colours to the target's, if the run had one.
    """

    engine: Predictor
    spec: Spec
    gsd: float | None
    matching: ColourMatching | None = None

    def pixels(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """(bands, h, w) float32 on 0..1 with 0 where not valid, and (h, w) bool."""
        return self._read(window.scene, window.at(self.gsd))

    def _read(self, scene: Scene, rectangle: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        patch = scene.read(self.spec.bands, self.gsd, rectangle)
        return (self.spec.unit(patch.values) * patch.valid).astype(np.float32), patch.valid

    def fed(self, image: np.ndarray) -> np.ndarray:
        """Pixels on 0..1 as the network is fed them: standardised (bands, ...)."""
        if self.matching is not None:
            image = self.matching(image)
        mean, std = (
            np.array(v, np.float32).reshape(-1, *[1] * (image.ndim - 1)) for v in (self.spec.mean, self.spec.std)
        )
        return (image - mean) / std

    def probabilities(self, window: Window, side: int) -> np.ndarray:
        """(K, side, side) float32 of a window, whatever the GSD at which this network reads it, seen with its surroundings."""
        found = self._look(window)[0]
        if found.shape[1:] == (side, side):
            return found
        return weigh(found, *(axis_weights(n, 0.0, n / side, side)[2] for n in found.shape[1:]))

    def features(self, window: Window) -> np.ndarray | None:
        """The network's fused feature (F, h, w) of a window, nearest to the size of its pixels; None for a network that
        has no decoder."""
        feature = self._look(window, fused=True)[1]
        return feature

    def _look(self, window: Window, fused: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        row, col, rows, cols = window.at(self.gsd)
        grid = window.scene.grid_at(self.gsd)
        # surroundings in whole steps of the encoder, so that the window's features are whole cells
        above, before = (min(CONTEXT, max(0, first)) // 32 * 32 for first in (row, col))
        below, behind = (
            min(CONTEXT, max(0, n - last)) for n, last in ((grid.height, row + rows), (grid.width, col + cols))
        )
        around = (row - above, col - before, above + rows + below, before + cols + behind)
        image = self.fed(self._read(window.scene, around)[0])
        height, width = image.shape[1:]
        padded = np.pad(image, [(0, 0), (0, -height % 32), (0, -width % 32)], mode="symmetric")
        kept: dict[Any, Tensor] = {}
        # the decoders that prediction reads; an attention between resolutions holds no feature of the image
        decoders = [m for n, m in self.engine.model.named_modules() if isinstance(m, Decoder) and "attention" not in n]

        def keep(decoder: Any, _: Any, out: tuple[Tensor, Tensor]) -> None:
            kept.setdefault(decoder, out[0])  # the first look, where there are several resolutions

        hooks = [d.register_forward_hook(keep) for d in decoders if fused]
        try:
            found = self.engine.probabilities_of(torch.from_numpy(np.ascontiguousarray(padded, np.float32))[None])
        finally:
            for hook in hooks:
                hook.remove()
        probabilities = found[0, :, above : above + rows, before : before + cols].cpu().numpy()
        if not kept:
            return probabilities, None
        feature = torch.cat([f[:1].float() for f in kept.values()], 1)[0]
        here = []
        for cells, pixels, first, count in zip(
            feature.shape[1:], padded.shape[1:], (above, before), (rows, cols), strict=True
        ):
            start = round(first * cells / pixels)
            here.append(slice(start, max(start + 1, round((first + count) * cells / pixels))))
        return probabilities, feature[:, here[0], here[1]].cpu().numpy()


@dataclass(frozen=True)
class RunView:
    """A run's sight of both domains; ``source`` is None where the source's data are not at hand, and ``blind`` says so."""

    run: ReportRun
    engine: Predictor
    target: DomainView
    source: DomainView | None
    source_domain: Domain | None
    target_domain: Domain
    source_missing: str = ""


def open_view(run: ReportRun, data: str | None, device: str, precision: str) -> RunView:
    """Raises InputError or MissingError when the target's images are not where the run, or ``data``, says."""
    s = replace(run.settings, data=data or run.settings.data)
    engine = Predictor.of(run.trained, device, precision)
    try:
        source, target = find_domains(s)
        found = pair(source, target, s, run.trained.spec if s.start else None)  # what it started from is what it is fed
    except RsudaError as error:
        target = domain(s.target, s.data, bands=s.target_bands, gsd=s.gsd if isinstance(s.gsd, float) else None)
        return RunView(
            run, engine, DomainView(engine, run.trained.spec, run.trained.spec.gsd), None, None, target, str(error)
        )
    spec = replace(found.source_spec, legend=run.trained.spec.legend)
    target_view = DomainView(engine, run.trained.spec, run.trained.spec.gsd)
    source_view = DomainView(engine, spec, found.gsd, found.matching)
    return RunView(run, engine, target_view, source_view, source, target)


def draw_windows(scenes: Sequence[Scene], gsd: float | None, number: int, seed: int, side: int = SIDE) -> list[Window]:
    """Random windows, spread over the scenes in turn; smaller ones in scenes that are smaller."""
    rng = np.random.default_rng(seed)
    order = [scenes[int(i)] for i in rng.permutation(len(scenes))]
    drawn = []
    for n in range(number):
        scene = order[n % len(order)]
        grid, step = scene.grid_at(gsd), scene.step(gsd)
        here = min(side, grid.height, grid.width)
        row, col = random_window(rng, grid.height, grid.width, here)
        drawn.append(Window(scene, round(row * step[0]), round(col * step[1]), round(here * step[0])))
    return drawn


def small(sight: DomainView, scene: Scene, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """A whole scene, (bands, h, w) on 0..1 and (h, w) bool, whose longer side has at most about so many pixels."""
    metres = max(scene.gsd)
    factor = max(1.0, max(scene.grid.height, scene.grid.width) / longest)
    grid = scene.grid_at(metres * factor)
    patch = scene.read(sight.spec.bands, metres * factor, (0, 0, grid.height, grid.width))
    return (sight.spec.unit(patch.values) * patch.valid).astype(np.float32), patch.valid
