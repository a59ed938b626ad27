"""Find the class of each polygon of a layer: by a column, by a table of its values, or one class for all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch
from typing import Any
from unicodedata import normalize

import numpy as np

from rsuda.core.display import printable
from rsuda.core.errors import InputError, unknown
from rsuda.core.legend import IGNORE, Legend
from rsuda.geo.polygons.input import column_samples, file_state, polygons_of
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.polygons.late_imports import pandas as pd

# columns that may hold the class where none is named, the best first; a column is taken only if its values are classes
USUAL = (
    "name", "class", "class_name", "classname", "label", "label_name", "category", "landuse", "land_use", "landcover",
    "land_cover", "class_id", "classid", "label_id",
)  # fmt: skip


@dataclass(frozen=True)
class PolygonLayer:
    """Rules for reading the polygons of a file as labels.

    Attributes:
        path: vector file.
        layer: name of the layer; None for the only one of polygons.
        attribute: column that holds the class; None to find it.
        classes: pairs of a value of the column, as text, and a class of the legend; empty to look values up in the legend.
        one_class: class of all polygons.
        uncovered: class of pixels that no polygon covers; None to ignore them.
        extent: file of polygons (``file|layername=…``) that limits ``uncovered``; None for the whole image.
        order: classes from the lowest to the highest; the others lie below. By default later polygons lie on top.
    """

    path: Path
    layer: str | None = None
    attribute: str | None = None
    classes: tuple[tuple[str, str], ...] = ()
    one_class: str | None = None
    uncovered: str | None = None
    extent: str | None = None
    order: tuple[str, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """The columns that may hold the class, in lower case."""
        if self.one_class is not None:
            return frozenset()
        return frozenset([self.attribute.lower()] if self.attribute else USUAL)

    def polygons(self, state: tuple[int, int], crs: str | None) -> gpd.GeoDataFrame:
        """Read the polygons in a CRS; see ``polygons_of``."""
        return polygons_of(self.path, self.layer, state, crs, self.columns)


@dataclass(frozen=True)
class PolygonClasses:
    """The classes of a layer's polygons.

    Attributes:
        index: (n,) uint8 class index of each polygon, 255 without a class.
        column: the column that holds the class; None for one class.
        empty_values: number of polygons whose column is empty.
        table_gaps: number of polygons by value that the table ``classes`` of the layer lacks.
    """

    index: np.ndarray
    column: str | None = None
    empty_values: int = 0
    table_gaps: Mapping[str, int] | None = None

    @staticmethod
    def of(values: pd.Series, table: Mapping[str, int], table_gaps: Mapping[str, int] | None = None) -> PolygonClasses:
        """Look up the values of a column in a table of class indices; other and empty values have no class."""
        index = np.array([IGNORE if value is None else table.get(value, IGNORE) for value in values], np.uint8)
        return PolygonClasses(index, str(values.name), int(values.isna().sum()), table_gaps)


def value_text(value: Any) -> str | None:
    """Convert a value of a column or a table to the text by which it is compared. 1, 1.0 and ' 1' are '1', and letters
    with accents are one character; None if empty."""
    if (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float | np.floating) and math.isnan(value))
    ):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = normalize("NFC", str(value)).strip()
    return (text.partition(".")[0] if fullmatch(r"-?\d+\.0+", text) else text) or None


def _names(legend: Legend) -> dict[str, int]:
    """List the names by which polygons and domain files may call the classes, with their indices."""
    return {name: k for k, name in enumerate(legend.names)}


def _folded(name: str) -> str:
    """Fold a name: drop case, accents as signs of their own, and blanks, which people write differently."""
    return " ".join(normalize("NFC", name).casefold().split())


def class_index(legend: Legend, name: str) -> int:
    """Look up a class by name. Raises InputError with the nearest name if the legend lacks it."""
    names = _names(legend)
    if name not in names:
        raise unknown("class of the legend", name, names)
    return names[name]


def classes_of(layer: PolygonLayer, legend: Legend) -> PolygonClasses:
    """Look up the class of each polygon of a layer.

    Raises:
        MissingError: the file is missing.
        InputError: no column holds classes, a value is outside of the legend, or a number is ambiguous.
    """
    frame = layer.polygons(file_state(layer.path), None)
    if layer.one_class is not None:
        return PolygonClasses(np.full(len(frame), class_index(legend, layer.one_class), np.uint8))
    columns = {str(name): frame[name].map(value_text) for name in frame.columns if name != frame.geometry.name}
    if frame.empty:
        return PolygonClasses(np.full(0, IGNORE, np.uint8))
    if layer.attribute is not None:
        name = _named(layer, columns)
        columns = {name: columns[name]}
    if layer.classes:
        return _by_table(layer, columns, legend)
    if layer.attribute is not None:
        return _by_legend(layer, columns[name], legend)
    return _by_usual_column(layer, columns, legend)


def _named(layer: PolygonLayer, columns: Iterable[str]) -> str:
    """Find the column that the layer names, also where only its case differs."""
    attribute = str(layer.attribute)
    matches = [name for name in columns if name == attribute] or list(columns)
    if len(matches) != 1:
        raise InputError(
            f"{layer.path} has no column '{attribute}': its columns are {column_samples(layer.path, layer.layer)}"
        )
    return matches[0]


def _by_table(layer: PolygonLayer, columns: Mapping[str, pd.Series], legend: Legend) -> PolygonClasses:
    """Find the classes of polygons by the table ``classes`` of the layer."""
    table = {value: class_index(legend, name) for value, name in layer.classes}
    counts = {name: Counter(values.dropna()) for name, values in columns.items()}
    hits = {name: sum(count for value, count in counts[name].items() if value in table) for name in counts}
    best = max(hits, key=lambda name: hits[name], default=None)
    if best is None or not hits[best]:
        raise InputError(
            f"{layer.path} has none of the values {', '.join(list(table)[:10])} of 'classes:' in the column "
            f"'{layer.attribute or ' or '.join(columns) or 'name'}': its columns are {column_samples(layer.path, layer.layer)}; "
            "name the column by 'attribute:'"
        )
    counts_of_others = {value: count for value, count in counts[best].most_common() if value not in table}
    return PolygonClasses.of(columns[best], table, counts_of_others)


def _by_usual_column(layer: PolygonLayer, columns: Mapping[str, pd.Series], legend: Legend) -> PolygonClasses:
    """Find the classes of polygons by the first usual column whose values are all classes of the legend."""
    usual = sorted(columns, key=lambda name: (USUAL.index(name.lower()), name))
    problems: list[InputError] = []
    empty_column: str | None = None
    choice: PolygonClasses | None = None
    for name in usual:
        if columns[name].isna().all():
            empty_column = empty_column or name
            continue
        try:
            classes = _by_legend(layer, columns[name], legend)
        except InputError as error:
            problems.append(error)
            continue
        if choice is None:
            choice = classes
        elif str(choice.column).lower() != "name" and (choice.index != classes.index).any():
            raise InputError(
                f"{layer.path} has two columns of classes that differ, {choice.column} and {name}: name one by 'attribute:'"
            )
    if choice is None and empty_column is not None and not problems:
        return PolygonClasses.of(columns[empty_column], {})
    if choice is None:
        raise _no_class(layer, legend, problems)
    return choice


def _no_class(layer: PolygonLayer, legend: Legend, problems: list[InputError]) -> InputError:
    """Build the error for a layer whose columns hold no class."""
    what = str(problems[0]) if problems else f"the polygons of {layer.path} have no class"
    advice = "name the column by 'attribute:' in a mapping below 'labels:', or one class for all polygons by 'class:'"
    others = [name for name in legend.names if name not in ("background", "other", "unlabelled")]
    if len(others) == 1:
        advice = f"write 'class: {others[0]}' in a mapping below 'labels:' for all polygons, or name the column by 'attribute:'"
    return InputError(f"{what}; its columns are {column_samples(layer.path, layer.layer)}: {advice}")


def _by_legend(layer: PolygonLayer, values: pd.Series, legend: Legend) -> PolygonClasses:
    """Find the classes of polygons whose values are names of classes or, as whole numbers, values of the legend.

    Case and blanks of a name do not count, unless they tell two classes apart. In a legend without values, the column
    'class' holds indices.
    """
    column, names = str(values.name), _names(legend)
    name_counts = Counter(map(_folded, names))
    by_folded_name = {_folded(name): k for name, k in names.items() if name_counts[_folded(name)] == 1}
    numbers = {str(value): k for k, values in enumerate(legend.values) for value in values}
    numbers |= {str(value): IGNORE for value in legend.ignored_values}
    if not legend.by_value and (column.lower() == "class" or layer.attribute):
        numbers = {str(k): k for k in range(len(legend))}
    table: dict[str, int] = {}
    for value in values.dropna().unique():
        readings = {choices[value] for choices in (names, numbers) if value in choices}
        if not readings and _folded(value) in by_folded_name:
            readings = {by_folded_name[_folded(value)]}
        if len(readings) > 1:
            raise InputError(
                f"{layer.path}: '{value}' in the column {column} is the name of one class and the value of another: "
                "map it to a class by 'classes:'"
            )
        if not readings:
            class_names = [*names, *(f"{number} ({legend.names[k]})" for number, k in numbers.items() if k != IGNORE)]
            text = printable(value)[:100]
            raise InputError(
                f"{layer.path}: {unknown(f'class of a polygon, in the column {column},', text, class_names[:60])}"
            )
        table[value] = readings.pop()
    return PolygonClasses.of(values, table)


def ignored_note(layer: PolygonLayer, classes: PolygonClasses) -> str | None:
    """Describe the polygons that have no value, or one that the layer's table lacks, in one sentence; None without any."""
    column, table_gaps = printable(str(classes.column)), classes.table_gaps or {}
    number = classes.empty_values + sum(table_gaps.values())
    if not number:
        return None
    if not table_gaps:
        reason = f"their {column} is empty"
    else:
        values = ", ".join(f"{printable(value)[:40]} ({count})" for value, count in list(table_gaps.items())[:10])
        more = ", …" if len(table_gaps) > 10 else ""
        first = f"the {column} of {classes.empty_values} is empty, and " if classes.empty_values else ""
        reason = f"{first}'classes:' lacks {'that of the others' if first else f'their {column}'}: {values}{more}"
    return f"{number} of {len(classes.index)} polygons of {layer.path} are ignored, since {reason}"
