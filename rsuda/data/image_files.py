"""Find the images of a domain file's scenes in a data folder: its deliveries, and the files of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import PlainValidator

from rsuda.core.errors import MissingError, unknown
from rsuda.core.spec import band_code, band_names
from rsuda.core.validation import FrozenModel
from rsuda.data.field_types import FilePattern, band_list
from rsuda.data.file_patterns import match_files, matches_any
from rsuda.geo.raster import SUFFIXES

if TYPE_CHECKING:
    from rsuda.data.domain_file import DomainFile


class ImageFiles(FrozenModel):
    """One delivery of a domain's images: a pattern of file names and the band order of the files."""

    files: FilePattern
    bands: Annotated[tuple[str, ...], PlainValidator(band_list)]
    nodata: float | None = None


def choose_variant(
    fields: DomainFile, files: Iterable[str], root: Path, bands: str | None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Choose the delivery with these bands, or the first one with files: its band names, and its files by scene."""
    variants = fields.variants
    if bands:
        code = band_code(band_names(bands))
        if code not in variants:
            raise unknown(f"band order of domain {fields.name}", code, variants)
        variants = {code: variants[code]}
    rasters = [file for file in files if file.lower().endswith(SUFFIXES)]
    for variant in variants.values():
        if matches := match_files(rasters, variant.files):
            return variant.bands, matches
    patterns = " or ".join(variant.files for variant in variants.values())
    raise MissingError(
        f"no image of domain {fields.name} in {root}: looked for {patterns}; to get the data: {fields.how_to_get}"
    )


def scenes_of_domain(fields: DomainFile, images: dict[str, str], root: Path) -> dict[str, str]:
    """Those images whose scene names the field ``scenes`` lists."""
    chosen = {name: file for name, file in images.items() if matches_any(name, fields.scenes)}
    if not chosen:
        raise MissingError(
            f"none of the {len(images)} scenes in {root} belongs to domain {fields.name}: looked for scenes named "
            f"{' or '.join(fields.scenes)}; one of the names in the folder is {next(iter(images))}"
        )
    return chosen
