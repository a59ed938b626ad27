"""Define the results of an assessment: estimates with standard errors and intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.accuracy.estimators import QUANTILE


@dataclass(frozen=True)
class Estimate:
    """An estimate; nan where the sample says nothing of it.

    Attributes:
        value: the estimate.
        se: its standard error.
        low, high: its interval of 95 %.
    """

    value: float
    se: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """1.96 standard errors, which papers write after +-."""
        return QUANTILE * self.se

    def times(self, factor: float) -> Estimate:
        """Scale the estimate, such as a share to an area."""
        return Estimate(*(factor * value for value in (self.value, self.se, self.low, self.high)))

    def as_fields(self) -> dict[str, float | None]:
        """Return plain values for JSON; None for nan."""
        pairs = (("value", self.value), ("se", self.se), ("low", self.low), ("high", self.high))
        return {name: float(value) if math.isfinite(value) else None for name, value in pairs}


@dataclass(frozen=True)
class ClassAccuracy:
    """What is estimated of a class.

    Attributes:
        name: of the class.
        points_mapped, points_labelled: labelled points that the map and a person give the class.
        users, producers, f1: accuracies, 0 to 1. User's accuracy is precision, producer's accuracy recall.
        mapped_area: area of the class in the map, by its pixels.
        area: estimated area of the class on the ground.
    """

    name: str
    points_mapped: int
    points_labelled: int
    users: Estimate
    producers: Estimate
    f1: Estimate
    mapped_area: float
    area: Estimate

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        estimates = {name: getattr(self, name).as_fields() for name in ("users", "producers", "f1", "area")}
        plain = {name: getattr(self, name) for name in ("points_mapped", "points_labelled", "mapped_area")}
        return {**plain, **estimates}


@dataclass(frozen=True)
class StratumLabels:
    """A stratum: its pixels, its area, the points that are labelled, and how many of them the map has right."""

    name: str
    pixels: int
    area: float
    labelled: int
    right: int


@dataclass(frozen=True)
class MorePoints:
    """What an interval of +- ``half_width`` takes.

    Attributes:
        half_width: of the interval.
        points: in all.
        more: points that are missing by stratum.
        measure: what the interval is of, such as "user's accuracy of water".
        relative: whether the half width is a share of the estimate, as it is of an area.
        extendable: whether the points are a sample of this map by ``rsuda.sample``, which may add those that are missing.
    """

    half_width: float
    points: int
    more: Mapping[str, int]
    measure: str = "overall accuracy"
    relative: bool = False
    extendable: bool = False

    @property
    def width(self) -> str:
        """The half width in words: '± 5 points', or '± 10 %' of an area."""
        return f"± {100 * self.half_width:g} {'%' if self.relative else 'points'}"

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**vars(self), "more": dict(self.more)}


@dataclass(frozen=True)
class Comparison:
    """A second map on the same points: its overall accuracy, and the difference, second minus first."""

    map: str
    overall: Estimate
    difference: Estimate


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """How good a map is, by a sample of labelled points.

    Attributes:
        map, file: the map, and the file of points.
        design: how the points were drawn: 'stratified random', 'post-stratified simple random' or 'simple random'.
        points, labelled: number of points, and of those with a label.
        unit: of areas: 'm2', or 'pixels' where the GSD is unknown.
        total_area: of the map.
        overall: overall accuracy, 0 to 1.
        classes: by class, in the order of the legend.
        strata: by stratum.
        counts: (K, K) points by class of the map (row) and of the label (column).
        shares: (K, K) estimated shares of the area in the same order; they sum to 1.
        comparison: of a second map; None without one.
        more: points for a smaller error; None unless it was asked for.
        methods: text for the methods section of a paper.
        notes: sentences for the user.
        folder: of the written files; None without one.
    """

    map: str
    file: Path
    design: str
    points: int
    labelled: int
    unit: str
    total_area: float
    overall: Estimate
    classes: tuple[ClassAccuracy, ...]
    strata: tuple[StratumLabels, ...]
    counts: np.ndarray
    shares: np.ndarray
    comparison: Comparison | None
    more: MorePoints | None
    methods: str = ""
    notes: tuple[str, ...] = field(default=())
    folder: Path | None = None

    def as_fields(self) -> dict[str, Any]:
        """Return plain values for JSON; None for what the sample says nothing of."""
        comparison, more = self.comparison, self.more
        return {
            "map": self.map,
            "points_file": str(self.file),
            "design": self.design,
            "points": self.points,
            "labelled": self.labelled,
            "unit": self.unit,
            "total_area": self.total_area,
            "overall": self.overall.as_fields(),
            "classes": {part.name: part.as_fields() for part in self.classes},
            "strata": {
                part.name: {name: value for name, value in vars(part).items() if name != "name"} for part in self.strata
            },
            "confusion_points": self.counts.tolist(),
            "confusion_shares": self.shares.tolist(),
            "comparison": comparison
            and {
                "map": comparison.map,
                "overall": comparison.overall.as_fields(),
                "difference": comparison.difference.as_fields(),
            },
            "more_points": more and more.as_fields(),
            "methods": self.methods,
            "notes": list(self.notes),
            "folder": self.folder and str(self.folder),
        }
