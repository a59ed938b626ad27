"""Convert any raster of classes to polygons, without a model: maps of rsuda again, and rasters of other programs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, overload

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.inference.polygonize_several import polygonize_several
from rsuda.inference.raster_polygons import PathLike, Polygons, polygonize_raster

__all__ = ["Polygons", "polygonize"]


@overload
def polygonize(
    raster: list[Any] | tuple[PathLike, ...], out: PathLike | None = None, **options: Any
) -> list[Polygons]: ...


@overload
def polygonize(
    raster: PathLike,
    out: PathLike | None = None,
    *,
    polygons: str | None = ...,
    legend: PathLike | Legend | None = ...,
    min_area: float = ...,
    simplify: float = ...,
    regularise: Sequence[str] = ...,
    gsd: float | None = ...,
    nodata: float | None = ...,
    crs: str | None = ...,
    aoi: PathLike | None = ...,
    bounds: tuple[float, float, float, float] | None = ...,
    overwrite: bool = ...,
) -> Polygons: ...


def polygonize(  # type: ignore[misc]  # a list has the options of one raster
    raster: PathLike | Sequence[PathLike],
    out: PathLike | None = None,
    *,
    polygons: str | None = None,
    legend: PathLike | Legend | None = None,
    min_area: float = 0.0,
    simplify: float = 0.0,
    regularise: Sequence[str] = (),
    gsd: float | None = None,
    nodata: float | None = None,
    crs: str | None = None,
    aoi: PathLike | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    overwrite: bool = False,
) -> Polygons | list[Polygons]:
    """Convert a raster of classes to polygons that share their borders, without a model.

    The polygons of a map of rsuda are those that ``rsuda.predict`` writes with the same options. They have a confidence if
    the map's ``…_confidence.tif`` lies beside it.

    Args:
        raster: raster of one band of whole numbers; with a legend by colour also of three bands. A list holds files, folders
            and globs, and gives a list of results, each as ``rsuda polygonize`` makes it.
        out: file of the polygons; NAME_polygons.gpkg beside the raster by default. Of several rasters it is their folder.
        polygons: format, such as 'gpkg', see core/vector_formats.py; that of ``out`` by default.
        legend: known domain, YAML file with a ``legend``, or Legend. By default the names and colours that the raster or a
            file beside it has, else 'class 1', 'class 2', ….
        min_area, simplify, regularise: as in ``rsuda.predict``.
        gsd: metres per pixel, for rasters without a georeference.
        nodata: value that marks pixels without a class; the raster's own by default.
        crs: for rasters that have a transform but no CRS.
        aoi, bounds: part of the raster, as in ``rsuda.predict``.
        overwrite: whether to replace existing files.

    Returns:
        the files, their number of polygons and areas. The attribute 'class' is the pixel's value; with a chosen legend it
        is the number of the class in the legend, from 0.

    Raises:
        InputError, MissingError, ExistsError: before anything is written.

    Example:
        >>> import rsuda
        >>> polygons = rsuda.polygonize("maps/top_mosaic_09cm_area2_classes.tif", "maps/large.fgb", min_area=5)
        >>> len(polygons.frame()) == polygons.count
        True
    """
    options: dict[str, Any] = {
        "polygons": polygons,
        "legend": legend,
        "min_area": min_area,
        "simplify": simplify,
        "regularise": tuple(regularise),
        "gsd": gsd,
        "nodata": nodata,
        "crs": crs,
        "aoi": aoi,
        "bounds": bounds,
        "overwrite": overwrite,
    }
    if isinstance(raster, list | tuple):
        return list(polygonize_several(raster, out, **options))
    if not isinstance(raster, str | os.PathLike):
        raise InputError(f"{raster!r} is not a raster: pass a path, or a list of files, folders and globs")
    return polygonize_raster(raster, out, **options)
