"""Match the images of a domain file with the files of a data folder: which delivery is there, and the files of each scene."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsuda.core.errors import MissingError, unknown
from rsuda.core.spec import band_code, band_names
from rsuda.data.domain_files.domain_file import DomainFile
from rsuda.data.domain_files.file_patterns import match_files, matches_any
from rsuda.data.domain_files.image_files import ImageFiles
from rsuda.geo.polygons.input import NAMED_VECTORS


@dataclass(frozen=True)
class DeliveryFiles:
    """The images that a data folder has of a domain.

    Attributes:
        delivery: the delivery that is used.
        files: the rasters of each scene, in the order of the delivery's parts.
        notes: on scenes that lack a raster.
    """

    delivery: ImageFiles
    files: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def choose_variant(fields: DomainFile, files: Iterable[str], root: Path, bands: str | None) -> DeliveryFiles:
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
    rasters = [file for file in files if not file.lower().endswith(NAMED_VECTORS)]
    for variant in variants.values():
        matches = [match_files(rasters, text) for text in variant.patterns]
        if any(matches):
            return _whole_scenes(fields.name, variant, matches)
    patterns = " or ".join(text for variant in variants.values() for text in variant.patterns)
    raise MissingError(
        f"no image of domain {fields.name} in {root}: looked for {patterns}; to get the data: {fields.how_to_get}"
    )


def _whole_scenes(name: str, delivery: ImageFiles, matches: list[dict[str, str]]) -> DeliveryFiles:
    """Keep the scenes that have a file of each part."""
    every = {scene: None for part in matches for scene in part}
    files = {scene: tuple(part[scene] for part in matches) for scene in every if all(scene in part for part in matches)}
    incomplete_scenes = [
        (scene, next(text for text, part in zip(delivery.patterns, matches, strict=True) if scene not in part))
        for scene in every
        if scene not in files
    ]
    examples = ", ".join(f"{scene} ({text})" for scene, text in incomplete_scenes[:5]) + (
        " …" if len(incomplete_scenes) > 5 else ""
    )
    if not files:
        raise MissingError(
            f"no scene of domain {name} has all its {len(matches)} rasters; scenes and what they lack: {examples}: write the "
            "same field, such as {tile}, in all patterns"
        )
    notes = (
        [f"{len(incomplete_scenes)} of {len(every)} scenes of {name} lack a raster and are left out: {examples}"]
        if incomplete_scenes
        else []
    )
    return DeliveryFiles(delivery, files, tuple(notes))


def scenes_of_domain(fields: DomainFile, images: dict[str, tuple[str, ...]], root: Path) -> dict[str, tuple[str, ...]]:
    """Select the images whose scene names the field ``scenes`` lists. Raises MissingError without any."""
    scenes = {name: file for name, file in images.items() if matches_any(name, fields.scenes)}
    if not scenes:
        raise MissingError(
            f"none of the {len(images)} scenes in {root} belongs to domain {fields.name}: looked for scenes named "
            f"{' or '.join(fields.scenes)}; one of the names in the folder is {next(iter(images))}"
        )
    return scenes
