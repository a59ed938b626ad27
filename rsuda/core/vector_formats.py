"""List the vector formats that polygons are written in. A new format is one row of FORMATS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from rsuda.core.errors import InputError, unknown


@dataclass(frozen=True)
class VectorFormat:
    """A vector format. Its name in FORMATS is the suffix of its files.

    Attributes:
        driver: name of GDAL's driver; None for GeoParquet, which GeoPandas writes itself.
        media_type: of STAC assets.
        options: creation options of the driver.
        located_options: further options for polygons that have a CRS.
        only_crs: the one CRS of the format, into which polygons are transformed; None for any CRS, or none.
        most_bytes: size of the largest file that programs read; None without a limit.
        package: Python package that the format needs beyond GeoPandas, part of ``rsuda[vector]``.
    """

    driver: str | None
    media_type: str
    options: Mapping[str, str] = field(default_factory=dict)
    located_options: Mapping[str, str] = field(default_factory=dict)
    only_crs: str | None = None
    most_bytes: int | None = None
    package: str | None = None


FORMATS = {
    # version 1.2 has all that is written, and QGIS of 2018 reads it without a warning
    "gpkg": VectorFormat("GPKG", "application/geopackage+sqlite3", options={"VERSION": "1.2"}),
    "fgb": VectorFormat("FlatGeobuf", "application/vnd.flatgeobuf"),
    # RFC 7946 requires longitude and latitude; GDAL reprojects when this option asks for it
    "geojson": VectorFormat("GeoJSON", "application/geo+json", located_options={"RFC7946": "YES"}),
    "parquet": VectorFormat(None, "application/vnd.apache.parquet", package="pyarrow"),
    "shp": VectorFormat("ESRI Shapefile", "application/vnd.shp", options={"ENCODING": "UTF-8"}, most_bytes=1 << 31),
    "kml": VectorFormat("LIBKML", "application/vnd.google-earth.kml+xml", only_crs="EPSG:4326"),
}


def check_format(name: str) -> VectorFormat:
    """Look up a format by its name.

    Raises InputError for an unknown format, and for one whose package is not installed.
    """
    if name not in FORMATS:
        raise unknown("polygon format", name, FORMATS)
    vector_format = FORMATS[name]
    if vector_format.package and find_spec(vector_format.package) is None:
        raise InputError(
            f"polygons as {name} need {vector_format.package}, which is not installed: pip install 'rsuda[vector]', "
            "or use gpkg"
        )
    return vector_format
