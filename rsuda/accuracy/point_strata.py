"""Find the strata of points: from the tables of their sample, from their weights, or from the classes of the map."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd

from rsuda.accuracy.class_map import ClassMap
from rsuda.accuracy.points_file import Design, columns_of, numbers_of
from rsuda.accuracy.strata import Census, Stratum
from rsuda.core.display import printable
from rsuda.core.errors import InputError, unknown
from rsuda.core.legend import IGNORE

STRATIFIED, POST_STRATIFIED, SIMPLE = "stratified random", "post-stratified simple random", "simple random"
_OF_SAMPLES = {"probability", "map_class", "weight"}  # columns that tell a sample from points of one's own
_MORE = 1.02  # of the map's area, above which weights cannot be those of one sample


def strata_of(
    frame: gpd.GeoDataFrame,
    design: Design | None,
    map_: ClassMap,
    counts: Census | None,
    rows: np.ndarray,
    cols: np.ndarray,
    what: str,
) -> tuple[list[Stratum], np.ndarray, str, list[str]]:
    """Find the strata and each point's number among them, how the points were drawn, and notes.

    Args:
        counts: of the map; None for the map that was sampled.
        rows, cols: (n,) pixels of the points.
        what: name of the points' file, for sentences.

    Returns:
        the strata; (n,) numbers, -1 for points that are left out; one of the names of this file; sentences for the user.

    Raises:
        InputError: strata are unknown, or their sizes.
    """
    columns = set(columns_of(frame))
    if "stratum" not in columns and (design is not None or columns & _OF_SAMPLES):
        raise InputError(
            f"{what} is a stratified sample without the column 'stratum': keep that column, which gives each point its weight"
        )
    if design is not None:
        strata = list(design.strata)
        return strata, _numbers(frame, [part.name for part in strata], what), STRATIFIED, []
    assert counts is not None  # without a design no map is known as the one that was sampled
    if "stratum" not in columns:
        return _own_points(map_, counts, rows, cols, what)
    if by_class := _of_map(frame, map_, counts, rows, cols):
        note = f"{what} has no table of its strata any more; they are the classes of the map, as they were drawn"
        return *by_class, STRATIFIED, [note]
    if "weight" in columns:
        note = f"{what} has no table of its strata any more; their sizes are the sums of 'weight', right if no point was deleted"
        return *_weighted(frame, map_, counts, rows, cols, what), STRATIFIED, [note]
    raise InputError(
        f"{what} has strata of unknown size: keep the file of rsuda sample, or add a column 'weight' with the pixels that "
        "each point stands for"
    )


def _numbers(frame: gpd.GeoDataFrame, names: Sequence[str], what: str) -> np.ndarray:
    """Look up the points' strata by name."""
    numbers = {name: number for number, name in enumerate(names)}
    places = np.flatnonzero(frame["stratum"].isna())
    if len(places):
        raise InputError(
            f"{len(places)} points of {what}, such as number {numbers_of(frame)[places[0]]}, have no stratum, so they were not "
            "drawn: delete points that were added by hand"
        )
    texts = [str(value).strip() for value in frame["stratum"]]
    for text in texts:
        if text not in numbers:
            raise InputError(f"{what}: {unknown('stratum', printable(text), names)}")
    return np.array([numbers[text] for text in texts])


def _of_map(
    frame: gpd.GeoDataFrame, map_: ClassMap, counts: Census, rows: np.ndarray, cols: np.ndarray
) -> tuple[list[Stratum], np.ndarray] | None:
    """Take the map's classes as strata where the points' strata are these; None otherwise.

    Their sizes are counted, so that points may be missing, or those of two samples be in one file.
    """
    classes, names = map_.classes_at(rows, cols), map_.legend.names
    if (classes == IGNORE).any() or [names[k] for k in classes] != [str(text).strip() for text in frame["stratum"]]:
        return None
    pixels, areas = counts.pixels.sum(1), counts.area.sum(1)
    each, present = np.bincount(classes, minlength=len(pixels)), np.flatnonzero(pixels)
    strata = [Stratum(names[k], names[k], 0, 1, int(pixels[k]), float(areas[k]), 0.8, int(each[k])) for k in present]
    return strata, np.searchsorted(present, classes)


