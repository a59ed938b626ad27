"""Write a sample as a GeoPackage that QGIS opens ready to label, and read it again with its design."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio

from rsuda.accuracy.strata import Stratum
from rsuda.core.atomic import atomic_write
from rsuda.core.display import quoted
from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import Legend
from rsuda.core.vector_formats import FORMATS
from rsuda.geo.maps.qgis_form import label_style
from rsuda.geo.polygons.classes import value_text
from rsuda.geo.polygons.files import readable
from rsuda.geo.polygons.input import is_parquet, read_parquet

REFERENCE, CHIP = "reference", "chip"
COLUMNS = (
    "id",
    REFERENCE,
    "note",
    "stratum",
    "map_class",
    "confidence",
    "probability",
    "weight",
    "area",
    "row",
    "col",
    CHIP,
)
FORM = ("id", REFERENCE, "note")
_STRATA, _DESIGN = "rsuda_strata", "rsuda_design"
_FIELDS = ("name", "map_class", "low", "high", "pixels", "area", "expected", "points")


@dataclass(frozen=True)
class Design:
    """How a sample was drawn.

    Attributes:
        strata: the parts of the map that points were drawn from.
        facts: seed, allocation, map, digest, classes and unit of areas, by name; texts and numbers.
    """

    strata: tuple[Stratum, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The unit of the strata's areas: 'm2', or 'pixels' where the GSD was unknown."""
        return str(self.facts.get("unit", "m2"))


def write_points(
    frame: gpd.GeoDataFrame, design: Design, legend: Legend, path: Path, *, show_class: bool, overwrite: bool
) -> None:
    """Write points, the tables of their design, and their style and form for QGIS into one GeoPackage.

    Args:
        show_class: whether the form shows the map's class; hidden by default, so that it does not sway who labels.

    Raises:
        ExistsError: the file exists and ``overwrite`` is False.
    """
    columns = [name for name in frame.columns if name != frame.geometry.name]
    extra = ["map_class", *(["confidence"] if "confidence" in columns else [])] if show_class else []
    visible = [*FORM, *extra, *([CHIP] if CHIP in columns else [])]
    style = label_style(legend, ["fid", *columns], visible=visible, label=REFERENCE, text="note", picture=CHIP)
    tables = {
        _STRATA: pd.DataFrame([stratum.as_fields() for stratum in design.strata], columns=list(_FIELDS)),
        _DESIGN: pd.DataFrame([{"key": key, "value": json.dumps(value)} for key, value in design.facts.items()]),
        "layer_styles": _styles(path.stem, style),
    }
    loggers = [(logger, logger.level) for logger in (logging.getLogger("pyogrio"),)]
    with atomic_write(path, overwrite=overwrite) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # the caller has a note about it
        for logger, _ in loggers:
            logger.setLevel(logging.WARNING)
        try:
            options = dict(FORMATS["gpkg"].options)
            frame.to_file(temporary, driver="GPKG", layer=path.stem, engine="pyogrio", **options)
            for name, table in tables.items():
                pyogrio.write_dataframe(table, temporary, layer=name, driver="GPKG", append=True)
        finally:
            for logger, level in loggers:
                logger.setLevel(level)


def _styles(layer: str, style: str) -> pd.DataFrame:
    """Make the table in which QGIS looks for the default style of a layer."""
    return pd.DataFrame(
        [
            {
                "f_table_catalog": "",
                "f_table_schema": "",
                "f_table_name": layer,
                "f_geometry_column": "geom",
                "styleName": "label",
                "styleQML": style,
                "styleSLD": "",
                "useAsDefault": True,
                "description": "labels of a sample of rsuda",
                "owner": "",
                "ui": "",
                "update_time": pd.Timestamp("2026-01-01", tz="UTC"),  # QGIS sorts by it
            }
        ]
    )


