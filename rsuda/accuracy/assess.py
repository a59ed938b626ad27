"""Estimate how good a map is from the labels of a sample of its points."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.accuracy.area_unit import in_square_metres
from rsuda.accuracy.class_map import ClassMap, open_map
from rsuda.accuracy.estimators import MEASURES, Sample, ratios
from rsuda.accuracy.intervals import Choices, interval
from rsuda.accuracy.methods_text import methods_text
from rsuda.accuracy.more_points import OVERALL, Target, more_points
from rsuda.accuracy.points_file import Design, read_points
from rsuda.accuracy.results import Assessment, ClassAccuracy, Comparison, Estimate, StratumLabels
from rsuda.accuracy.strata import Census, census
from rsuda.accuracy.units import Units, join
from rsuda.accuracy.write_assessment import check_folder, write_assessment
from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.spelling import spell
from rsuda.data.domain_files.legend import read_legend

PathLike = str | os.PathLike[str]


def assess(
    map: PathLike,
    points: PathLike,
    other: PathLike | None = None,
    *,
    out: PathLike | None = None,
    reference: str = "reference",
    target_error: float | None = None,
    target_measure: str = OVERALL,
    target_class: str | None = None,
    legend: PathLike | Legend | None = None,
    nodata: float | None = None,
    gsd: float | None = None,
    crs: str | None = None,
    overwrite: bool = False,
) -> Assessment:
    """Estimate accuracies of a map and areas of its classes from labelled points, with standard errors and 95 % intervals.

    The estimators are those of Stehman (2014), which are those of Olofsson et al. (2014) where the strata are the map's classes.
    The map need not be the one that was sampled. Points without strata count as random places, post-stratified by class.

    Args:
        map: raster of classes, or a folder or glob of the tiles of one map.
        points: file of ``rsuda.sample`` with labels, or any file of points.
        other: a second map, compared with the first on the same points.
        out: folder for the results as JSON, CSV, text and an HTML page; none by default.
        reference: column of the labels: names or values of the map's classes, empty for none.
        target_error: half the width of an interval that you want, to compute how many more points it takes. Of an area it is
            a share of this area: 0.1 is +- 10 % of it.
        target_measure: what the interval is of: 'overall' accuracy, or of one class 'users' or 'producers' accuracy or 'area'.
        target_class: name of this class.
        legend, nodata, gsd, crs: what the raster lacks; see ``rsuda.polygonize``.
        overwrite: whether to replace existing files.

    Returns:
        accuracies and areas of the map and its classes, each with its standard error and interval.

    Raises:
        InputError, MissingError, ExistsError: before anything is written.

    Example:
        >>> import rsuda
        >>> accuracy = rsuda.assess("maps/scene_classes.tif", "points.gpkg")
        >>> accuracy.overall.low <= accuracy.overall.value <= accuracy.overall.high
        True
    """
    path = Path(points).expanduser()
    folder = Path(out).expanduser() if out is not None else None
    if folder is not None:
        check_folder(folder, overwrite=overwrite)
    frame, design = read_points(path)
    options: dict[str, Any] = {"nodata": nodata, "gsd": gsd, "crs": crs}
    with open_map(map, read_legend(legend), **options) as map_:
        target = Target.of(target_error, target_measure, target_class, map_.legend)
        same_map = design is not None and _is_sampled(design, map_)
        counts = None if same_map else census(map_, confidence=False)
        if design is not None:
            design = in_square_metres(design, map_, same_map=same_map, what=str(path))
        units = join(frame, design, map_, counts, reference, str(path))
        assessment = _assessment(map_, units, path, _mapped_areas(map_, units, counts))
        if design is not None:
            assessment = replace(assessment, unit=design.unit)
        if design is not None and not same_map:
            original = design.facts.get("map", "another map")
            note = f"{map_.place} is not the map that was sampled ({original}), whose strata count (Stehman 2014)"
            assessment = replace(assessment, notes=(note, *assessment.notes))
        if target is not None:
            classes = map_.classes_at(units.rows, units.cols)
            map_classes, references = (_indicators(indices, len(map_.legend)) for indices in (classes, units.reference))
            more = more_points(target, _within(units.sample, classes)[0], map_classes, references, assessment.strata)
            assessment = replace(assessment, more=replace(more, extendable=same_map))
        if other is not None:
            with open_map(other, read_legend(legend), **options) as second:
                comparison, comparison_notes = _compare(map_, second, units)
                assessment = replace(assessment, comparison=comparison, notes=(*assessment.notes, *comparison_notes))
    assessment = replace(assessment, methods=methods_text(assessment), folder=folder)
    if folder is not None:
        write_assessment(assessment, folder, overwrite=overwrite)
    return assessment


def _is_sampled(design: Design, map_: ClassMap) -> bool:
    """Check whether a design is that of this map: the digests of both are equal, and so are the classes."""
    digest = design.facts.get("digest")
    return bool(digest) and digest == map_.digest() and design.facts.get("classes") == list(map_.legend.names)


def _mapped_areas(map_: ClassMap, units: Units, counts: Census | None) -> np.ndarray:
    """Sum the area of each class in the map."""
    if counts is not None:
        areas: np.ndarray = counts.area.sum(1)
        return areas
    sums = dict.fromkeys(map_.legend.names, 0.0)
    for stratum in units.strata:
        sums[stratum.map_class] += stratum.area
    return np.array(list(sums.values()))


def _assessment(map_: ClassMap, units: Units, path: Path, mapped_areas: np.ndarray) -> Assessment:
    """Estimate everything of one map."""
    classes, notes = map_.classes_at(units.rows, units.cols), [*map_.notes, *units.notes]
    sample, share = _within(units.sample, classes)
    if share < 1:
        notes.append(
            f"the map has no class at {(classes == IGNORE).sum()} points, so the results are those of the rest of its area"
        )
    total = units.total_area * share
    names = map_.legend.names
    map_classes, references = _indicators(classes, len(names)), _indicators(units.reference, len(names))
    inside = classes != IGNORE
    count = {"mapped": map_classes.sum(0), "labelled": references[inside].sum(0)}
    right = (classes == units.reference) & inside
    overall = _overall(sample, right)
    users, producers, f1, areas = (_shares(sample, measure, map_classes, references) for measure in MEASURES)
    return Assessment(
        map=str(map_.place),
        file=path,
        design=units.design,
        points=units.points,
        labelled=len(classes),
        unit="pixels" if map_.pixel_m2 is None else "m2",
        total_area=total,
        overall=overall,
        classes=tuple(
            ClassAccuracy(
                name,
                int(count["mapped"][k]),
                int(count["labelled"][k]),
                users[k],
                producers[k],
                f1[k],
                float(mapped_areas[k]),
                areas[k].times(total),
            )
            for k, name in enumerate(names)
        ),
        strata=tuple(
            StratumLabels(
                part.name,
                part.pixels,
                part.area,
                int((sample.stratum == number).sum()),
                int(right[sample.stratum == number].sum()),
            )
            for number, part in enumerate(units.strata)
        ),
        counts=(map_classes.T @ references).astype(np.int64),
        shares=_cells(sample, map_classes, references),
        comparison=None,
        more=None,
        notes=tuple(notes),
    )


def _within(sample: Sample, classes: np.ndarray) -> tuple[Sample, float]:
    """Limit a sample to the part of its area where the map has a class; return the share of this part."""
    inside = (classes != IGNORE).astype(float)
    if inside.all():
        return sample, 1.0
    if not inside.any():
        raise InputError("the map has no class at any labelled point: name the map that was sampled")
    share = ratios(sample, inside[:, None], np.ones((len(inside), 1)))[0]
    return replace(sample, area=sample.area * inside), float(share[0])


def _indicators(classes: np.ndarray, count: int) -> np.ndarray:
    """Mark (n, K) the class of each point by 1."""
    marks: np.ndarray = (classes[:, None] == np.arange(count)).astype(float)
    return marks


def _shares(sample: Sample, measure: str, map_classes: np.ndarray, references: np.ndarray) -> list[Estimate]:
    """Estimate shares with their intervals, from marks (n, m) of the map and of the labels."""
    y, x = MEASURES[measure](map_classes, references)
    value, error = ratios(sample, y, x)
    low, high = interval(sample, y, x, Choices.of(sample, MEASURES[measure], map_classes), value)
    return [Estimate(*map(float, entry)) for entry in zip(value, error, low, high, strict=True)]


def _overall(sample: Sample, right: np.ndarray) -> Estimate:
    """Estimate overall accuracy: the user's accuracy of the whole map, where a label is 'right' (n,)."""
    marks = right.astype(float)[:, None]
    return _shares(sample, "users", np.ones_like(marks), marks)[0]


