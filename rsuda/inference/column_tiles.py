"""Predict wide scenes in tiles of columns, so that memory does not grow with the width."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from rsuda.core.machine import return_freed_memory
from rsuda.geo.scenes.region import Region
from rsuda.geo.scenes.scene import Scene
from rsuda.inference.predictor import Predictor
from rsuda.inference.sliding_window import Strip, strips

MOST_BYTES = 256 << 20  # of a row of windows: its pixels and its blended probabilities
STRIPS = 4  # that a tile goes through before the next; each time it reads one more row of windows


def column_tiles(predictor: Predictor, scene: Scene, region: Region, most: int | None = None) -> list[tuple[int, int]]:
    """Cut a region's columns into tiles, (first, end), whose rows of windows each take at most ``most`` bytes."""
    spec, width = predictor.trained.spec, region.window[3]
    height = min(predictor.window, scene.grid_at(spec.gsd).height)
    column = 4 * (len(spec.legend) + 3 * len(spec.bands)) * height / scene.step(spec.gsd)[1]
    count = min(width, math.ceil(width * column / (MOST_BYTES if most is None else most)))
    return list(pairwise(round(width * k / count) for k in range(count + 1)))


def tiled_strips(
    predictor: Predictor,
    scene: Scene,
    region: Region,
    *,
    rows: tuple[int, int],
    strip_rows: int,
    probabilities: bool = False,
    min_confidence: float = 0.0,
) -> Iterator[Strip]:
    """Predict rows of a region as ``strips`` does, the same pixels; a wide one in tiles of columns.

    Args:
        rows: first row of the region, a multiple of ``strip_rows``, and the row after the last.
        strip_rows: height of a stored strip. A tile goes through a few strips before the next tile.
    """
    tiles = column_tiles(predictor, scene, region)
    first, end = rows
    height = STRIPS * strip_rows if len(tiles) > 1 else end - first
    for top in range(first, end, height):
        for tile in tiles:
            yield from strips(
                predictor,
                scene,
                region,
                rows=(top, min(top + height, end)),
                cols=tile,
                probabilities=probabilities,
                min_confidence=min_confidence,
            )
            if len(tiles) > 1:  # the next tile would find room beside the holes that this one leaves, 50 MB a tile
                return_freed_memory()
