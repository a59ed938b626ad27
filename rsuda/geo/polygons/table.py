"""Hold polygons as well-known binary (WKB), as files of polygons take them, with their columns.

Geometry objects would take more memory than the bytes and most of the time from rings to a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.polygons.rings import Rings

_LITTLE_ENDIAN, _POLYGON = 1 << 24, 3  # the byte order is the last byte of the word before the type
_HEADER, _POINT = 3, 4  # words of 4 bytes: of a polygon, of a point


@dataclass(frozen=True)
class PolygonTable:
    """Polygons with their columns, in the order of their components' first pixels.

    Attributes:
        columns: (n,) values by name: class (int32), name, area_m2 and perhaps confidence.
        outlines: (n,) objects, the WKB of each polygon.
        crs: as GeoPandas takes it; None without one.
        notes: sentences for the user.
    """

    columns: Mapping[str, np.ndarray]
    outlines: np.ndarray
    crs: Any
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.outlines)

    def frame(self) -> gpd.GeoDataFrame:
        """Return the polygons as a table of GeoPandas, with the notes in ``attrs``."""
        frame = gpd.GeoDataFrame(dict(self.columns), geometry=shapely.from_wkb(self.outlines), crs=self.crs)
        frame.attrs["notes"] = list(self.notes)
        return frame


def wkb_of(points: np.ndarray, rings: Rings) -> np.ndarray:
    """Write each component's rings as the WKB of a polygon, little-endian: (n,) bytes objects.

    Args:
        points: (points, 2) float64 x and y of the points of ``rings``.
    """
    ring, component = rings.ring, rings.component
    # One buffer in words of 4 bytes: each polygon has 3 bytes before its 9 bytes of header, and each ring its count
    places = np.arange(len(ring) - 1)
    polygon = np.repeat(np.arange(len(component) - 1), np.diff(component))
    counts = _HEADER * (polygon + 1) + places + _POINT * ring[:-1]
    starts = _HEADER * np.arange(len(component)) + component + _POINT * ring[component]
    words = np.empty(starts[-1], "<u4")
    coordinates = np.ones(len(words), bool)
    heads = starts[:-1]
    for step, value in enumerate((_LITTLE_ENDIAN, _POLYGON, np.diff(component))):
        words[heads + step] = value
        coordinates[heads + step] = False
    words[counts] = np.diff(ring)
    coordinates[counts] = False
    words[coordinates] = np.ascontiguousarray(points, "<f8").view("<u4").ravel()
    data, ends = words.tobytes(), (4 * starts).tolist()
    outlines = np.empty(len(component) - 1, object)
    outlines[:] = [data[start + 3 : end] for start, end in pairwise(ends)]
    return outlines
