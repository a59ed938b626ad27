"""Domain files (YAML): read and validate their fields, and match their patterns of file names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from rsuda.core.display import shown
from rsuda.core.documents import read_yaml
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.legend import Legend
from rsuda.core.spec import band_code, band_names
from rsuda.core.validation import FrozenModel, validate

KNOWN = {path.stem: path for path in sorted((Path(__file__).parent / "known").glob("*.yaml"))}
_DEEPEST = 5  # files that extend one another
_WILDCARDS, _FOLDERS = 3, 2  # wildcards between two slashes and '**/' in a pattern; matching more would take too long


def pattern(text: str) -> re.Pattern[str]:
    """Compile a glob with named fields, '**/top_{tile}_RGB.tif', for paths relative to the data folder.

    Raises:
        InputError: a field is not an identifier, or the pattern has too many wildcards to match quickly.
    """
    text = re.sub(r"(\*\*/)+", "**/", text)
    if len(text) > 500 or text.count("**/") > _FOLDERS or max(map(_count_wildcards, text.split("/"))) > _WILDCARDS:
        raise InputError(
            f"the pattern {shown(text)} of a domain file is too long or has too many wildcards: use at most 500 characters, "
            f"{_FOLDERS} '**/', and {_WILDCARDS} of * and {{field}} between two slashes"
        )
    expression = ""
    for piece in re.split(r"(\*\*/|\*|\?|\{\w+\})", text):
        if piece.startswith("{") and piece.endswith("}"):
            expression += _named_group(piece[1:-1], expression, text)
        else:
            expression += {"**/": r"(?:.*/)?", "*": r"[^/]*", "?": r"[^/]"}.get(piece, re.escape(piece))
    return re.compile(expression)


def _named_group(name: str, expression: str, text: str) -> str:
    """The group of a field; a field that occurs again must match the same text."""
    if not name.isidentifier() or not name.isascii():
        raise InputError(
            f"'{{{name}}}' in the pattern {shown(text)} of a domain file is not a field name: write {{tile}}, for example"
        )
    return rf"(?P={name})" if f"<{name}>" in expression else rf"(?P<{name}>[^/]+?)"


def _count_wildcards(part: str) -> int:
    """Count * and {field} between two slashes; '?' matches in one way only, and '**' is counted elsewhere."""
    return 0 if part == "**" else len(re.findall(r"\*|\{\w+\}", part))


def _text(value: Any) -> Any:
    """YAML reads some names of tiles as numbers."""
    return str(value) if isinstance(value, int | float) else value


def _bands(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{shown(value)} is not a band order: write RGB, IRRG, … or a list of names")
    return band_names(value)


def _is_pattern(text: str) -> str:
    pattern(text)
    return text


Text = Annotated[str, BeforeValidator(_text)]
FilePattern = Annotated[Text, AfterValidator(_is_pattern)]
Length = Annotated[float, Field(gt=0, strict=True)]
Pixels = Annotated[int, Field(ge=1, strict=True)]


class ImageFiles(FrozenModel):
    """One delivery of a domain's images: a pattern of file names and the band order of the files."""

    files: FilePattern
    bands: Annotated[tuple[str, ...], PlainValidator(_bands)]


class TileProtocol(FrozenModel):
    """Window and stride in pixels of a published tile list."""

    window: Pixels
    stride: Pixels


class DomainFile(FrozenModel):
    """The validated fields of a domain file; docs/domains.md describes them."""

    name: Text
    about: Text | None = None
    get: Text | None = None
    gsd: Length | None = None
    gsd_of: dict[Text, Length] = Field(default={}, description="pattern of scene names: metres per pixel")
    crs: Text | None = None
    images: Annotated[dict[Text, ImageFiles], Field(min_length=1)]
    labels: tuple[FilePattern, ...] = ()
    bad_labels: dict[Text, Any] = Field(default={}, description="file name: reason to refuse it")
    legend: list[Any]
    ignore: tuple[Any, ...] = ()
    clutter: Text | None = None
    splits: dict[Text, tuple[Text, ...]] = Field(default={"all": ("*",)})
    scenes: tuple[Text, ...] = ("*",)
    protocol: TileProtocol | None = None

    @model_validator(mode="after")
    def _check_legend(self) -> Self:
        names = self.class_legend.names
        if self.clutter is not None and self.clutter not in names:
            raise ValueError(
                f"'clutter' is {shown(self.clutter)}, which is not a class of the legend: use one of {', '.join(names)}"
            )
        return self

    @property
    def class_legend(self) -> Legend:
        """The legend of the fields ``legend`` and ``ignore``."""
        return Legend.from_fields(self.legend, list(self.ignore))

    @property
    def how_to_get(self) -> str:
        """How to get the data, for a sentence."""
        return self.get or "see its publisher"

    @property
    def variants(self) -> dict[str, ImageFiles]:
        """The deliveries of the images by the code of their band order, such as 'IRRG'."""
        return {band_code(images.bands): images for images in self.images.values()}


def describe(name: str) -> dict[str, Any]:
    """Describe a known domain or a domain file; no data are read.

    Returns:
        about, GSD, bands, classes, splits, the patterns of files below the data folder, and how to get the data.

    Raises:
        InputError, MissingError: unknown domain, or an invalid domain file.
    """
    path = KNOWN.get(name) or Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        raise unknown("domain", name, KNOWN)
    fields = read_domain_file(path)
    images = fields.images.values()
    return {
        "name": fields.name,
        "about": fields.about,
        "gsd": fields.gsd,
        "gsd_of": fields.gsd_of or None,
        "crs": fields.crs,
        "bands": [band_code(variant.bands) for variant in images],
        "classes": list(fields.class_legend.names),
        "splits": {split: list(patterns) for split, patterns in fields.splits.items()},
        "images": [variant.files for variant in images],
        "labels": list(fields.labels),
        "get": fields.get,
    }


def read_domain_file(path: Path) -> DomainFile:
    """Read a domain file, merged over the domain that it extends.

    Raises:
        MissingError: the file, or a file that it extends, is missing.
        InputError: a field is unknown, missing or invalid.
    """
    fields = {key: value for key, value in _merged_fields(path).items() if value is not None}
    return validate(DomainFile, fields, "field", where=f"domain file {path}")


def _merged_fields(path: Path, depth: int = 0) -> dict[str, Any]:
    fields = read_yaml(path, "domain file")
    if not isinstance(fields, dict):
        raise InputError(f"domain file {path} has no fields: write 'name: value' lines")
    if not all(isinstance(key, str) for key in fields):
        raise InputError(f"domain file {path} has a field whose name is not text: {shown(list(fields))}")
    if "extends" not in fields:
        return {"name": path.stem, **fields}
    name = str(fields.pop("extends"))
    if len(name) > 200 or "\0" in name:
        raise InputError(f"domain file {path} extends {shown(name)}, which is not a file name")
    base = KNOWN.get(name) or path.parent / name
    if not base.is_file():
        raise MissingError(f"domain file {path} extends {base}, which is missing")
    if depth == _DEEPEST:
        raise InputError(f"domain file {path}: 'extends' is nested more than {_DEEPEST} deep (a cycle?)")
    return _merged_fields(base, depth + 1) | fields
