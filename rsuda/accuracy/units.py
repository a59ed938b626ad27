"""Join the points of a sample to a map: their strata, the map's classes and the labels of a person."""

from __future__ import annotations

from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import pandas as pd

from rsuda.accuracy.class_map import ClassMap
from rsuda.accuracy.estimators import Sample
from rsuda.accuracy.point_strata import STRATIFIED, strata_of
from rsuda.accuracy.points_file import Design, columns_of, numbers_of
from rsuda.accuracy.repeated_points import without_repeats
from rsuda.accuracy.strata import Census, Stratum
from rsuda.core.display import printable, quoted
from rsuda.core.errors import InputError, unknown
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spelling import spell
from rsuda.geo.polygons.classes import value_text


@dataclass(frozen=True)
class Units:
    """The labelled points of a sample.

    Attributes:
        sample: strata and weights of the points, for the estimators.
        reference: (n,) uint8 class by a person.
        rows, cols: (n,) pixels of the map.
        strata: the parts of the map; ``points`` is the number drawn.
        design: how the points were drawn, one of the names of ``point_strata``.
        points: number of points in a stratum, with and without a label.
        notes: sentences for the user.
    """

    sample: Sample
    reference: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    strata: tuple[Stratum, ...]
    design: str
    points: int
    notes: tuple[str, ...]

    @property
    def total_area(self) -> float:
        """Ground area of the map, in the unit of the strata."""
        return sum(stratum.area for stratum in self.strata)


def join(
    frame: gpd.GeoDataFrame, design: Design | None, map_: ClassMap, counts: Census | None, column: str, what: str
) -> Units:
    """Join points to a map.

    Args:
        counts: of the map; None for the map that was sampled.
        column: of the labels.
        what: name of the points' file, for sentences.

    Raises:
        InputError: a label is not a class of the map, too few points have one, a stratum is unknown, or points were moved.
    """
    reference = labels(frame, map_.legend, column, what)
    frame, reference, repeats = without_repeats(frame, reference, map_.legend, what)
    rows, cols = positions(frame, map_, what)
    if counts is None:
        _check_moved(frame, rows, cols, what)
    strata, stratum, how, notes = strata_of(frame, design, map_, counts, rows, cols, what)
    notes = [*repeats, *notes]
    counting = int((stratum >= 0).sum())
    labelled = (reference != IGNORE) & (stratum >= 0)
    if not labelled.any():
        raise InputError(f"no point of {what} has a label in '{column}': label some in QGIS, from number 1 on")
    if labelled.sum() < counting:
        notes.append(f"{labelled.sum()} of {counting} points are labelled; they count as the sample of their strata")
    strata, stratum, more = _with_labels(strata, stratum, labelled)
    _check_labels(strata, stratum[labelled], frame, labelled, stratum, what)
    sizes = np.array([part.pixels for part in strata], float)
    weights = None
    if how == STRATIFIED:
        area = map_.areas(rows + 0.5, cols + 0.5)[labelled]
    else:  # places drawn at random, so that a larger pixel is drawn more often
        area, weights = np.ones(labelled.sum()), np.array([part.area for part in strata])
        sizes = np.full(len(strata), np.inf)
    return Units(
        sample=Sample(sizes, stratum[labelled], area, weights),
        reference=reference[labelled],
        rows=rows[labelled],
        cols=cols[labelled],
        strata=tuple(strata),
        design=how,
        points=counting,
        notes=(*notes, *more),
    )


def labels(frame: gpd.GeoDataFrame, legend: Legend, column: str, what: str) -> np.ndarray:
    """Look up the labels (n,) uint8 of points by the names or values of a legend; 255 without a label.

    Raises:
        InputError: the column is missing, or a label is not a class.
    """
    names = {name.lower(): name for name in columns_of(frame)}
    if column.lower() not in names:
        raise InputError(
            f"{what} has no column '{column}': name that of the labels by {spell('reference')}; it has "
            f"{', '.join(columns_of(frame)[:30]) or 'no columns'}"
        )
    texts = [value_text(value) for value in frame[names[column.lower()]]]
    classes = {str(value): k for k, values in enumerate(legend.values) for value in values}
    classes |= {name.casefold(): k for k, name in enumerate(legend.names)}
    classes |= {name: k for k, name in enumerate(legend.names)}
    result = np.full(len(texts), IGNORE, np.uint8)
    for place, text in enumerate(texts):
        if text is None:
            continue
        k = classes.get(text, classes.get(text.casefold()))
        if k is None:
            error = unknown(f"label of point {numbers_of(frame)[place]}", printable(text), legend.names)
            raise InputError(f"{what}: {error}; a class that the map lacks goes into its {spell('legend')}")
        result[place] = k
    return result


