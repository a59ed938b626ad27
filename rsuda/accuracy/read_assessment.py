"""Read the results of an assessment back from its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rsuda.accuracy.results import Assessment, ClassAccuracy, Comparison, Estimate, MorePoints, StratumLabels
from rsuda.accuracy.write_assessment import FILES
from rsuda.core.documents import read_json
from rsuda.core.errors import InputError

RESULTS = FILES[0]


def read_assessment(folder: Path) -> Assessment:
    """Read the ``accuracy.json`` that ``rsuda assess --out`` wrote.

    Raises:
        MissingError: the folder has no such file.
        InputError: the file holds something else.
    """
    file = folder / RESULTS
    fields = read_json(file, "file of an assessment")
    try:
        return _assessment(fields, folder)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{file} is not a file of rsuda assess: name a folder that the command has written") from None


def _assessment(fields: Mapping[str, Any], folder: Path) -> Assessment:
    classes = tuple(_class(str(name), part) for name, part in fields["classes"].items())
    counts = np.array(fields["confusion_points"], np.int64)
    shares = np.array(fields["confusion_shares"], np.float64)
    if counts.shape != (len(classes), len(classes)) or shares.shape != counts.shape:
        raise ValueError("an error matrix has a row and a column for each class")
    comparison, more = fields["comparison"], fields["more_points"]
    return Assessment(
        map=str(fields["map"]),
        file=Path(str(fields["points_file"])),
        design=str(fields["design"]),
        points=int(fields["points"]),
        labelled=int(fields["labelled"]),
        unit=str(fields["unit"]),
        total_area=float(fields["total_area"]),
        overall=_estimate(fields["overall"]),
        classes=classes,
        strata=tuple(_stratum(str(name), part) for name, part in fields["strata"].items()),
        counts=counts,
        shares=shares,
        comparison=comparison
        and Comparison(str(comparison["map"]), _estimate(comparison["overall"]), _estimate(comparison["difference"])),
        more=more
        and MorePoints(
            float(more["half_width"]),
            int(more["points"]),
            {str(name): int(count) for name, count in more["more"].items()},
            str(more.get("measure", "overall accuracy")),
            bool(more.get("relative")),
            bool(more.get("extendable")),
        ),
        methods=str(fields["methods"]),
        notes=tuple(map(str, fields["notes"])),
        folder=folder,
    )


def _estimate(fields: Mapping[str, Any]) -> Estimate:
    numbers = (fields[name] for name in ("value", "se", "low", "high"))
    return Estimate(*(math.nan if number is None else float(number) for number in numbers))


def _class(name: str, fields: Mapping[str, Any]) -> ClassAccuracy:
    return ClassAccuracy(
        name=name,
        points_mapped=int(fields["points_mapped"]),
        points_labelled=int(fields["points_labelled"]),
        users=_estimate(fields["users"]),
        producers=_estimate(fields["producers"]),
        f1=_estimate(fields["f1"]),
        mapped_area=float(fields["mapped_area"]),
        area=_estimate(fields["area"]),
    )


def _stratum(name: str, fields: Mapping[str, Any]) -> StratumLabels:
    numbers = (int(fields["pixels"]), float(fields["area"]), int(fields["labelled"]), int(fields["right"]))
    return StratumLabels(name, *numbers)
