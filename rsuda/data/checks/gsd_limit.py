"""Refuse scenes whose GSD is far from the model's: resampling them would leave a few pixels, or invent most of them."""

from __future__ import annotations

from rsuda.core.errors import InputError
from rsuda.geo.scenes.scene import Scene

MAX_GSD_RATIO = 20  # between scene and model


def check_gsd(scene: Scene, gsd: float | None) -> None:
    """Compare the GSD of a scene with that of a model, in metres; None is the scene's own.

    Raises InputError for a scene without a GSD, or if the two differ more than MAX_GSD_RATIO-fold.
    """
    ratio = max(max(step, 1 / step) for step in scene.step(gsd))
    if ratio > MAX_GSD_RATIO:
        raise InputError(
            f"the pixels of {scene.image} are {max(scene.gsd):g} m long and those of the model {gsd:g} m, {ratio:.0f}-fold "
            "apart: resample the scene, or declare its GSD if the file is wrong"
        )
