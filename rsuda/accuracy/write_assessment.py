"""Write an assessment as JSON, CSV, text and one HTML page."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rsuda.accuracy.display import DASH, area, area_interval, area_unit, percent
from rsuda.accuracy.results import Assessment, Estimate
from rsuda.core.atomic import atomic_write, make_folder
from rsuda.core.display import csv_cell
from rsuda.core.errors import ExistsError, exists
from rsuda.core.spelling import spell

FILES = ("accuracy.json", "accuracy.csv", "confusion.csv", "methods.txt", "accuracy.html")


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Check, before anything is computed, that the files can be written. Raises ExistsError."""
    if folder.is_file():
        raise ExistsError(f"{folder} is a file: name a folder by {spell('out')}")
    files_of_before = [name for name in FILES if (folder / name).exists()]
    if files_of_before and not overwrite:
        raise exists(folder / files_of_before[0])


def write_assessment(result: Assessment, folder: Path, *, overwrite: bool) -> None:
    """Write all files of an assessment; each appears when it is whole. Raises ExistsError, WriteError."""
    texts = (
        json.dumps(result.as_fields(), indent=2, allow_nan=False) + "\n",
        _classes(result),
        _confusion(result),
        result.methods,
        page(result),
    )
    make_folder(folder)
    for name, text in zip(FILES, texts, strict=True):
        with atomic_write(folder / name, overwrite=overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")


def _table(rows: Sequence[Sequence[Any]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _number(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else ""


def _classes(result: Assessment) -> str:
    """Make the table of all estimates, a row each."""
    rows: list[list[str]] = [["class", "measure", "value", "se", "low", "high"]]

    def add(name: str, measure: str, estimate: Estimate) -> None:
        numbers = (estimate.value, estimate.se, estimate.low, estimate.high)
        rows.append([csv_cell(name), measure, *map(_number, numbers)])

    add("", "overall accuracy", result.overall)
    for part in result.classes:
        add(part.name, "user's accuracy", part.users)
        add(part.name, "producer's accuracy", part.producers)
        add(part.name, "F1", part.f1)
        add(part.name, f"area, {result.unit}", part.area)
        rows.append([csv_cell(part.name), f"area in the map, {result.unit}", _number(part.mapped_area), "", "", ""])
    if result.comparison is not None:
        add("", f"overall accuracy of {result.comparison.map}", result.comparison.overall)
        add("", "difference of overall accuracies", result.comparison.difference)
    return _table(rows)


def _confusion(result: Assessment) -> str:
    """Make the error matrix: points, then estimated shares of the area; rows are the map's classes."""
    names = [csv_cell(part.name) for part in result.classes]
    rows: list[list[Any]] = []
    for title, cells in (("points: map / label", result.counts), ("share of the area: map / label", result.shares)):
        rows += [[title, *names], *([name, *map(_number, row)] for name, row in zip(names, cells, strict=True)), []]
    return _table(rows[:-1])


def page(result: Assessment) -> str:
    """Make the HTML page, which loads nothing."""
    environment = Environment(
        loader=PackageLoader("rsuda.accuracy"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    unit = area_unit(result.total_area, result.unit)
    environment.filters |= {
        "percent": percent,
        "area": lambda value: area(value, unit),
        "area_interval": lambda estimate: area_interval(estimate, unit),
        "share": lambda value: f"{100 * value:.1f}" if math.isfinite(value) else DASH,
        "place": lambda value, largest: f"{100 * value / largest:.2f}",
    }
    present = [
        k for k, part in enumerate(result.classes) if part.points_mapped + part.points_labelled or part.mapped_area
    ]
    largest = max([part.area.high for part in result.classes] + [part.mapped_area for part in result.classes])
    return environment.get_template("accuracy.html").render(
        result=result, present=present, unit=unit[0], largest=largest, finite=math.isfinite
    )
