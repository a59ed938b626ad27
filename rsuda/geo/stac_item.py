"""STAC items of predictions, and what all items have in common. Written with PySTAC, which the extra 'export' brings."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.errors import NotGeoreferencedWarning

from rsuda.core.atomic import atomic_write
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.version import __version__
from rsuda.geo.grid import Grid
from rsuda.geo.raster import is_remote

if TYPE_CHECKING:
    from pystac import Item
    from pystac.extensions.classification import Classification

PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
MEDIA = {
    ".gpkg": "application/geopackage+sqlite3", ".fgb": "application/vnd.flatgeobuf", ".geojson": "application/geo+json",
    ".parquet": "application/vnd.apache.parquet", ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff", ".jp2": "image/jp2", ".png": "image/png", ".jpg": "image/jpeg",
}  # fmt: skip
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_EDGE = 16  # points of a footprint's edge, which is no straight line in longitude and latitude


def identifier(text: str) -> str:
    """Letters, digits, '-' and '_', as STAC wants names to be."""
    return re.sub(r"[^0-9A-Za-z_-]+", "-", text).strip("-") or "unnamed"


def classes(legend: Legend, counts: Sequence[int] | None = None) -> list[Classification]:
    """The legend as the classification extension has it; with ``counts``, how many pixels each class has."""
    from pystac.extensions.classification import Classification

    total = sum(counts) if counts is not None else 0
    return [
        Classification.create(
            k, name, identifier(name), name, color_hint="{:02X}{:02X}{:02X}".format(*legend.palette[k]),
            count=None if counts is None else int(counts[k]),
            percentage=round(100 * int(counts[k]) / total, 4) if counts is not None and total else None,
        )
        for k, name in enumerate(legend.names)
    ]  # fmt: skip


def footprint(grid: Grid) -> tuple[dict[str, Any] | None, list[float] | None]:
    """GeoJSON geometry and bbox of a grid in longitude and latitude; a footprint over the antimeridian is cut there.

    (None, None) for a grid without CRS, and for one whose CRS has no place on Earth.
    """
    if grid.crs is None or not grid.georeferenced:
        return None, None
    steps = np.linspace(0, 1, _EDGE, endpoint=False)
    along = [(r, c) for r, c in zip(steps * 0, steps, strict=True)]
    ring = along + [(c, 1 - r) for r, c in along] + [(1 - r, 1 - c) for r, c in along] + [(1 - c, r) for r, c in along]
    xs, ys = zip(*(grid.world(r * grid.height, c * grid.width) for r, c in ring), strict=True)
    try:
        transformer = Transformer.from_crs(grid.crs.to_wkt(), "EPSG:4326", always_xy=True)
        longitude, latitude = (np.array(v) for v in transformer.transform(xs, ys))
    except ProjError:
        return None, None
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        return None, None
    if np.ptp(longitude) > 180:
        longitude = np.where(longitude < 0, longitude + 360, longitude)
    shape = shapely.Polygon(np.stack([longitude, latitude], 1).round(9)).simplify(1e-7)  # a centimetre
    west, south, east, north = shape.bounds
    if east > 180:
        beyond = shapely.affinity.translate(shape.intersection(shapely.box(180, -90, 540, 90)), -360)
        shape = shapely.MultiPolygon([shape.intersection(shapely.box(-180, -90, 180, 90)), beyond])
        east -= 360
    geometry: dict[str, Any] = json.loads(shapely.to_geojson(shapely.orient_polygons(shape)))
    return geometry, [west, south, east, north]


def taken(image: str | Path) -> datetime | None:
    """When an image was taken, by its GDAL tags; times without a zone count as UTC. None where no tag tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(image) as file:
            tags = {**file.tags(), **file.tags(ns="IMAGERY"), **file.tags(ns="EXIF")}
    for key in ("ACQUISITIONDATETIME", "EXIF_DateTimeOriginal", "TIFFTAG_DATETIME"):
        text = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", tags.get(key, "").strip())
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            continue
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def href(file: str | Path, folder: Path) -> str:
    """How an item in ``folder`` points to a file: a relative path, or a URL without its query and user, which may be
    secrets."""
    if is_remote(file):
        return re.sub(r"[?#].*$", "", re.sub(r"(?<=://)[^/@]*@", "", str(file)))
    path = Path(os.path.relpath(file, folder)).as_posix()
    return path if path.startswith("../") else f"./{path}"


def map_item(
    name: str,
    grid: Grid,
    gsd: tuple[float, float],
    legend: Legend,
    counts: Sequence[int],
    rasters: Mapping[str, Path],
    vectors: Mapping[str, Path],
    source: str,
    when: datetime | None,
    about: Mapping[str, Any],
) -> Item:
    """The item of a prediction. Assets lie beside the item's file, which is where their hrefs point.

    Args:
        gsd: (down, across) metres per pixel.
        counts: pixels of each class.
        rasters: 'classes', perhaps 'confidence' and 'probabilities'.
        vectors: polygon files by key.
        source: href of the scene.
        when: the scene was taken; None for unknown, and then the item's datetime is that of the prediction.
        about: further properties.
    """
    import pystac
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import DataType, RasterBand, RasterExtension

    now = datetime.now(UTC).replace(microsecond=0)
    geometry, bbox = footprint(grid)
    properties = {
        "created": now.isoformat().replace("+00:00", "Z"), "gsd": float(np.mean(gsd)),
        "processing:software": {"rsuda": __version__}, **about,
    }  # fmt: skip
    item = pystac.Item(identifier(name), geometry, bbox, when or now, properties, stac_extensions=[PROCESSING])
    item.add_link(
        pystac.Link("derived_from", source, MEDIA.get(Path(source).suffix.lower()), title=source.rpartition("/")[2])
    )
    epsg = grid.crs.to_epsg() if grid.crs else None
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{epsg}" if epsg else None, wkt2=grid.crs.to_wkt() if grid.crs and not epsg else None,
        shape=[grid.height, grid.width], transform=list(grid.transform)[:6] if grid.georeferenced else None,
        bbox=list(grid.bounds) if grid.georeferenced else None,
    )  # fmt: skip
    item.properties.setdefault("proj:code", None)
    titles = {
        "classes": "Classes", "confidence": "Probability of the class", "probabilities": "Probabilities of all classes",
    }  # fmt: skip
    for key, path in rasters.items():
        asset = pystac.Asset(f"./{path.name}", titles[key], media_type=COG, roles=["data"])
        item.add_asset(key, asset)
        bands = [
            RasterBand.create(nodata=IGNORE, data_type=DataType.UINT8, spatial_resolution=float(np.mean(gsd)))
            for _ in range(len(legend) if key == "probabilities" else 1)
        ]
        if key != "classes":
            for band in bands:
                band.scale, band.offset = 1 / 254, 0
        RasterExtension.ext(asset, add_if_missing=True).apply(bands)
        if key == "classes":
            ClassificationExtension.ext(asset, add_if_missing=True).apply(classes(legend, counts))
        if key == "probabilities":
            asset.extra_fields["bands"] = [{"name": identifier(n), "description": n} for n in legend.names]
    for key, path in vectors.items():
        item.add_asset(key, pystac.Asset(f"./{path.name}", key.capitalize(), None, MEDIA[path.suffix], ["data"]))
    return item


def write_item(item: Item, path: Path, overwrite: bool = False) -> None:
    with atomic_write(path, overwrite) as temporary:
        text = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
