"""Read domain files (YAML) and validate their fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from rsuda.core.display import shown
from rsuda.core.documents import read_yaml
from rsuda.core.errors import InputError, MissingError, unknown
from rsuda.core.legend import Legend
from rsuda.core.spec import band_code
from rsuda.core.validation import FrozenModel, validate
from rsuda.data.domain_files.field_types import Crs, Length, Patterns, Pixels, Text
from rsuda.data.domain_files.image_files import ImageFiles, as_deliveries
from rsuda.data.domain_files.label_files import LabelEntries

_ENDINGS = (".yaml", ".yml")
KNOWN = {path.stem: path for path in sorted((Path(__file__).parent / "catalogue").glob("*.yaml"))}
_DEEPEST = 5  # files that extend one another


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
    crs: Crs | None = None
    nodata: float | None = None
    images: Annotated[dict[Text, ImageFiles], BeforeValidator(as_deliveries), Field(min_length=1)]
    labels: LabelEntries = ()
    bad_labels: dict[Text, Any] = Field(default={}, description="file name: reason to refuse it")
    hints: LabelEntries = Field(default=(), description="an old map or rough polygons, written like labels")
    legend: list[Any] | None = None
    ignore: tuple[Any, ...] = ()
    tolerance: float = Field(default=0, ge=0, description="distance of a label pixel from the colour of its class")
    classes: dict[Text, Any] = Field(default={}, description="own class: common class")
    clutter: Text | None = None
    splits: dict[Text, Patterns] = Field(default={"train": ("*",)})
    scenes: Patterns = ("*",)
    protocol: TileProtocol | None = None

    @model_validator(mode="after")
    def _check_legend(self) -> Self:
        if self.class_legend is None:
            if self.labels or self.hints or self.ignore or self.classes or self.clutter is not None:
                raise ValueError(
                    "field legend is missing: list the classes of the labels, each with a name and a colour"
                )
            return self
        names = self.class_legend.names
        if self.clutter is not None and self.clutter not in (*names, *self.class_legend.own.names):
            raise ValueError(
                f"'clutter' is {shown(self.clutter)}, which is not a class of the legend: use one of {', '.join(names)}"
            )
        for name, entries in (("labels", self.labels), ("hints", self.hints)):
            for number, entry in enumerate(entries):
                try:
                    entry.check_classes(self.class_legend.own)
                except InputError as error:
                    raise ValueError(f"{name}.{number}: {error}") from None
        return self

    @property
    def class_legend(self) -> Legend | None:
        """The legend of ``legend`` and ``ignore``, its classes merged by ``classes``; None for a target without labels."""
        if self.legend is None:
            return None
        legend = Legend.from_fields(self.legend, list(self.ignore), self.tolerance)
        return legend.merged(self.classes) if self.classes else legend

    @property
    def common_clutter(self) -> str | None:
        """The clutter class by its common name; None if it is ignored."""
        return self.class_legend.name_of(self.clutter) if self.class_legend else None

    def nodata_of(self, bands: tuple[str, ...]) -> float | None:
        """Return the nodata value of the delivery with these bands, else of the domain."""
        nodata = self.variants[band_code(bands)].nodata
        return self.nodata if nodata is None else nodata

    @property
    def how_to_get(self) -> str:
        """Advice on how to get the data, for a sentence."""
        return self.get or "see its publisher"

    @property
    def variants(self) -> dict[str, ImageFiles]:
        """The deliveries of the images by the code of their band order, such as 'IRRG'."""
        return {band_code(images.all_bands): images for images in self.images.values()}


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
        "bands": [band_code(variant.all_bands) for variant in images],
        "classes": list(fields.class_legend.names) if fields.class_legend else None,
        "splits": {split: list(patterns) for split, patterns in fields.splits.items()},
        "images": [text for variant in images for text in variant.patterns],
        "labels": [labels.files for labels in fields.labels],
        "get": fields.get,
    }


def read_domain_file(path: Path) -> DomainFile:
    """Read a domain file, merged over the domain that it extends.

    Raises:
        MissingError: the file, or a file that it extends, is missing.
        InputError: a field is unknown, missing or invalid.
    """
    near = None if path.exists() else file_near(path)
    if near is not None:
        raise MissingError(f"there is no domain file {path}: did you mean {near}?")
    fields = {key: value for key, value in _merged_fields(path).items() if value is not None}
    return validate(DomainFile, fields, "field", where=f"domain file {path}")


def file_near(name: Path) -> Path | None:
    """Find the domain file of a name without its ending: in the folder of the name, or among those of a checkout."""
    stem = name.with_suffix("") if name.suffix in _ENDINGS else name
    places = [stem, Path("configs/domains") / stem.name]
    return next((file for place in places for end in _ENDINGS if (file := Path(f"{place}{end}")).is_file()), None)


def unknown_domain(name: str, *others: str) -> InputError:
    """Build the error for the name of no domain; it names a domain file of this name that lies near.

    Args:
        others: what else a user may pass.
    """
    near = file_near(Path(name))
    if near is None:
        return unknown("domain", name, [*KNOWN, *others])
    return InputError(f"unknown domain '{name}': to use its domain file, pass {near}")


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
