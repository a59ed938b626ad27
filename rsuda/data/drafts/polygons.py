"""Describe the polygons of a draft: the layer, the column that holds the class, and its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyproj import Transformer
from pyproj.exceptions import ProjError

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.geo.grids.grid import Grid
from rsuda.geo.polygons.classes import USUAL, value_text
from rsuda.geo.polygons.input import check_polygons, has_polygons, read_frame

_FILES = 20  # vector files that are read
_MOST = 40  # values of a column of classes
_FEW = 10  # polygons that may all have classes of their own


@dataclass(frozen=True)
class DraftPolygons:
    """The classes of polygons.

    Attributes:
        attribute: column that holds the class; None if no column seems to.
        values: values of the column as text, with the number of polygons, the most frequent first.
        columns: all columns with examples of their values.
        polygons: number of polygons.
    """

    attribute: str | None
    values: dict[str, int]
    columns: dict[str, tuple[str, ...]]
    polygons: int


def describe_polygons(files: Sequence[Path], layer: str | None = None) -> DraftPolygons:
    """Describe the columns of vector files.

    Raises:
        InputError: a file is unreadable or without polygons, or has several layers of polygons and none is named.
    """
    counts: dict[str, Counter[str]] = {}
    number = 0
    for file in files[:_FILES]:
        frame = read_frame(file, layer)
        check_polygons(frame.geometry, file)
        number += len(frame)
        for name in frame.columns:
            if name != frame.geometry.name:
                texts = [value_text(value) for value in frame[name].iloc[:100_000]]
                counts.setdefault(str(name), Counter()).update(text for text in texts if text is not None)
    usual = sorted(
        (name for name in counts if name.lower() in USUAL and _may_be_classes(counts[name], number)),
        key=lambda name: USUAL.index(name.lower()),
    )
    columns = {name: tuple(text[:40] for text, _ in values.most_common(5)) for name, values in counts.items()}
    attribute = usual[0] if usual else None
    values = dict(counts[attribute].most_common()) if attribute else {}
    return DraftPolygons(attribute, values, columns, number)


def _may_be_classes(values: Counter[str], polygons: int) -> bool:
    """Check whether values are few and most polygons have one, unlike names of streets or of single objects."""
    is_repetitive = len(values) <= max(_FEW, polygons / 2)
    return 0 < len(values) <= _MOST and values.total() > polygons / 2 and is_repetitive


def lies_over(file: Path, grids: Sequence[Grid], layer: str | None = None) -> bool:
    """Check whether the rectangle of a file's polygons touches an image; where one has no CRS, numbers are compared."""
    frame = read_frame(file, layer)
    if frame.empty or not has_polygons(frame.geometry):
        return False
    for grid in grids:
        box = grid.bounds
        if grid.crs is not None and frame.crs is not None:
            try:
                to_layer = Transformer.from_crs(grid.crs.to_wkt(), frame.crs, always_xy=True)
                box = to_layer.transform_bounds(*grid.bounds)
            except ProjError:
                continue
        elif not grid.georeferenced:
            return True  # drawn in a GIS on pixels
        left, bottom, right, top = frame.total_bounds
        if left <= box[2] and right >= box[0] and bottom <= box[3] and top >= box[1]:
            return True
    return False


def layer_over(files: Sequence[str], root: Path, grids: Sequence[Grid], layer: str | None = None) -> str | None:
    """Find the one vector file that lies over the images; None if none does. Raises InputError if several do."""
    over = [file for file in files if lies_over(root / file, grids, layer)]
    if len(over) > 1:
        raise InputError(
            f"{len(over)} files of polygons lie over the images ({', '.join(over[:5])}): name the labels, as in "
            f"{spell('labels', over[0])}"
        )
    return over[0] if over else None
