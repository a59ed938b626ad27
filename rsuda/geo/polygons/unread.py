"""Say why a vector file cannot be read: it is empty, damaged, or an annotation in pixels of an image (COCO, LabelMe)."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

from rsuda.core.display import quoted

_MOST_BYTES = 1 << 26  # of a JSON file that is parsed
_MOST_FILES = 20  # JSON files of a folder that are looked at
_KEYS = (  # programs that draw in pixels of an image, and the keys of their files
    ("COCO JSON", {"images", "annotations"}),
    ("LabelMe JSON", {"shapes", "imagePath"}),
    ("JSON of the VGG annotator", {"_via_img_metadata"}),
    ("Cityscapes JSON", {"objects", "imgWidth"}),
)


def why_unreadable(path: Path, error: Exception) -> str:
    """Say what a vector file is that GDAL cannot read, and what to do; else what GDAL says."""
    try:
        if path.stat().st_size == 0:
            return "it is empty"
        if path.suffix.lower() in (".json", ".geojson") and path.stat().st_size <= _MOST_BYTES:
            return _why_json(path)
    except OSError:
        pass
    return re.sub(r"\.?;? It might help to specify.*", "", quoted(error))


def annotation_note(root: Path) -> str | None:
    """Say that a folder holds annotations in pixels of images, with the first as the example; None without any."""
    for path in sorted(root.rglob("*.json"))[:_MOST_FILES]:
        with suppress(OSError, ValueError, RecursionError):
            if path.stat().st_size <= _MOST_BYTES and (advice := _annotation(json.loads(path.read_bytes()))):
                return f"{path} is not used: {advice}"
    return None


def _why_json(path: Path) -> str:
    try:
        advice = _annotation(json.loads(path.read_bytes()))
    except ValueError as error:
        return f"its JSON is invalid ({quoted(error)}): export it again"
    except RecursionError:
        return "its JSON is nested too deeply: export it again"
    return advice or "it is JSON of another format than GeoJSON: export masks (PNG) or GeoJSON"


def _annotation(fields: object) -> str | None:
    """Say which program's annotation the content of a JSON file is; None for all else."""
    keys = set(fields) if isinstance(fields, dict) else set()
    for name, required_keys in _KEYS:
        if required_keys <= keys:
            return (
                f"it is {name}, whose polygons are in pixels of an image: export masks (PNG), or GeoJSON in a CRS, from the "
                "program that drew them"
            )
    return None
