"""Domain files: their fields, checked before anything is looked for, and their patterns of file names."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from rsuda.core.display import shown
from rsuda.core.documents import read_yaml
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.legend import Legend
from rsuda.core.spec import band_code, band_names

KNOWN = {p.stem: p for p in sorted((Path(__file__).parent / "known").glob("*.yaml"))}
_FIELDS = {
    "name", "about", "get", "gsd", "gsd_of", "crs", "images", "labels", "bad_labels", "legend", "ignore", "clutter",
    "splits", "scenes", "protocol",
}  # fmt: skip
_EXTENDED = 5  # files that extend one another, at most
_WILD, _DEEP = 3, 2  # wildcards between two slashes, and '**/' in a pattern: more could be tried in too many ways


def described(name: str) -> dict[str, Any]:
    """What a known domain or a domain file says of itself: about, GSD, bands, classes, splits, the layout of files that is
    looked for below the data folder, and how to get the data. No data are read.

    Raises InputError, MissingError for another name.
    """
    path = KNOWN.get(name) or Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        raise unknown("domain", name, KNOWN)
    fields = fields_of(path)
    legend = Legend.from_fields(fields["legend"], fields.get("ignore"))
    return {
        "name": fields["name"], "about": fields.get("about"), "gsd": fields.get("gsd"), "gsd_of": fields.get("gsd_of"),
        "crs": fields.get("crs"), "bands": [band_code(band_names(v["bands"])) for v in fields["images"].values()],
        "classes": list(legend.names), "splits": fields.get("splits", {"all": ["*"]}),
        "images": [v["files"] for v in fields["images"].values()], "labels": fields.get("labels", []),
        "get": fields.get("get"),
    }  # fmt: skip


def fields_of(path: Path, extended: int = 0) -> dict[str, Any]:
    """The fields of a domain file, over those of the domain that it extends; every one is of its kind.

    Raises InputError or MissingError for a file that is no domain file.
    """
    fields = read_yaml(path, "domain file")
    if not isinstance(fields, dict):
        raise InputError(f"domain file {path} holds no fields")
    if "extends" in fields:
        name = str(fields.pop("extends"))
        if len(name) > 200 or "\0" in name:
            raise InputError(f"domain file {path} extends {shown(name)}, which is no file")
        base = KNOWN.get(name) or path.parent / name
        if not base.is_file():
            raise MissingError(f"domain file {path} extends {base}, which is not there")
        if extended == _EXTENDED:
            raise InputError(f"domain file {path} extends {shown(name)}, and so on more than {_EXTENDED} times")
        fields = fields_of(base, extended + 1) | fields
    for key in fields:
        if key not in _FIELDS:
            raise unknown(f"field in domain file {path}", str(key), _FIELDS)
    for key in ("images", "legend"):
        if key not in fields:
            raise InputError(f"domain file {path} lacks the field '{key}'")
    images = fields["images"]
    variants = list(images.values()) if isinstance(images, dict) else []
    if not variants or not all(isinstance(v, dict) and None not in (v.get("files"), v.get("bands")) for v in variants):
        form = 'RGB: {files: "**/{tile}.tif", bands: RGB}'
        raise InputError(f"'images' of domain file {path} is not of the form {form}")
    if not isinstance(fields["legend"], list):
        raise InputError(f"'legend' of domain file {path} is no list of classes")
    for field, value, form, fits in _kinds(fields, variants):
        if value is not None and not fits(value):
            raise InputError(f"'{field}' of domain file {path} is not {form}: {shown(value)}")
    return {"name": path.stem, **{k: v for k, v in fields.items() if v is not None}}


def _kinds(fields: dict[str, Any], variants: list[dict[str, Any]]) -> list[tuple[str, Any, str, Any]]:
    """Field, value, what it should be, and whether it is."""
    texts = ("name", "about", "get", "crs", "clutter")
    found = [(k, fields.get(k), "text", lambda v: isinstance(v, str | int | float)) for k in texts]
    found += [("files", v["files"], "a pattern of file names", _is_text) for v in variants]
    found += [("bands", v["bands"], "RGB, IRRG, … or a list of names", _is_bands) for v in variants]
    found += [
        ("gsd", fields.get("gsd"), "metres per pixel", _is_length),
        ("gsd_of", fields.get("gsd_of"), "'pattern of scenes: metres per pixel'",
         lambda v: isinstance(v, dict) and all(_is_length(m) for m in v.values()) and _are_texts(list(v))),
        ("labels", fields.get("labels"), "a list of patterns of file names", _are_texts),
        ("scenes", fields.get("scenes"), "a list of patterns of scenes", _are_texts),
        ("ignore", fields.get("ignore"), "a list of colours or values", lambda v: isinstance(v, list)),
        ("bad_labels", fields.get("bad_labels"), "'file: reason'", lambda v: isinstance(v, dict)),
        ("splits", fields.get("splits"), "'split: list of patterns of scenes'",
         lambda v: isinstance(v, dict) and _are_texts(list(v)) and all(map(_are_texts, v.values()))),
    ]  # fmt: skip
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    """A list of texts; YAML reads some names of tiles as numbers."""
    return isinstance(value, list) and all(isinstance(v, str | int | float) for v in value)


def _is_bands(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and bool(value) and all(map(_is_text, value)))


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def pattern(text: str) -> re.Pattern[str]:
    """A glob with named fields, '**/top_{tile}_RGB.tif', as a regular expression on paths relative to the data folder.

    Raises InputError for a field that is no name, and for more wildcards than could be tried in all ways in a moment.
    """
    text = re.sub(r"(\*\*/)+", "**/", text)
    if len(text) > 500 or text.count("**/") > _DEEP or max(map(_wildcards, text.split("/"))) > _WILD:
        raise InputError(
            f"the pattern {shown(text)} of a domain file has more than {_WILD} wildcards (*, ? and {{field}}) between slashes, "
            f"more than {_DEEP} '**/', or more than 500 characters"
        )
    out = ""
    for piece in re.split(r"(\*\*/|\*|\?|\{\w+\})", text):
        if piece == "**/":
            out += r"(?:.*/)?"
        elif piece == "*":
            out += r"[^/]*"
        elif piece == "?":
            out += r"[^/]"
        elif piece.startswith("{") and piece.endswith("}"):
            field_name = piece[1:-1]
            if not field_name.isidentifier() or not field_name.isascii():
                raise InputError(
                    f"'{piece}' in the pattern {shown(text)} of a domain file is no field: name it as {{tile}}"
                )
            out += rf"(?P={field_name})" if f"<{field_name}>" in out else rf"(?P<{field_name}>[^/]+?)"
        else:
            out += re.escape(piece)
    return re.compile(out)


def _wildcards(part: str) -> int:
    """Of a pattern between two slashes; '**' before a slash is counted elsewhere, and '?' fits in one way only."""
    return 0 if part == "**" else len(re.findall(r"\*|\{\w+\}", part))
