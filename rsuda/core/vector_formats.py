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
        located_options: layer options of the driver for polygons that have a CRS.
        package: Python package that the format needs beyond GeoPandas, part of ``rsuda[vector]``.
    """

    driver: str | None
    media_type: str
    located_options: Mapping[str, str] = field(default_factory=dict)
    package: str | None = None


FORMATS = {
    "gpkg": VectorFormat("GPKG", "application/geopackage+sqlite3"),
    "fgb": VectorFormat("FlatGeobuf", "application/vnd.flatgeobuf"),
    # RFC 7946 requires longitude and latitude; GDAL reprojects when this option asks for it
    "geojson": VectorFormat("GeoJSON", "application/geo+json", located_options={"RFC7946": "YES"}),
    "parquet": VectorFormat(None, "application/vnd.apache.parquet", package="pyarrow"),
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
