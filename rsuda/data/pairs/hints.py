"""Choose the hints of a target's training scenes, and say what they name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.data.domains.domain import Domain, some_names
from rsuda.geo.scenes.scene import Scene

_COUNTED = 16  # scenes whose hints are counted for the note
_SIDE = 512  # pixels of the longer side of a scene whose hints are counted


def training_hints(target: Domain, scenes: Sequence[Scene], legend: Legend) -> tuple[dict[str, Scene], list[str]]:
    """Choose the hints of a target's training scenes.

    Args:
        scenes: training scenes of the target.
        legend: of the source or of the model that training starts from.

    Returns:
        scenes by name, each with hints in place of its label; notes for the user.

    Raises:
        InputError: the hints lie elsewhere, or have no class of ``legend``.
    """
    if not target.hints:
        return {}, []
    hints: dict[str, Scene] = {}
    problems: list[str] = []  # of scenes whose hints cannot be laid over them
    for scene in scenes:
        if scene.name in target.hints:
            try:
                target.hints[scene.name].label_file  # noqa: B018  # opens the file, which may lie elsewhere
            except InputError as error:
                problems.append(str(error))
            else:
                hints[scene.name] = target.hints[scene.name]
    if not hints:
        reason = problems[0] if problems else f"they are of {some_names(target.hints)}"
        raise InputError(f"the hints of {target.name} are of none of its {len(scenes)} training scenes: {reason}")
    shares = _shares(list(hints.values()), legend)
    if not shares.any():
        raise InputError(
            f"the hints of {target.name} name none of the classes {', '.join(legend.names)}: give the classes of the "
            "target's legend the source's names, by 'classes' in its domain file"
        )
    classes = ", ".join(f"{name} {share:.0%}" for name, share in zip(legend.names, shares, strict=True) if share)
    left_out = f"; those of {len(problems)} more are left out, the first since {problems[0]}" if problems else ""
    return hints, [f"hints of {len(hints)} of the {len(scenes)} scenes of {target.name} name {classes}{left_out}"]


def _shares(hints: Sequence[Scene], legend: Legend) -> np.ndarray:
    """Measure the shares (classes,) of pixels that hints give to each class; large domains are sampled."""
    counts, pixels = np.zeros(len(legend)), 0
    for scene in hints[:: max(1, len(hints) // _COUNTED)]:
        grid = scene.grid
        gsd = sum(scene.gsd) / 2 * max(1.0, max(grid.height, grid.width) / _SIDE)
        coarse = scene.grid_at(gsd)
        label, _ = scene.read_label(legend, gsd, (0, 0, coarse.height, coarse.width))
        counts += np.bincount(label[label != IGNORE], minlength=len(legend))
        pixels += label.size
    return counts / pixels
