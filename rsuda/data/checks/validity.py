"""Say what a user should know of the pixels without data: collars that nothing marks, nodata values that are classes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import Legend
from rsuda.geo.rasters.alignment import PlacedFile
from rsuda.geo.rasters.collars import find_collar
from rsuda.geo.rasters.labels import blurred_note, nodata_note
from rsuda.geo.scenes.scene import Scene

_MOST = 8  # scenes of a domain that are looked at


def collar_notes(name: str, scenes: Sequence[Scene], bands: tuple[str, ...] | None) -> list[str]:
    """Say that scenes of a domain have collars that nothing marks, in these or all bands; the first scenes are looked at.

    Scenes that cannot be opened are left out.
    """
    collars = {}
    for scene in scenes[:_MOST]:
        with suppress(InputError, MissingError):
            numbers = scene.file.band_numbers(bands) if bands else scene.file.image_numbers
            if collar := find_collar(scene.file, numbers):
                collars[scene] = collar
    if not collars:
        return []
    scene, collar = next(iter(collars.items()))
    sample_size = min(len(scenes), _MOST)
    return [f"{len(collars)} of {sample_size} scenes of {name} have a collar; {scene.image}: {collar}"]


def label_nodata_notes(scenes: Sequence[Scene], legend: Legend) -> list[str]:
    """Say that the nodata value of labels is a class of the legend, and that values are blurred: each of the first label."""
    files = [scene.label_file for scene in scenes[:_MOST] if scene.label is not None]
    notes = []
    for say in (nodata_note, blurred_note):
        sentences = (say(file.file, legend) for file in files if isinstance(file, PlacedFile))
        notes += [sentence for sentence in sentences if sentence][:1]
    return notes
