"""Match the labels of a domain file with its scenes: by patterns of file names, in a folder, or one file for all scenes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsuda.core.errors import MissingError
from rsuda.data.domain_files.file_patterns import has_signs, is_outside, match_files
from rsuda.data.domain_files.label_files import LabelFiles
from rsuda.data.domains.domain import LabelSet
from rsuda.geo.polygons.classes import PolygonLayer
from rsuda.geo.polygons.input import NAMED_VECTORS
from rsuda.geo.rasters.raster import SUFFIXES

_EXAMPLES = 3  # names of files in a sentence
_KINDS = (
    "mask|masks|label|labels|gt|seg|segmentation|annotation|annotations|target|image|img|rgb|ortho|"
    "gtfine|labelids|leftimg8bit"  # as Cityscapes names them
)
_AFFIX = re.compile(rf"(?i)^(?:{_KINDS})[_\- .]+|[_\- .]+(?:{_KINDS})$")


@dataclass
class Labels:
    """The labels of a domain's scenes.

    Attributes:
        files: label file of each scene.
        polygons: layers of each scene whose label is read as polygons.
        refusals: scenes whose only label is refused, with a sentence.
        sets: what each entry of the domain file labels.
    """

    files: dict[str, str] = field(default_factory=dict)
    polygons: dict[str, tuple[PolygonLayer, ...]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    sets: tuple[LabelSet, ...] = ()


def match_labels(
    entries: Sequence[LabelFiles],
    files: Iterable[str],
    images: Mapping[str, str],
    root: Path,
    bad_labels: Mapping[str, Any],
) -> Labels:
    """Find the label of each scene: the first entry that matches counts.

    Consecutive entries that say how to read polygons of the same scenes are layered, the later one on top.

    Args:
        entries: of a domain file's ``labels`` or ``hints``.
        images: image file of each scene.
        root: the data folder.
        bad_labels: reasons to refuse files, by name.

    Raises:
        MissingError: a mapping names one file, which is missing.
    """
    files, result = list(files), Labels()
    matches = [_match_entry(entry, files, images, root) for entry in entries]
    sets: list[LabelSet] = []
    first = 0
    while first < len(matches):
        end = first + 1
        while end < len(matches) and _are_layers(entries, matches, first, end):
            end += 1
        before = set(result.files)
        for scene, file in matches[first].items():
            if scene in images and scene not in before:
                reason = bad_labels.get(Path(file).name)
                if reason:
                    result.refusals[scene] = f"label {Path(file).name} is refused: {reason}"
                else:
                    _add(result, entries[first:end], matches[first:end], scene, file, root)
        count = len(set(result.files) - before)
        for number in range(first, end):
            entry = entries[number]
            others = [file for scene, file in matches[number].items() if scene not in images]
            sets.append(LabelSet(entry.files, count, len(matches[number]), tuple(others[:_EXAMPLES]), entry.about))
        first = end
    result.refusals = {name: note for name, note in result.refusals.items() if name not in result.files}
    result.sets = tuple(sets)
    return result


def _add(
    result: Labels,
    layers: Sequence[LabelFiles],
    matches: Sequence[Mapping[str, str]],
    scene: str,
    file: str,
    root: Path,
) -> None:
    """Add the label of a scene; several entries are layers of polygons."""
    result.files[scene] = file
    if any(layer.reads_polygons for layer in layers):
        result.polygons[scene] = tuple(
            layer.polygon_layer(root, files[scene]) for layer, files in zip(layers, matches, strict=True)
        )


def _are_layers(entries: Sequence[LabelFiles], matches: Sequence[Mapping[str, str]], first: int, number: int) -> bool:
    """Check whether an entry is a layer over the one before it: both read polygons of the same scenes."""
    vectors = all(_is_vector(file) for k in (first, number) for file in matches[k].values())
    return (
        entries[first].reads_polygons
        and entries[number].reads_polygons
        and vectors
        and bool(matches[first])
        and set(matches[first]) == set(matches[number])
    )


def _is_vector(file: str) -> bool:
    return file.lower().endswith(NAMED_VECTORS)


def _match_entry(entry: LabelFiles, files: list[str], images: Mapping[str, str], root: Path) -> dict[str, str]:
    """Label files of one entry by scene; files of other scenes have the name that their pattern gives them."""
    text = entry.pattern
    if not has_signs(text):
        is_file = text.lower().endswith((*SUFFIXES, *NAMED_VECTORS)) or (root / Path(text).expanduser()).is_file()
        if text.endswith("/") or not is_file:
            return _in_folder(text, files, images)
        return _one_file(entry, images, root)
    image_files = set(images.values())
    matches = match_files((file for file in files if file not in image_files), text, copies=True)
    if "{" not in text and not set(matches) & set(images):
        return _by_stem(list(matches.values()), images)
    return matches


def _one_file(entry: LabelFiles, images: Mapping[str, str], root: Path) -> dict[str, str]:
    """Find the scenes that one file labels: the scene of its name, or all."""
    file = entry.pattern
    if not (root / Path(file).expanduser()).is_file():
        if not entry.reads_polygons:
            return {}
        raise MissingError(f"there is no file {file} in {root}, which an entry of 'labels' or 'hints' names")
    stem = Path(file).stem
    return {stem: file} if stem in images and not entry.reads_polygons else dict.fromkeys(images, file)


def _in_folder(text: str, files: list[str], images: Mapping[str, str]) -> dict[str, str]:
    """Label files of a folder and its subfolders, matched with the images by name."""
    folder = "" if text in (".", "./") else text.rstrip("/") + "/"
    image_files = set(images.values())
    inside = [
        file
        for file in files
        if file.startswith(folder) and file not in image_files and is_outside(file) == is_outside(text)
    ]
    return _by_stem(inside, images)


def _by_stem(files: list[str], images: Mapping[str, str]) -> dict[str, str]:
    """Match files with images by equal names, or by names that are equal without words such as _mask, _label or img_."""
    matches: dict[str, str] = {}
    exact: dict[str, str] = {}
    bare: dict[str, list[str]] = {}
    for scene, image in images.items():
        exact |= {Path(image).stem: scene, scene: scene}
        for name in {_bare(Path(image).stem), _bare(scene)}:
            bare.setdefault(name, []).append(scene)
    for file in files:
        stem = Path(file).stem
        near = bare.get(_bare(stem), [])
        scene = exact.get(stem) or (near[0] if len(near) == 1 else stem)
        matches.setdefault(scene, file)
    return matches


def _bare(stem: str) -> str:
    """Strip a name of the words for what a file holds."""
    return _AFFIX.sub("", _AFFIX.sub("", stem)).casefold()