def read_points(path: Path) -> tuple[gpd.GeoDataFrame, Design | None]:
    """Read points of any vector file, and the design that ``write_points`` stored with them; None without one.

    Raises:
        MissingError: there is no such file.
        InputError: it is unreadable, or has no single layer of points.
    """
    if not path.is_file():
        raise MissingError(f"there is no file {path}: name the points by their file, such as points.gpkg")
    try:
        if is_parquet(path):
            return _checked_points(read_parquet(path), path), None
        with readable(path) as plain:
            kinds = {str(name): None if kind is None else str(kind) for name, kind in pyogrio.list_layers(plain)}
            layer = _layer_of_points(path, kinds)
            frame = pyogrio.read_dataframe(plain, layer=layer)
            tables = {
                name: pyogrio.read_dataframe(plain, layer=name, read_geometry=False)
                for name in (_STRATA, _DESIGN)
                if name in kinds
            }
    except InputError:
        raise
    except Exception as error:  # pyogrio and GEOS raise their own errors for a damaged file
        reason = quoted(error)
        advice = ": name the map first and the points last" if "supported file format" in reason else ""
        raise InputError(f"{path} cannot be read as points: {reason.partition(';')[0].rstrip('.')}{advice}") from None
    return _checked_points(frame, path), _design(tables, path) if len(tables) == 2 else None


def _layer_of_points(path: Path, kinds: dict[str, str | None]) -> str:
    """Choose the only layer with geometries."""
    layers = [name for name, kind in kinds.items() if kind is not None]
    points = [name for name in layers if "Point" in str(kinds[name]) or str(kinds[name]).startswith("Unknown")]
    if len(points) == 1:
        return points[0]
    layer_list = ", ".join(f"{name} ({kinds[name]})" for name in layers[:20]) or "none"
    if points:
        raise InputError(f"{path} has {len(points)} layers of points ({layer_list}): keep one of them in the file")
    advice = ": this sample takes points, so put a point into each polygon or cluster of pixels"
    if not layers and path.suffix.lower() in (".csv", ".txt", ".xlsx"):
        advice = (
            ": it is a table, so save its points as a GeoPackage first (in QGIS: Add Delimited Text Layer, then Export)"
        )
    elif not layers:
        advice = ": name a file of points"
    raise InputError(f"{path} has no layer of points; its layers are {layer_list}{advice}")


def _checked_points(frame: gpd.GeoDataFrame, path: Path) -> gpd.GeoDataFrame:
    """Check that each feature is one point with a position."""
    if frame.empty:
        raise InputError(f"{path} has no points: draw some by rsuda sample MAP -o {path.name}")
    shapes = frame.geometry
    if (shapes.geom_type == "MultiPoint").any():
        frame = frame.explode(index_parts=False)
        if len(frame) != len(shapes):
            raise InputError(
                f"{path} has features of several points each ({len(shapes)} features, {len(frame)} points): split them"
            )
        shapes = frame.geometry
    bad = np.flatnonzero(~(shapes.geom_type == "Point") | shapes.is_empty)
    if len(bad):
        raise InputError(
            f"{len(bad)} of the {len(shapes)} features of {path} are not points, such as number {bad[0] + 1}: delete them"
        )
    columns = set(frame.columns)
    names = {
        name: name.lower() for name in columns_of(frame) if name.lower() in COLUMNS and name.lower() not in columns
    }
    return frame.rename(columns=names).reset_index(drop=True)


def _design(tables: dict[str, pd.DataFrame], path: Path) -> Design:
    """Read the tables of a design."""
    try:
        strata = tuple(
            Stratum(**{name: value for name, value in row.items() if name in _FIELDS})
            for row in tables[_STRATA].to_dict("records")
        )
        facts = {str(row["key"]): json.loads(row["value"]) for row in tables[_DESIGN].to_dict("records")}
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise InputError(f"the tables {_STRATA} and {_DESIGN} of {path} are damaged: {error}") from None
    numbers = [(stratum.pixels, stratum.area) for stratum in strata]
    if not strata or any(not (pixels > 0 and area > 0) for pixels, area in numbers):
        raise InputError(f"the table {_STRATA} of {path} is damaged: each stratum has pixels and an area above 0")
    return Design(strata, facts)


def columns_of(frame: gpd.GeoDataFrame) -> Sequence[str]:
    """List the columns beside the geometry."""
    return [str(name) for name in frame.columns if name != frame.geometry.name]


def numbers_of(frame: gpd.GeoDataFrame) -> list[str]:
    """List the numbers (n,) of points as a person sees them: their id, or their place in the file."""
    ids = frame["id"] if "id" in frame else pd.Series([None] * len(frame))
    texts = (value_text(value) for value in ids)
    return [text if text is not None else f"{place} of the file" for place, text in enumerate(texts, 1)]
