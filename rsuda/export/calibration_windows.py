"""Choose windows of imagery on which a model in 8-bit integers is calibrated, and others on which it is compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import chain, zip_longest

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.spec import Spec
from rsuda.core.spelling import spell
from rsuda.data.checks.gsd_limit import check_gsd
from rsuda.data.domains.domain import Domain
from rsuda.geo.grids.windows import full_windows
from rsuda.geo.rasters.raster import Raster
from rsuda.geo.scenes.scene import Scene

MOST, LEAST = 32, 8  # windows, half of which are compared
_SCENES = 64  # that are opened
_TRIES = 256  # windows that are read
_VALID_SHARE = 0.5  # of the pixels of a window


@dataclass(frozen=True)
class CalibrationWindow:
    """A window of a scene as a model sees it. Pixels are read on each call.

    Attributes:
        domain: whose legend the labels of the scene have.
        row, col, size: pixels of the model's GSD.
    """

    scene: Scene
    domain: Domain
    spec: Spec
    row: int
    col: int
    size: int

    @property
    def _window(self) -> tuple[int, int, int, int]:
        return self.row, self.col, self.size, self.size

    def _read(self) -> Raster:
        return self.scene.read(self.spec.bands, self.spec.gsd, self._window)

    def valid(self) -> np.ndarray:
        """Read which pixels have data, (size, size) bool."""
        return self._read().valid

    def image(self) -> np.ndarray:
        """Read the standardised image (bands, size, size) float32; pixels without data are the 0 of the 0..1 scale."""
        raster = self._read()
        image: np.ndarray = self.spec.standardise_unit(self.spec.unit(raster.values) * raster.valid)
        return image.astype(np.float32)

    @cached_property
    def is_labelled(self) -> bool:
        """Whether the scene has a label that shares a class with the model."""
        legend = self.domain.legend
        return (
            self.scene.label is not None
            and legend is not None
            and bool(set(legend.names) & set(self.spec.legend.names))
        )

    def label(self) -> np.ndarray | None:
        """Read the label (size, size) uint8 in the classes of the model, 255 for unlabelled pixels; None without a label."""
        if not self.is_labelled or self.domain.legend is None:
            return None
        label, _ = self.scene.read_label(self.domain.legend, self.spec.gsd, self._window)
        classes: np.ndarray = self.spec.legend.mapping_from(self.domain.legend)[label]
        return classes


def choose_windows(imagery: Domain, spec: Spec, size: int) -> tuple[list[CalibrationWindow], list[CalibrationWindow]]:
    """Choose windows that do not overlap, from up to 64 scenes in turn, the same for each call.

    Args:
        imagery: scenes like those that will be mapped.
        size: pixels per side at the model's GSD.

    Returns:
        those to calibrate on and those to compare on, 4 to 16 each. Labelled scenes are compared on first.

    Raises:
        InputError: scenes lack a band of the model or a GSD, or too few windows have data in half of their pixels.
    """
    rng, scenes = np.random.default_rng(0), list(imagery.scenes.values())
    by_scene = []
    for number in rng.permutation(len(scenes))[:_SCENES]:
        check_gsd(scenes[number], spec.gsd)
        by_scene.append(_windows(scenes[number], imagery, spec, size, rng))
    in_turn = (window for window in chain.from_iterable(zip_longest(*by_scene)) if window is not None)
    selection: list[CalibrationWindow] = []
    for window, _ in zip(in_turn, range(_TRIES), strict=False):
        if window.valid().mean() >= _VALID_SHARE:
            selection.append(window)
        if len(selection) == MOST:
            break
    if len(selection) < LEAST:
        raise InputError(
            f"{imagery.name} has {len(selection)} windows of {size} px at {spec.gsd:g} m in which half of the pixels have data, "
            f"and 8-bit integers need {LEAST}, half to calibrate and half to compare: name more imagery, or smaller windows "
            f"({spell('window')})"
        )
    selection.sort(key=lambda window: window.is_labelled)
    half = len(selection) // 2
    return selection[:half], selection[half:]


def _windows(scene: Scene, imagery: Domain, spec: Spec, size: int, rng: np.random.Generator) -> list[CalibrationWindow]:
    """List the windows of a scene side by side, shuffled; one that reaches over the border of a small scene."""
    grid = scene.grid_at(spec.gsd)
    rows, cols = (full_windows(length, size, size) or [(length - size) // 2] for length in (grid.height, grid.width))
    windows = [CalibrationWindow(scene, imagery, spec, row, col, size) for row in rows for col in cols]
    return [windows[k] for k in rng.permutation(len(windows))]
