"""Write the polygons of a class raster and their footprints, with styles; prediction and polygonize share this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from rsuda.core.legend import Legend
from rsuda.core.map_options import FileOptions
from rsuda.geo.grids.grid import Grid
from rsuda.geo.maps.qgis_styles import polygon_style, write_style
from rsuda.geo.polygons.files import write_polygons
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.polygons.polygonise import polygon_table, regularise
from rsuda.geo.polygons.run_lengths import Strip
from rsuda.geo.polygons.table import PolygonTable


def write_layers(
    strips: Iterable[Strip],
    grid: Grid,
    legend: Legend,
    gsd: tuple[float, float],
    options: FileOptions,
    files: Mapping[str, Path],
    *,
    numbered: Callable[[np.ndarray], np.ndarray] = lambda index: index,
    overwrite: bool = False,
) -> PolygonTable:
    """Write the files 'polygons' and, if it is one of ``files``, 'footprints', each with its style.

    Args:
        strips: of classes, or pairs with confidences; see ``polygon_table``.
        gsd: (down, across) metres per pixel.
        files: paths by what they hold.
        numbered: changes the polygons' classes (n,) before they are written.

    Returns:
        the polygons with the legend's classes, and notes for the user.
    """
    table = polygon_table(strips, grid, legend, gsd, min_area=options.min_area, simplify=options.simplify)
    if "footprints" in files:
        footprints = regularise(table.frame(), options.regularise, grid, legend, gsd)
        footprints["class"] = numbered(footprints["class"].to_numpy())
        _write(footprints, legend, files["footprints"], overwrite=overwrite)
    columns = {**table.columns, "class": numbered(table.columns["class"])}
    _write(replace(table, columns=columns), legend, files["polygons"], overwrite=overwrite)
    return table


def _write(layer: PolygonTable | gpd.GeoDataFrame, legend: Legend, file: Path, *, overwrite: bool) -> None:
    write_polygons(layer, file, overwrite=overwrite)
    write_style(polygon_style(legend), file.with_suffix(".qml"))
