"""Make a domain of a STAC item, of a search result, or of the items of a static collection or catalogue.

An item is a scene. Its bands are those of one asset, or of assets with one band each, which are read as one raster.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rsuda.core.display import printable, quoted
from rsuda.core.errors import InputError, MissingError, check_extra
from rsuda.core.legend import Legend
from rsuda.core.spec import band_code, band_names
from rsuda.core.spelling import spell
from rsuda.data.domains.domain import Domain, some_names
from rsuda.geo.maps.class_names import class_colours
from rsuda.geo.rasters.raster import SUFFIXES, is_remote
from rsuda.geo.rasters.stack import ExtraRaster
from rsuda.geo.scenes.scene import Scene

if TYPE_CHECKING:
    from pystac import Asset, Item

_MOST = 10_000  # items of a collection
_PASS_STAC = "pass the JSON of an item, a collection or a catalogue"
_IMAGES = ("image/tiff", "image/jp2", "image/png", "image/jpeg", "image/vnd.stac.geotiff", "application/x-geotiff")
_LABELS = {"labels", "label", "labels-raster"}
_OTHERS = {"thumbnail", "overview", "metadata", "cloud", "cloud-shadow", "snow-ice", "water-mask", "data-mask", "mask"}


@dataclass(frozen=True)
class _Image:
    """An asset with pixels: its band names in file order, and nodata; None where the item does not say them."""

    key: str
    href: Path | str
    bands: tuple[str, ...] | None
    roles: frozenset[str]
    nodata: float | None = None


def is_stac(place: str) -> bool:
    """Check whether a place is a JSON file, or an address of an item or collection."""
    if not is_remote(place):
        return place.lower().endswith((".json", ".geojson")) and os.path.isfile(place)
    path = urlsplit(place).path.lower()
    is_address = place.startswith(("http://", "https://")) and ("/collections/" in path or "/items/" in path)
    return path.endswith(".json") or (is_address and not path.endswith(SUFFIXES))


def domain_of_stac(place: str, bands: str | None, gsd: float | None) -> Domain:
    """Make a domain of STAC items; maps that rsuda wrote are left out.

    Labels are assets with the role 'labels'; their 'classification:classes' are the legend.

    Args:
        place: file or URL of an item, an item collection, or a static collection or catalogue.
        bands: bands to read, by name; by default the asset of several bands, else all assets of one band.
        gsd: metres per pixel, which overrides the files.

    Raises:
        MissingError: it cannot be read.
        InputError: PySTAC is not installed, the place is not STAC, or an item has no image, or several that fit.
    """
    check_extra("export", "pystac")
    name, items = _read(place)
    images = [item for item in items if "rsuda" not in (item.properties.get("processing:software") or {})]
    if not images:
        reason = "its items are maps of rsuda" if items else "it has no items: name an item or a static collection"
        raise InputError(f"{printable(place)} holds no imagery, since {reason}")
    maps = len(items) - len(images)
    notes = [f"{maps} items of {printable(place)} are maps of rsuda and left out"] if maps else []
    order = band_names(bands) if bands else None
    scenes: dict[str, Scene] = {}
    for item in images:
        scene = _scene(item, order, gsd, item.id if item.id not in scenes else f"{item.id}_{len(scenes)}")
        scenes[scene.name] = scene
    orders = {_all_bands(scene) for scene in scenes.values()}
    legend = _legend(images)
    labels = [scene.name for scene in scenes.values() if scene.label is not None]
    if labels and legend is None:
        notes.append(
            f"the labels of {some_names(labels)} are not used, since they have no 'classification:classes': name the files in "
            "a domain file (YAML) with a legend"
        )
    names = list(scenes)
    common = orders.pop() if len(orders) == 1 else order
    return Domain(name, scenes, common, legend, {"all": names, "train": names}, notes=tuple(notes))


def _all_bands(scene: Scene) -> tuple[str, ...] | None:
    if scene.bands is None:
        return scene.file.band_order
    return scene.bands + tuple(band for raster in scene.more for band in raster.bands)


def _read(place: str) -> tuple[str, list[Item]]:
    """Read the name of a STAC object, and its items."""
    import pystac

    stac_io = pystac.StacIO.default()
    try:
        text = stac_io.read_text(place)
    except Exception as error:  # of the system, of urllib or of PySTAC
        raise MissingError(f"cannot read {printable(place)}: {quoted(error.__cause__ or error)}") from None
    try:
        fields = json.loads(text)
        if fields.get("type") == "FeatureCollection":
            collection = pystac.ItemCollection.from_dict(_with_self(fields, place), preserve_dict=False)
            return Path(urlsplit(place).path).stem, list(collection.items)[:_MOST]
        stac_object = pystac.read_dict(fields, href=place if is_remote(place) else os.path.abspath(place))
        if isinstance(stac_object, pystac.Item):
            return stac_object.id, [stac_object]
        if isinstance(stac_object, pystac.Catalog):
            return stac_object.id, list(islice(stac_object.get_items(recursive=True), _MOST))
    except Exception as error:  # pystac and its readers raise many kinds for other documents than STAC
        raise InputError(f"{printable(place)} is not valid STAC ({quoted(error, 200)}): {_PASS_STAC}") from None
    raise InputError(f"{printable(place)} is not valid STAC: {_PASS_STAC}")


def _with_self(fields: dict[str, Any], place: str) -> dict[str, Any]:
    """Make a search result whose items without a link to themselves lie where the result lies."""
    href = place if is_remote(place) else os.path.abspath(place)
    for item in fields.get("features", []):
        links = item.setdefault("links", [])
        if not any(link.get("rel") == "self" for link in links):
            links.append({"rel": "self", "href": href})
    return fields


def _scene(item: Item, order: tuple[str, ...] | None, gsd: float | None, name: str) -> Scene:
    images = _images(item)
    parts = _of_bands(item, images, order) if order else _of_roles(item, images)
    labels = [asset for asset in item.assets.values() if _LABELS & set(asset.roles or ()) and _is_raster(asset)]
    return Scene(
        name=name.replace("/", "_"),
        image=parts[0].href,
        label=_href(labels[0]) if labels else None,
        bands=parts[0].bands,
        declared_gsd=gsd,
        nodata=parts[0].nodata,
        more=tuple(ExtraRaster(part.href, part.bands or (), part.nodata) for part in parts[1:]),
    )


def _images(item: Item) -> list[_Image]:
    """List the assets of an item that may be its image, GeoTIFFs before others."""
    images = []
    for key, asset in item.assets.items():
        roles = frozenset(asset.roles or ())
        if _is_raster(asset) and not roles & (_LABELS | _OTHERS):
            images.append(_Image(key, _href(asset), _band_names(asset), roles, _nodata(asset)))
    if not images:
        raise InputError(f"the STAC item {item.id} has no image: its assets are {some_names(item.assets)}")
    return sorted(images, key=lambda image: not urlsplit(str(image.href)).path.lower().endswith((".tif", ".tiff")))


def _is_raster(asset: Asset) -> bool:
    return (asset.media_type or "").startswith(_IMAGES) or urlsplit(asset.href).path.lower().endswith(SUFFIXES)


def _href(asset: Asset) -> Path | str:
    href = asset.get_absolute_href() or asset.href
    if href.startswith("file://"):
        href = href.removeprefix("file://")
    return href if is_remote(href) else Path(href)


def _band_names(asset: Asset) -> tuple[str, ...] | None:
    """Read band names as common names, or as plain names where bands share a common one; None if a band has neither."""
    fields = asset.extra_fields.get("eo:bands") or asset.extra_fields.get("bands") or []
    common = [band.get("eo:common_name") or band.get("common_name") for band in fields]
    names = [
        text if text and common.count(text) == 1 else band.get("name") or text
        for text, band in zip(common, fields, strict=True)
    ]
    if not names or not all(names):
        return None
    try:
        return band_names(names)
    except InputError:
        return None


def _nodata(asset: Asset) -> float | None:
    """Read the nodata value of an asset, where its bands share a number."""
    bands = asset.extra_fields.get("raster:bands") or asset.extra_fields.get("bands") or []
    values = {band.get("nodata") for band in bands}
    value = values.pop() if len(values) == 1 else None
    return float(value) if isinstance(value, int | float) else None


def _of_bands(item: Item, images: Sequence[_Image], order: tuple[str, ...]) -> list[_Image]:
    """Find the asset that has all bands, or else an asset of one band for each."""
    for image in sorted(images, key=lambda image: len(image.bands or ())):
        if image.bands and set(order) <= set(image.bands):
            return [image]
    parts = []
    for band in order:
        part = next((image for image in images if image.bands == (band,)), None)
        if part is None:
            without_bands = [image for image in images if image.bands is None]
            if len(without_bands) == len(images) == 1:
                return [replace(without_bands[0], bands=order)]
            raise InputError(
                f"the STAC item {item.id} has no band {band} in an asset of its own: its assets are {_listed(images)}"
            )
        parts.append(part)
    return parts


def _of_roles(item: Item, images: Sequence[_Image]) -> list[_Image]:
    """Find the asset of several bands with the role 'data'.

    Without one, find all assets of one band; without those, the visual or the only one.
    """
    several = [image for image in images if len(image.bands or ()) > 1 and "visual" not in image.roles]
    single: dict[str, _Image] = {}
    for image in images:
        if image.bands is not None and len(image.bands) == 1:
            single.setdefault(image.bands[0], image)
    visual = [image for image in images if "visual" in image.roles]
    data = [image for image in images if "data" in image.roles]
    for choice in (several, [*single.values()] if len(single) > 1 else [], data, visual, list(images)):
        if choice and choice == list(single.values()):
            return choice
        if len(choice) == 1:
            return choice
        if choice:
            break
    raise InputError(
        f"the STAC item {item.id} has several images: {_listed(images)}; name the bands, as in "
        f"{spell('target_bands', 'RGB')}"
    )


def _listed(images: Iterable[_Image]) -> str:
    return ", ".join(f"{image.key} ({band_code(image.bands) if image.bands else 'bands unknown'})" for image in images)


def _legend(items: Sequence[Item]) -> Legend | None:
    """Read the classes of the first item with labels that lists them."""
    for item in items:
        for asset in item.assets.values():
            if not _LABELS & set(asset.roles or ()):
                continue
            bands = asset.extra_fields.get("bands") or asset.extra_fields.get("raster:bands") or [{}]
            entries = asset.extra_fields.get("classification:classes") or bands[0].get("classification:classes")
            if entries:
                ignored_values = [entry["value"] for entry in entries if entry.get("nodata")]
                classes = [entry for entry in entries if not entry.get("nodata")]
                colours = class_colours(_class_name(entry) for entry in classes)
                fields = [_class(entry, colour) for entry, colour in zip(classes, colours, strict=False)]
                return Legend.from_fields(fields, ignored_values)
    return None


def _class_name(entry: dict[str, Any]) -> str:
    return str(entry.get("title") or entry.get("name") or entry.get("description") or f"class {entry.get('value')}")


def _class(entry: dict[str, Any], colour: str) -> dict[str, Any]:
    """Convert a class of the classification extension to a field of a legend."""
    hint = entry.get("color_hint")
    return {"name": _class_name(entry), "value": entry.get("value"), "colour": f"#{hint}" if hint else colour}
