"""Find the hints of a domain file: an old map or rough polygons that say what pixels may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from rsuda.core.errors import MissingError
from rsuda.data.domain_files.domain_file import DomainFile
from rsuda.data.domain_files.match_labels import match_labels
from rsuda.data.domains.archives import path_of
from rsuda.geo.scenes.scene import Scene


def hint_scenes(
    fields: DomainFile, scenes: Mapping[str, Scene], files: Iterable[str], images: Mapping[str, str], root: Path
) -> dict[str, Scene]:
    """Find the hints of a domain file: scenes by name, each with hints in place of its label.

    Args:
        scenes: of the domain.
        files: of the data folder.
        images: image file of each scene.
        root: the data folder.

    Raises:
        MissingError: an entry of ``hints`` matches no file.
    """
    hints = match_labels(fields.hints, files, images, root, {})
    for part in hints.sets:
        if not part.matches:
            raise MissingError(f"hints {part.files} of domain {fields.name} match no file in {root}")
    return {
        name: replace(
            scenes[name],
            label=path_of(root, file),
            polygons=hints.polygons.get(name, ()),
            legend=fields.class_legend,
        )
        for name, file in hints.files.items()
    }
