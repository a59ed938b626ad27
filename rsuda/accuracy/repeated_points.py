"""Count points that a file holds twice once, as merged and copied layers have them."""

from __future__ import annotations

import geopandas as gpd
import numpy as np

from rsuda.accuracy.points_file import numbers_of
from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend


def without_repeats(
    frame: gpd.GeoDataFrame, reference: np.ndarray, legend: Legend, what: str
) -> tuple[gpd.GeoDataFrame, np.ndarray, list[str]]:
    """Leave out points at the place of another one; of these the first with a label stays.

    Args:
        reference: (n,) uint8 labels, 255 for none.
        what: name of the points' file, for sentences.

    Returns:
        the points, their labels, and notes for the user.

    Raises:
        InputError: points at one place have different labels.
    """
    keys = list(zip(frame.geometry.x, frame.geometry.y, strict=True))
    first: dict[tuple[float, float], int] = {}
    for place in sorted(range(len(keys)), key=lambda place: (reference[place] == IGNORE, place)):
        before = first.setdefault(keys[place], place)
        if reference[place] not in (IGNORE, reference[before]):
            names = (legend.names[reference[index]] for index in (before, place))
            pair = " and ".join(str(numbers_of(frame)[index]) for index in (before, place))
            raise InputError(
                f"points {pair} of {what} lie at one place and have the labels {' and '.join(names)}: delete one of them"
            )
    rows = np.sort(list(first.values()))
    if len(rows) == len(frame):
        return frame, reference, []
    note = f"{len(frame) - len(rows)} points of {what} repeat another point and are left out"
    return frame.iloc[rows].reset_index(drop=True), reference[rows], [note]
