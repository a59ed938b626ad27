"""Write and read files of polygons in the formats of core/vector_formats.py."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError, MissingError, WriteError
from rsuda.core.spelling import spell
from rsuda.core.vector_formats import VectorFormat, check_format
from rsuda.geo.polygons.late_imports import geopandas as gpd
from rsuda.geo.polygons.late_imports import pyogrio
from rsuda.geo.polygons.table import PolygonTable

_URL_SIGNS = set(";!:?#")
_COLUMNS = ("class", "name", "area_m2", "confidence")
_POINT, _ROW = 16, 200  # bytes of a vertex, and about the most of a polygon's other fields, in a Shapefile


def check_located(name: str | None, located: bool, what: object) -> None:
    """Raise InputError for polygons without a CRS in a format that has one CRS only."""
    only = check_format(name).only_crs if name else None
    if only and not located:
        raise InputError(
            f"{what} has no CRS, and {name} is always in {only}: declare the CRS, or choose another format, such as gpkg"
        )


@contextmanager
def quiet_vectors() -> Iterator[None]:
    """Suppress pyogrio's warnings of a missing CRS, about which callers have a note, and of wide fields."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        warnings.filterwarnings("ignore", ".*field width.*")
        yield


def write_polygons(polygons: PolygonTable | gpd.GeoDataFrame, path: Path, *, overwrite: bool = False) -> None:
    """Write polygons in the format of the suffix of ``path``; the file appears when it is complete.

    The files that belong to a Shapefile get their places before it.

    Raises:
        WriteError: the polygons are too many for the format.
    """
    vector_format = check_format(path.suffix.lstrip("."))
    _check_size(polygons, vector_format, path)
    with atomic_write(path, overwrite=overwrite) as temporary:
        if vector_format.driver is None:
            _frame(polygons).to_parquet(temporary)
            return
        if vector_format.only_crs and polygons.crs:
            polygons = _frame(polygons).to_crs(vector_format.only_crs)
        options: dict[str, Any] = {**vector_format.options, **(vector_format.located_options if polygons.crs else {})}
        options |= {"driver": vector_format.driver, "layer": _layer(path)}
        with quiet_vectors(), _writable(temporary.parent) as folder:
            plain = folder / f"polygons{path.suffix}"
            if isinstance(polygons, PolygonTable) and len(polygons):
                _write_table(polygons, plain, options)
            else:
                _frame(polygons).to_file(plain, engine="pyogrio", **options)
        plain = temporary.with_name(plain.name)
        os.replace(plain, temporary)
        for file in plain.parent.iterdir():
            if file != temporary:
                os.replace(file, path.with_name(path.stem + file.suffix))


def _frame(polygons: PolygonTable | gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return polygons.frame() if isinstance(polygons, PolygonTable) else polygons


def _write_table(table: PolygonTable, file: Path, options: Mapping[str, Any]) -> None:
    """Write the file that GeoPandas would write, without geometry objects."""
    crs = gpd.GeoSeries(crs=table.crs).crs
    code = crs and crs.to_epsg()
    pyogrio.raw.write(
        file,
        geometry=table.outlines,
        fields=list(table.columns),
        field_data=list(table.columns.values()),
        geometry_type="Polygon",
        crs=f"EPSG:{code}" if code else crs and crs.to_wkt("WKT1_GDAL"),
        **options,
    )


def _check_size(polygons: PolygonTable | gpd.GeoDataFrame, vector_format: VectorFormat, path: Path) -> None:
    if vector_format.most_bytes is None:
        return
    if isinstance(polygons, PolygonTable):
        outlines = sum(map(len, polygons.outlines))
    else:
        outlines = int(shapely.get_num_coordinates(polygons.geometry.values).sum()) * _POINT
    size = outlines + len(polygons) * _ROW
    if size > vector_format.most_bytes:
        raise WriteError(
            f"{path} would have about {size / 2**30:.1f} GiB, and a {vector_format.driver} holds at most "
            f"{vector_format.most_bytes / 2**30:.0f} GiB: choose {spell('polygons', 'gpkg')}; finished strips stay"
        )


def _layer(path: Path) -> str:
    """Name the layer after the file; a GeoPackage's must begin with a letter, a digit or '_', a KML's may be a file name."""
    return re.sub(r'[*":<>|/\\?]' if path.suffix == ".kml" else r"^\W", "_", path.stem)


def read_polygons(path: Path) -> gpd.GeoDataFrame:
    """Read polygons that ``write_polygons`` wrote. Raises MissingError if the file is missing."""
    if not path.is_file():
        raise MissingError(f"there is no file {path}: predict the scene again")
    vector_format = check_format(path.suffix.lstrip("."))
    if vector_format.driver is None:
        return gpd.read_parquet(path)
    with readable(path) as plain:
        frame = gpd.read_file(plain)
    if path.suffix == ".kml":  # which has fields of its own, and numbers as text
        frame = frame.rename(columns={"Name": "name"})
        frame["class"] = frame["class"].astype(np.int32)
        frame = frame.set_geometry(shapely.force_2d(frame.geometry.values))
        frame = frame[[*(name for name in _COLUMNS if name in frame), "geometry"]]
    return frame


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Yield a path of a file that GeoPandas takes as it is.

    Elsewhere than on Windows it reads ';' and '!' as parts of a URL. A file with such a name
    and the files that belong to it get links of a plain name in the folder for temporary files.
    """
    if sys.platform == "win32" or not _URL_SIGNS & set(str(path)) or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        for file in path.absolute().parent.iterdir():
            if file.stem == path.stem:
                Path(folder, f"polygons{file.suffix}").symlink_to(file)
        yield Path(folder, f"polygons{path.suffix}")


@contextmanager
def _writable(folder: Path) -> Iterator[Path]:
    """Yield a path of a folder that GeoPandas takes as it is, as ``readable`` does."""
    if sys.platform == "win32" or not _URL_SIGNS & set(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        link = Path(place, "folder")
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link