def _cells(sample: Sample, map_classes: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Estimate the share of the area (K, K) by class of the map and of the label (Olofsson et al. 2014, equation 4)."""
    weights = sample.sizes if sample.weights is None else sample.weights
    each = sample.area * (weights / np.maximum(sample.counts, 1))[sample.stratum]
    cells: np.ndarray = (map_classes * each[:, None]).T @ references
    return cells / cells.sum()


def _compare(first: ClassMap, second: ClassMap, units: Units) -> tuple[Comparison, list[str]]:
    """Compare two maps on the same points where both have a class; return also notes for the user."""
    if set(first.legend.names) != set(second.legend.names):
        raise InputError(
            f"the maps have different classes: {first.place} has {', '.join(first.legend.names)}, {second.place} has "
            f"{', '.join(second.legend.names)}: pass one {spell('legend')} for both"
        )
    one = first.classes_at(units.rows, units.cols)
    rows, cols = units.rows + 0.5, units.cols + 0.5
    if not first.grid.same_pixels(second.grid):
        rows, cols = first.grid.points_in(second.grid, rows, cols)
    places = (np.floor(np.nan_to_num(place, nan=-1)).astype(np.int64) for place in (rows, cols))
    two = first.legend.mapping_from(second.legend)[second.classes_at(*places)]
    nodata = (one == IGNORE) | (two == IGNORE)
    if nodata.all():
        raise InputError(
            f"{first.place} and {second.place} have a class in common at none of the {len(one)} labelled points: "
            "check the CRS and the extent of both"
        )
    sample, _ = _within(units.sample, np.where(nodata, IGNORE, one))
    notes = [f"the maps are compared at the {(~nodata).sum()} points where both have a class"] if nodata.any() else []
    right = np.stack([one == units.reference, two == units.reference], 1).astype(float)
    ones = np.ones((len(one), 1))
    better = right[:, 1:] - right[:, :1]
    value, error = ratios(sample, better, ones)
    low, high = interval(sample, better, ones, Choices.of_differences(sample), value, lowest=-1.0)
    difference = Estimate(*(float(part[0]) for part in (value, error, low, high)))
    return Comparison(str(second.place), _overall(sample, right[:, 1]), difference), notes