def positions(frame: gpd.GeoDataFrame, map_: ClassMap, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Find the pixels (n,) and (n,) of points, also outside of the map. Raises InputError if all are outside of it."""
    grid = replace(map_.grid, transform=map_.grid.display_transform)
    if frame.crs is not None and grid.crs is not None:
        try:
            frame = frame.to_crs(grid.crs)
        except Exception as error:  # of pyproj, for many kinds of invalid CRS
            raise InputError(f"the points of {what} cannot be projected to the map's CRS: {quoted(error)}") from None
    points = np.stack([frame.geometry.x, frame.geometry.y], 1)
    pixels = np.nan_to_num(grid.pixels(points), nan=-1, posinf=-1, neginf=-1)
    rows, cols = np.floor(pixels.clip(-1, 2**40)).astype(np.int64).T
    inside = (rows >= 0) & (cols >= 0) & (rows < grid.height) & (cols < grid.width)
    if not inside.any():
        raise InputError(
            f"no point of {what} is inside of {map_.place}: name the map that was sampled, and check the CRS of both"
        )
    return rows, cols


def _check_moved(frame: gpd.GeoDataFrame, rows: np.ndarray, cols: np.ndarray, what: str) -> None:
    """Raise InputError for points that were moved off the pixels that were drawn."""
    if not {"row", "col"} <= set(frame.columns):
        return
    recorded_pixels = (pd.to_numeric(frame[name], errors="coerce").to_numpy(float) for name in ("row", "col"))
    away = np.flatnonzero(
        np.any([np.abs(before - now) > 0.5 for before, now in zip(recorded_pixels, (rows, cols), strict=True)], 0)
    )
    if len(away):
        raise InputError(
            f"{len(away)} points of {what}, such as number {numbers_of(frame)[away[0]]}, are not on the pixels that were drawn, "
            "which columns 'row' and 'col' name: move them back, and check the CRS of the layer"
        )


def _with_labels(
    strata: list[Stratum], stratum: np.ndarray, labelled: np.ndarray
) -> tuple[list[Stratum], np.ndarray, list[str]]:
    """Join the bands of a class where one has fewer than two labels; return the strata, the points' numbers and notes."""
    counts = np.bincount(stratum[labelled], minlength=len(strata))
    few = {part.map_class for part, count in zip(strata, counts, strict=True) if count < min(2, part.pixels)}
    keys = [part.map_class if part.map_class in few and part.map_class else part.name for part in strata]
    new_strata, numbers, notes = [], np.zeros(len(strata), np.int64), []
    for number, key in enumerate(dict.fromkeys(keys)):
        parts = [part for part, name in zip(strata, keys, strict=True) if name == key]
        numbers[[name == key for name in keys]] = number
        if len(parts) == 1:
            new_strata.append(parts[0])
            continue
        notes.append(
            f"the {len(parts)} bands of confidence of '{key}' count as one stratum, since one has fewer than 2 labels"
        )
        pixels = sum(part.pixels for part in parts)
        expected = sum(part.expected * part.pixels for part in parts) / pixels
        area, points = sum(part.area for part in parts), sum(part.points for part in parts)
        new_strata.append(Stratum(key, key, parts[0].low, parts[-1].high, pixels, area, expected, points))
    return new_strata, np.where(stratum < 0, -1, numbers[stratum]), notes


def _check_labels(
    strata: list[Stratum],
    stratum: np.ndarray,
    frame: gpd.GeoDataFrame,
    labelled: np.ndarray,
    every: np.ndarray,
    what: str,
) -> None:
    """Raise InputError for a stratum with fewer than two labels, with the points to label."""
    counts = np.bincount(stratum, minlength=len(strata))
    total = sum(part.pixels for part in strata)
    for number, (part, count) in enumerate(zip(strata, counts, strict=True)):
        if count >= min(2, part.pixels):
            continue
        open_points = np.flatnonzero((every == number) & ~labelled)[:4]
        ids = numbers_of(frame)
        examples = ", ".join(str(ids[place]) for place in open_points)
        advice = f"label at least 2, such as number {examples}" if examples else "draw more points by rsuda sample"
        raise InputError(
            f"stratum '{part.name}' of {what} ({part.pixels / total:.1%} of the pixels) needs 2 labelled points and has "
            f"{count}: {advice}"
        )
