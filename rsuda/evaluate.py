"""Score a run on labelled scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsuda.domains import Domain
from rsuda.errors import InputError
from rsuda.legend import IGNORE
from rsuda.metrics import Scores, confusion
from rsuda.predict import Engine


@dataclass(frozen=True)
class Evaluation:
    """Scores with all classes and, where the domain names a clutter class, without it."""

    scores: Scores
    without_clutter: Scores | None
    off_palette: int


def evaluate(engine: Engine, domain: Domain, split: str = "val") -> Evaluation:
    """Score whole scenes: each is predicted and stitched on its own grid, so that each labelled pixel counts once.

    Raises InputError when the split has no labels or shares no class with the network.
    """
    own, scenes = engine.trained.spec.legend, domain.labelled(split)
    assert domain.legend is not None
    table = own.mapping_from(domain.legend)
    if (table == IGNORE).all():
        raise InputError(
            f"the network's classes ({', '.join(own.names)}) and those of {domain.name} "
            f"({', '.join(domain.legend.names)}) have no name in common"
        )
    total, off = np.zeros((len(own), len(own)), np.int64), 0
    for scene in scenes:
        label, outside = scene.read_label(domain.legend, None, (0, 0, scene.grid.height, scene.grid.width))
        total += confusion(table[label], engine.scene(scene).classes, len(own))
        off += outside
    clutter = (domain.clutter,) if domain.clutter in own.names else ()
    return Evaluation(Scores(total, own.names), Scores(total, own.names, clutter) if clutter else None, off)
