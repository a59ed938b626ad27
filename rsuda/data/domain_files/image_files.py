"""Find the images of a domain file's scenes in a data folder: its deliveries, and the files of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import PlainValidator, model_validator

from rsuda.core.display import shown
from rsuda.core.errors import MissingError, unknown
from rsuda.core.spec import band_code, band_names
from rsuda.core.validation import FrozenModel
from rsuda.data.domain_files.field_types import FilePattern, band_list
from rsuda.data.domain_files.file_patterns import match_files, matches_any
from rsuda.geo.rasters.raster import SUFFIXES

if TYPE_CHECKING:
    from rsuda.data.domain_files.domain_file import DomainFile


class ImageFiles(FrozenModel):
    """One delivery of a domain's images: a pattern of file names and the band order of the files.

    Attributes:
        files: pattern of the files.
        bands: names of the bands of one file in their order.
        more: further rasters of the same scenes; a list in a domain file is the first raster and these.
    """

    files: FilePattern
    bands: Annotated[tuple[str, ...], PlainValidator(band_list)]
    nodata: float | None = None
    more: tuple[ImageFiles, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        """A list of rasters is one delivery, and ``{band}`` in a pattern stands for the name of each band."""
        entries = value if isinstance(value, list) else [value]
        parts = [part for entry in entries for part in _parts_of(entry)]
        return {**parts[0], "more": tuple(parts[1:])} if len(parts) > 1 else parts[0] if parts else value

    @model_validator(mode="after")
    def _check_bands(self) -> Self:
        every = [band for part in self.parts for band in part.bands]
        twice = next((band for band in every if every.count(band) > 1), None)
        if twice is not None:
            raise ValueError(f"band {shown(twice)} occurs twice in the rasters of a scene: give it another name in one")
        return self

    @property
    def parts(self) -> tuple[ImageFiles, ...]:
        """The rasters of a scene, the first one first."""
        return (self, *self.more)

    @property
    def all_bands(self) -> tuple[str, ...]:
        """Names of the bands of all rasters of a scene."""
        return tuple(band for part in self.parts for band in part.bands)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of all rasters of a scene."""
        return tuple(part.files for part in self.parts)


def as_deliveries(value: Any) -> Any:
    """Read the field ``images`` when it is a list: the rasters of one delivery."""
    return {"images": value} if isinstance(value, list) and value else value


def _parts_of(entry: Any) -> list[Any]:
    """One raster for each band, where a pattern has the field {band}; names as delivered replace it."""
    if not (isinstance(entry, dict) and "{band}" in str(entry.get("files")) and isinstance(entry.get("bands"), list)):
        return [entry]
    names = band_list(entry["bands"])
    files = str(entry["files"])
    return [
        {**entry, "files": files.replace("{band}", text), "bands": [name]}
        for text, name in zip(entry["bands"], names, strict=True)
    ]


@dataclass(frozen=True)
class ChosenImages:
    """The images that a data folder has of a domain.

    Attributes:
        delivery: the delivery that is used.
        files: the rasters of each scene, in the order of the delivery's parts.
        notes: on scenes that lack a raster.
    """

    delivery: ImageFiles
    files: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def choose_variant(fields: DomainFile, files: Iterable[str], root: Path, bands: str | None) -> ChosenImages:
    """Choose the delivery with these bands, or the first one with files.

    Raises:
        InputError: unknown bands, or no scene has all rasters of the delivery.
        MissingError: no file matches.
    """
    variants = fields.variants
    if bands:
        code = band_code(band_names(bands))
        if code not in variants:
            raise unknown(f"band order of domain {fields.name}", code, variants)
        variants = {code: variants[code]}
    rasters = [file for file in files if file.lower().endswith(SUFFIXES)]
    for variant in variants.values():
        matches = [match_files(rasters, text) for text in variant.patterns]
        if any(matches):
            return _whole_scenes(fields.name, variant, matches)
    patterns = " or ".join(text for variant in variants.values() for text in variant.patterns)
    raise MissingError(
        f"no image of domain {fields.name} in {root}: looked for {patterns}; to get the data: {fields.how_to_get}"
    )


def _whole_scenes(name: str, delivery: ImageFiles, matches: list[dict[str, str]]) -> ChosenImages:
    """Keep the scenes that have a file of each part."""
    every = {scene: None for part in matches for scene in part}
    files = {scene: tuple(part[scene] for part in matches) for scene in every if all(scene in part for part in matches)}
    lacking = [
        (scene, next(text for text, part in zip(delivery.patterns, matches, strict=True) if scene not in part))
        for scene in every
        if scene not in files
    ]
    listed = ", ".join(f"{scene} ({text})" for scene, text in lacking[:5]) + (" …" if len(lacking) > 5 else "")
    if not files:
        raise MissingError(
            f"no scene of domain {name} has all its {len(matches)} rasters; scenes and what they lack: {listed}: write the "
            "same field, such as {tile}, in all patterns"
        )
    notes = (
        [f"{len(lacking)} of {len(every)} scenes of {name} lack a raster and are left out: {listed}"] if lacking else []
    )
    return ChosenImages(delivery, files, tuple(notes))


def scenes_of_domain(fields: DomainFile, images: dict[str, tuple[str, ...]], root: Path) -> dict[str, tuple[str, ...]]:
    """Those images whose scene names the field ``scenes`` lists."""
    chosen = {name: file for name, file in images.items() if matches_any(name, fields.scenes)}
    if not chosen:
        raise MissingError(
            f"none of the {len(images)} scenes in {root} belongs to domain {fields.name}: looked for scenes named "
            f"{' or '.join(fields.scenes)}; one of the names in the folder is {next(iter(images))}"
        )
    return chosen
