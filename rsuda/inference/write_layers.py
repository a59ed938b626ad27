"""Write the polygons of a class raster and their footprints, with styles; prediction and polygonize share this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rsuda.core.legend import Legend
from rsuda.core.map_options import FileOptions
from rsuda.geo.grid import Grid
from rsuda.geo.late_imports import geopandas as gpd
from rsuda.geo.polygon_files import write_polygons
from rsuda.geo.polygons import polygonise, regularise
from rsuda.geo.qgis_styles import polygon_style, write_style
from rsuda.geo.run_lengths import Strip


def write_layers(
    strips: Iterable[Strip],
    grid: Grid,
    legend: Legend,
    gsd: tuple[float, float],
    options: FileOptions,
    files: Mapping[str, Path],
    *,
    numbered: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame] = lambda frame: frame,
    overwrite: bool = False,
) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Write the files 'polygons' and, if it is one of ``files``, 'footprints', each with its style.

    Args:
        strips: of classes, or pairs with confidences; see ``polygonise``.
        gsd: (down, across) metres per pixel.
        files: paths by what they hold.
        numbered: changes the polygons' classes before they are written.

    Returns:
        the polygons as they were written, and notes for the user.
    """
    frame = polygonise(strips, grid, legend, gsd, min_area=options.min_area, simplify=options.simplify)
    notes = frame.attrs.get("notes", [])
    frames = {"polygons": frame}
    if "footprints" in files:
        frames["footprints"] = regularise(frame, options.regularise, grid, legend, gsd)
    for name, layer in frames.items():
        write_polygons(numbered(layer), files[name], overwrite=overwrite)
        write_style(polygon_style(legend), files[name].with_suffix(".qml"))
    return frame, notes
