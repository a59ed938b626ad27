"""Build and write STAC items of maps, and parts that all items share. Needs PySTAC (extra 'export')."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.errors import NotGeoreferencedWarning

from rsuda.core.atomic import atomic_write
from rsuda.core.legend import IGNORE, Legend
from rsuda.core.vector_formats import FORMATS
from rsuda.core.version import __version__
from rsuda.geo.grids.grid import Grid
from rsuda.geo.rasters.openers import open_raster
from rsuda.geo.rasters.raster import is_remote

if TYPE_CHECKING:
    from pystac import Item
    from pystac.extensions.classification import Classification

PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
MEDIA = {f".{name}": vector_format.media_type for name, vector_format in FORMATS.items()} | {
    ".tif": "image/tiff; application=geotiff",
    ".tiff": "image/tiff; application=geotiff",
    ".jp2": "image/jp2",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_EDGE = 16  # points along a footprint's edge, which is curved in longitude and latitude


def identifier(text: str) -> str:
    """Reduce a text to the characters of STAC identifiers: letters, digits, '-' and '_'."""
    return re.sub(r"[^0-9A-Za-z_-]+", "-", text).strip("-") or "unnamed"


def classes(legend: Legend, counts: Sequence[int] | None = None) -> list[Classification]:
    """Convert a legend to the classification extension, with the pixels of each class from ``counts``."""
    from pystac.extensions.classification import Classification

    total = sum(counts) if counts is not None else 0
    return [
        Classification.create(
            k,
            name,
            identifier(name),
            name,
            color_hint="{:02X}{:02X}{:02X}".format(*legend.palette[k]),
            count=None if counts is None else int(counts[k]),
            percentage=round(100 * int(counts[k]) / total, 4) if counts is not None and total else None,
        )
        for k, name in enumerate(legend.names)
    ]


def footprint(grid: Grid) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Compute GeoJSON geometry and bbox of a grid in longitude and latitude, cut at the antimeridian.

    Returns (None, None) for a grid without CRS, or with a CRS that has no transformation to longitude and latitude.
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


def acquisition_time(image: str | Path) -> datetime | None:
    """Read the acquisition time of an image from its GDAL tags, UTC if there is no zone; None without a valid tag."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with open_raster(image) as file:
            tags = {**file.tags(), **file.tags(ns="IMAGERY"), **file.tags(ns="EXIF")}
    for key in ("ACQUISITIONDATETIME", "EXIF_DateTimeOriginal", "TIFFTAG_DATETIME"):
        text = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", tags.get(key, "").strip())
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            continue
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def href(file: str | Path, folder: Path) -> str:
    """Return the link from an item in ``folder`` to a file: a relative path, or a URL without query and user (secrets)."""
    if is_remote(file):
        return re.sub(r"[?#].*$", "", re.sub(r"(?<=://)[^/@]*@", "", str(file)))
    path = Path(os.path.relpath(file, folder)).as_posix()
    return path if path.startswith("../") else f"./{path}"


@dataclass(frozen=True)
class MapRaster:
    """A raster of a map: uint8, nodata 255.

    Attributes:
        categorical: whether it holds classes; all others hold probabilities, 0 to 254 for 0..1.
        per_class: whether it has one band for each class.
    """

    path: Path
    title: str
    categorical: bool = False
    per_class: bool = False


def map_item(
    name: str,
    grid: Grid,
    *,
    gsd: tuple[float, float],
    legend: Legend,
    counts: Sequence[int],
    rasters: Mapping[str, MapRaster],
    vectors: Mapping[str, Path],
    source: str,
    when: datetime | None,
    properties: Mapping[str, Any],
) -> Item:
    """Build the STAC item of a map. Its assets are in the folder of the item's file, to which their hrefs are relative.

    Args:
        gsd: (down, across) metres per pixel.
        counts: pixels of each class.
        rasters: by key of the asset.
        vectors: polygon files by key of the asset.
        source: href of the scene.
        when: date of the scene; if None, the item's datetime is that of the prediction.
        properties: further properties.
    """
    import pystac
    from pystac.extensions.projection import ProjectionExtension

    now = datetime.now(UTC).replace(microsecond=0)
    geometry, bbox = footprint(grid)
    about = {
        "created": now.isoformat().replace("+00:00", "Z"),
        "gsd": float(np.mean(gsd)),
        "processing:software": {"rsuda": __version__},
        **properties,
    }
    item = pystac.Item(identifier(name), geometry, bbox, when or now, about, stac_extensions=[PROCESSING])
    item.add_link(
        pystac.Link("derived_from", source, MEDIA.get(Path(source).suffix.lower()), title=source.rpartition("/")[2])
    )
    epsg = grid.crs.to_epsg() if grid.crs else None
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{epsg}" if epsg else None,
        wkt2=grid.crs.to_wkt() if grid.crs and not epsg else None,
        shape=[grid.height, grid.width],
        transform=list(grid.transform)[:6] if grid.georeferenced else None,
        bbox=list(grid.bounds) if grid.georeferenced else None,
    )
    item.properties.setdefault("proj:code", None)
    for key, raster in rasters.items():
        _add_raster(item, key, raster, legend, counts, float(np.mean(gsd)))
    for key, path in vectors.items():
        item.add_asset(key, pystac.Asset(f"./{path.name}", key.capitalize(), None, MEDIA[path.suffix], ["data"]))
    return item


def _add_raster(item: Item, key: str, raster: MapRaster, legend: Legend, counts: Sequence[int], gsd: float) -> None:
    """Add a raster of a map to its item as an asset."""
    import pystac
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.raster import DataType, RasterBand, RasterExtension

    asset = pystac.Asset(f"./{raster.path.name}", raster.title, media_type=COG, roles=["data"])
    item.add_asset(key, asset)
    bands = [
        RasterBand.create(nodata=IGNORE, data_type=DataType.UINT8, spatial_resolution=gsd)
        for _ in range(len(legend) if raster.per_class else 1)
    ]
    if not raster.categorical:
        for band in bands:
            band.scale, band.offset = 1 / 254, 0
    RasterExtension.ext(asset, add_if_missing=True).apply(bands)
    if raster.categorical:
        ClassificationExtension.ext(asset, add_if_missing=True).apply(classes(legend, counts))
    if raster.per_class:
        asset.extra_fields["bands"] = [{"name": identifier(n), "description": n} for n in legend.names]


def write_item(item: Item, path: Path, *, overwrite: bool = False) -> None:
    """Write an item as JSON. Raises ExistsError if the file exists and ``overwrite`` is False."""
    with atomic_write(path, overwrite=overwrite) as temporary:
        text = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