def _weighted(
    frame: gpd.GeoDataFrame, map_: ClassMap, counts: Census, rows: np.ndarray, cols: np.ndarray, what: str
) -> tuple[list[Stratum], np.ndarray]:
    """Make the strata of points that have weights and no table of strata."""
    weights = _positive(frame["weight"])
    if not np.isfinite(weights).all():
        raise InputError(f"{what}: 'weight' is the number of pixels that a point stands for, so it must be above 0")
    areas = map_.areas(rows + 0.5, cols + 0.5)
    of_sample = _positive(frame["area"]) if "area" in frame else np.array([np.nan])
    if (
        np.isfinite(of_sample).all() and not (of_sample == 1).all()
    ):  # the pixels of the map that was sampled may have another size
        areas = of_sample
    names = list(dict.fromkeys(str(value).strip() for value in frame["stratum"]))
    numbers = _numbers(frame, names, what)
    strata = []
    for number, name in enumerate(names):
        inside = numbers == number
        if np.ptp(weights[inside]) > 0.01 * weights[inside].max():
            raise InputError(
                f"the points of stratum '{name}' of {what} have different weights, as those of two samples: assess each sample "
                "alone, or keep the files of rsuda sample"
            )
        pixels = max(round(weights[inside].sum()), int(inside.sum()))
        strata.append(Stratum(name, "", 0, 1, pixels, pixels * float(areas[inside].mean()), 0.8, int(inside.sum())))
    share = sum(part.area for part in strata) / counts.area.sum()
    if share > _MORE and (map_.classes_at(rows, cols) != IGNORE).all():
        raise InputError(
            f"the weights of {what} add up to {share:.2f} times the area of {map_.place}, on which all points lie: assess each "
            "sample of the file alone, or keep the file of rsuda sample"
        )
    return strata, numbers


def _positive(values: pd.Series) -> np.ndarray:
    """Read numbers above 0, also from texts; nan for others."""
    texts = values.astype(str).str.replace(",", ".", regex=False) if values.dtype.kind not in "if" else values
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(float)
    return np.where(numbers > 0, numbers, np.nan)


def _own_points(
    map_: ClassMap, counts: Census, rows: np.ndarray, cols: np.ndarray, what: str
) -> tuple[list[Stratum], np.ndarray, str, list[str]]:
    """Take a user's own points as random places of the map, post-stratified by its classes where each has two of them."""
    classes = map_.classes_at(rows, cols)
    notes = [f"{what} has no strata, so its points are taken as random places of the whole map, independent of it"]
    if (outside := int((classes == IGNORE).sum())) == len(classes):
        raise InputError(f"no point of {what} is on a pixel of {map_.place} that has a class")
    if outside:
        notes.append(f"{outside} points are on no pixel with a class and are left out")
    pixels, areas = counts.pixels.sum(1), counts.area.sum(1)
    each = np.bincount(classes[classes != IGNORE], minlength=len(pixels))
    names = map_.legend.names
    if (each[pixels > 0] >= 2).all():
        kept_classes = np.flatnonzero(pixels)
        strata = [
            Stratum(names[k], names[k], 0, 1, int(pixels[k]), float(areas[k]), 0.8, int(each[k])) for k in kept_classes
        ]
        table = np.full(256, -1)
        table[kept_classes] = np.arange(len(kept_classes))
        return strata, table[classes], POST_STRATIFIED, notes
    few = ", ".join(names[k] for k in np.flatnonzero((pixels > 0) & (each < 2)))
    notes.append(f"they are not post-stratified by class, since {few} has fewer than 2 of them")
    whole = Stratum("map", "", 0, 1, int(pixels.sum()), float(areas.sum()), 0.8, int(each.sum()))
    return [whole], np.where(classes == IGNORE, -1, 0), SIMPLE, notes
