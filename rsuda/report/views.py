"""Show a model's view of a window: input pixels, class probabilities, features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsuda.core.errors import RsudaError
from rsuda.core.spec import Spec
from rsuda.data.domains.domain import Domain
from rsuda.data.find_domain import find_domains, find_target
from rsuda.data.pairs.colours import ColourMatching
from rsuda.data.pairs.pair import pair
from rsuda.geo.grids.resample import axis_weights, weigh
from rsuda.geo.grids.windows import random_window
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.learning.network import Decoder
from rsuda.report.runs import ReportRun

SIDE = 256  # pixels per side of a shown window, at the model's GSD
CONTEXT = 128  # pixels around a shown window that the model sees with it, where the scene has them


@dataclass(frozen=True)
class Window:
    """A square of a scene's own pixels."""

    scene: Scene
    row: int
    col: int
    side: int

    def at(self, gsd: float | None) -> tuple[int, int, int, int]:
        """Return (row, col, height, width) in pixels of ``scene.grid_at(gsd)``."""
        down, across = self.scene.step(gsd)
        return (
            round(self.row / down),
            round(self.col / across),
            max(1, round(self.side / down)),
            max(1, round(self.side / across)),
        )


@dataclass(frozen=True)
class DomainView:
    """A model's view of a domain.

    Attributes:
        spec: of the domain; its mean and deviation may differ from those saved with the model.
        gsd: metres per pixel at which windows are read; None for each scene's own.
        matching: the mapping of the source's colours to the target's, if the run had one.
    """

    predictor: Predictor
    spec: Spec
    gsd: float | None
    matching: ColourMatching | None = None

    def pixels(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window: (bands, h, w) float32 on 0..1, 0 where invalid, and (h, w) bool, True where valid."""
        return self._read(window.scene, window.at(self.gsd))

    def _read(self, scene: Scene, rectangle: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        patch = scene.read(self.spec.bands, self.gsd, rectangle)
        return (self.spec.unit(patch.values) * patch.valid).astype(np.float32), patch.valid

    def network_input(self, image: np.ndarray) -> np.ndarray:
        """Standardise pixels (bands, ...) on 0..1 as training does: colour matching, then mean and deviation."""
        if self.matching is not None:
            image = self.matching(image)
        return self.spec.standardise_unit(image.reshape(len(image), -1, 1)).reshape(image.shape)

    def probabilities(self, window: Window, side: int) -> np.ndarray:
        """Predict (K, side, side) float32 class probabilities of a window with its surroundings, at any GSD of the model."""
        result = self._forward(window)[0]
        if result.shape[1:] == (side, side):
            return result
        return weigh(result, *(axis_weights(size, 0.0, size / side, side)[2] for size in result.shape[1:]))

    def features(self, window: Window) -> np.ndarray | None:
        """Return the model's fused feature (F, h, w) of a window, at the feature's own size; None without a decoder."""
        return self._forward(window, fused=True)[1]

    def _forward(self, window: Window, fused: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        row, col, rows, cols = window.at(self.gsd)
        grid = window.scene.grid_at(self.gsd)
        # surroundings in whole steps of the encoder, so that the window's features are whole cells
        above, left = (min(CONTEXT, max(0, first)) // 32 * 32 for first in (row, col))
        below, right = (
            min(CONTEXT, max(0, size - last)) for size, last in ((grid.height, row + rows), (grid.width, col + cols))
        )
        rectangle = (row - above, col - left, above + rows + below, left + cols + right)
        image = self.network_input(self._read(window.scene, rectangle)[0])
        height, width = image.shape[1:]
        padded_image = np.pad(image, [(0, 0), (0, -height % 32), (0, -width % 32)], mode="symmetric")
        outputs: dict[Any, Tensor] = {}

        def record(decoder: Any, _: Any, output: tuple[Tensor, Tensor]) -> None:
            outputs.setdefault(decoder, output[0])  # the first call, where there are several resolutions

        hooks = [decoder.register_forward_hook(record) for decoder in self._decoders() if fused]
        try:
            result = self.predictor.probabilities_of(
                torch.from_numpy(np.ascontiguousarray(padded_image, np.float32))[None]
            )
        finally:
            for hook in hooks:
                hook.remove()
        probabilities = result[0, :, above : above + rows, left : left + cols].cpu().numpy()
        if not outputs:
            return probabilities, None
        feature = torch.cat([output[:1].float() for output in outputs.values()], 1)[0]
        down, across = (
            _cells(feature.shape[1 + axis], padded_image.shape[1 + axis], first, count)
            for axis, (first, count) in enumerate(((above, rows), (left, cols)))
        )
        return probabilities, feature[:, down, across].cpu().numpy()

    def _decoders(self) -> list[Decoder]:
        """Return the decoders that prediction reads; an attention between resolutions is not one of them."""
        modules = self.predictor.model.named_modules()
        return [module for name, module in modules if isinstance(module, Decoder) and "attention" not in name]


def _cells(cells: int, pixels: int, first: int, count: int) -> slice:
    """Return the cells of a feature that cover ``count`` pixels from ``first`` on, along one axis; at least one."""
    start = round(first * cells / pixels)
    return slice(start, max(start + 1, round((first + count) * cells / pixels)))


@dataclass(frozen=True)
class RunView:
    """A run's view of both domains.

    Attributes:
        source, source_domain: None where the source's data are missing; ``source_missing`` then says why.
    """

    run: ReportRun
    predictor: Predictor
    target: DomainView
    source: DomainView | None
    source_domain: Domain | None
    target_domain: Domain
    source_missing: str = ""


def open_view(run: ReportRun, data: str | None, device: str, precision: str | None) -> RunView:
    """Open a run's model and both domains.

    Args:
        data: folder of the data; the run's own for None.
        precision: 'auto', 'bf16' or 'fp32'; the run's own for None.

    Raises InputError or MissingError when the target's images are missing from that folder.
    """
    settings = run.settings.changed({"data": data or run.settings.data})
    predictor = Predictor.of(run.trained, device, precision or run.settings.training.precision)
    target_view = DomainView(predictor, run.trained.spec, run.trained.spec.gsd)
    try:
        source, target = find_domains(settings)
        # a run that started from another one reads what that one read
        domains = pair(source, target, settings, run.trained.spec if settings.network.start else None)
    except RsudaError as error:
        return RunView(run, predictor, target_view, None, None, find_target(settings), str(error))
    spec = replace(domains.source_spec, legend=run.trained.spec.legend)
    source_view = DomainView(predictor, spec, domains.gsd, domains.matching)
    return RunView(run, predictor, target_view, source_view, source, target)


def draw_windows(scenes: Sequence[Scene], gsd: float | None, number: int, seed: int, side: int = SIDE) -> list[Window]:
    """Draw random windows from the scenes in turn; a small scene gives a smaller window."""
    rng = np.random.default_rng(seed)
    order = [scenes[int(i)] for i in rng.permutation(len(scenes))]
    windows = []
    for i in range(number):
        scene = order[i % len(order)]
        grid, step = scene.grid_at(gsd), scene.step(gsd)
        size = min(side, grid.height, grid.width)
        row, col = random_window(rng, grid.height, grid.width, size)
        windows.append(Window(scene, round(row * step[0]), round(col * step[1]), round(size * step[0])))
    return windows


def thumbnail(view: DomainView, scene: Scene, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a whole scene coarsely: (bands, h, w) on 0..1 and (h, w) bool, the longer side at most about ``longest`` pixels."""
    metres = max(scene.gsd)
    factor = max(1.0, max(scene.grid.height, scene.grid.width) / longest)
    grid = scene.grid_at(metres * factor)
    patch = scene.read(view.spec.bands, metres * factor, (0, 0, grid.height, grid.width))
    return (view.spec.unit(patch.values) * patch.valid).astype(np.float32), patch.valid
