"""Divide the map of a mosaic into parts, one for each tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rsuda.geo.grids.windows import Window4
from rsuda.geo.maps.mosaic import Tile
from rsuda.geo.scenes.region import Region

Rows = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class MapTile:
    """The part of a map in a tile: (row, col, height, width) in pixels of the map."""

    name: str
    window: Window4

    @staticmethod
    def of(tile: Tile, region: Region) -> MapTile | None:
        """Cut a tile to the region that is mapped; None if it is outside."""
        starts = [max(tile.window[k] - region.window[k], 0) for k in (0, 1)]
        ends = [min(tile.window[k] + tile.window[k + 2] - region.window[k], region.window[k + 2]) for k in (0, 1)]
        if starts[0] >= ends[0] or starts[1] >= ends[1]:
            return None
        return MapTile(tile.name, (starts[0], starts[1], ends[0] - starts[0], ends[1] - starts[1]))

    def bands(self, bands: list[tuple[str, Rows]]) -> list[tuple[str, Rows]]:
        """Cut the bands of the map to this part."""
        return [(description, self._part(rows)) for description, rows in bands]

    def _part(self, rows: Rows) -> Rows:
        first, col, _, width = self.window
        return lambda row, count: np.ascontiguousarray(rows(first + row, count)[:, col : col + width])
