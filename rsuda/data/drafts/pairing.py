"""Pair the images of a folder with their labels by the names of files and folders, and write the patterns that find them.

A name's words say what a file is ('masks/a.png', 'a_RGB.tif'); where no name has such a word, the pixels do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from rsuda.core.errors import InputError
from rsuda.core.spelling import spell
from rsuda.geo.polygons.input import VECTORS

_IMAGES = frozenset((
    "image", "images", "img", "imgs", "ortho", "orthos", "orthophoto", "orthophotos", "top", "rgb", "irrg", "rgbir",
    "rgbn", "rgbi", "rgbnir", "cir", "nir", "dop", "sat", "satellite", "tci", "scene", "scenes", "pan",
    "leftimg", "leftimg8bit",  # as Cityscapes names them
))  # fmt: skip
_LABELS = frozenset((
    "mask", "masks", "label", "labels", "lab", "labs", "gt", "gts", "truth", "groundtruth", "annotation",
    "annotations", "annot", "ann", "seg", "segmentation", "classes", "reference", "noboundary", "eroded", "lulc",
    "landcover", "gtfine", "gtcoarse", "labelids", "labeltrainids",
))  # fmt: skip
_HEIGHTS = frozenset(["dsm", "ndsm", "dem", "dtm", "chm", "height", "heights", "lidar"])
_ERODED = frozenset(("noboundary", "eroded"))
_SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_MATCHED = 0.5  # share of the smaller group that must find a partner by whole names
SPLIT, TILE = "split", "tile"


@dataclass(frozen=True)
class _Name:
    """A file's path cut into a template with fields and the fields' values in order."""

    template: str
    values: tuple[tuple[str, str], ...]


@dataclass
class FileGroup:
    """Files of one template.

    Attributes:
        template: path with fields, ``{split}/img/{tile}.tif``.
        files: file by the values of the fields.
        fields: names of the fields in order.
    """

    template: str
    fields: tuple[str, ...]
    files: dict[tuple[str, ...], str] = field(default_factory=dict)

    def key(self, values: tuple[str, ...], names: Collection[str]) -> tuple[str, ...]:
        """Return the values of some of the fields."""
        return tuple(value for name, value in zip(self.fields, values, strict=True) if name in names)

    def varying(self) -> tuple[str, ...]:
        """Find the fields that have more than one value; one file has its tile."""
        columns = dict(zip(self.fields, zip(*self.files, strict=True), strict=True))
        several = tuple(name for name, column in columns.items() if len(set(column)) > 1)
        return several or tuple(name for name in self.fields if name == TILE)

    def pattern(self, names: Collection[str]) -> str:
        """Write the pattern of a domain file: ``names`` stay as fields, constants are written out, others become '*'."""
        text = self.template
        for name, column in zip(self.fields, zip(*self.files, strict=True), strict=True):
            if name not in names:
                text = text.replace(f"{{{name}}}", column[0] if len(set(column)) == 1 else "*")
        return text


@dataclass(frozen=True)
class Pairs:
    """Images with their labels.

    Attributes:
        images: groups of images that are deliveries of the same scenes, the one with the most files first.
        labels: groups of labels, the one to use first; the others are alternatives.
        fields: the fields of the patterns.
        scenes: image and label file of each scene; the label may be None.
        heights: groups of surface models.
        rest: groups of images of other scenes, whose names fit no pattern of the others.
    """

    images: tuple[FileGroup, ...]
    labels: tuple[FileGroup, ...]
    fields: tuple[str, ...]
    scenes: tuple[tuple[str, str | None], ...]
    heights: tuple[FileGroup, ...]
    rest: tuple[FileGroup, ...] = ()


def words(text: str) -> list[str]:
    """List the words of a name in lower case, without digits."""
    return re.findall(r"[^\W\d_]+", text.lower())


def is_label_name(file: str) -> bool:
    """Check whether words of a file's name, or of its innermost folder that has such words, say that it is a label."""
    path = PurePosixPath(file)
    edges = words(path.stem)
    if edges and {edges[0], edges[-1]} & _LABELS:
        return True
    for part in reversed(path.parts[:-1]):
        names = set(words(part))
        if names & (_LABELS | _IMAGES):
            return bool(names & _LABELS)
    return False


def is_height_name(file: str) -> bool:
    """Check whether a word of a file's path says that it is a surface or terrain model."""
    return bool(_HEIGHTS & set(words(file)))


def pair(
    files: Iterable[str], looks_like_label: Callable[[str], bool], root: object, label_files: Set[str] = frozenset()
) -> Pairs:
    """Pair the rasters, and the vector files named like them, of a folder.

    Args:
        files: paths relative to the folder.
        looks_like_label: whether the pixels of a raster are classes; called only where no name says what a file is.
        root: the folder, for errors.
        label_files: the label files that the user names; by default those whose names are usual for labels.

    Raises:
        InputError: there is no image, or two sets of labels fit equally.
    """
    files = list(files)
    rasters = [file for file in files if not file.lower().endswith(VECTORS)]
    labels = label_files or {file for file in files if file.lower().endswith(VECTORS) or is_label_name(file)}
    heights = {file for file in rasters if file not in labels and is_height_name(file)}
    if not labels:
        labels = {file for file in rasters if file not in heights and looks_like_label(file)}
    images = [file for file in rasters if file not in labels | heights]
    if not images:
        raise InputError(
            f"no image in {root}: its {len(rasters)} rasters are labels or heights by name, such as {rasters[0]}; name the "
            "images' folder 'images' and the labels' folder 'labels'"
        )
    return _best_pairs(images, sorted(labels), tuple(_groups(sorted(heights), strip=False)))


def _best_pairs(images: list[str], labels: list[str], heights: tuple[FileGroup, ...]) -> Pairs:
    """Pair by whole names, or else by names without the words at their ends."""
    results = []
    for strip in (False, True):
        deliveries, sets = _groups(images, strip=strip), _groups(labels, strip=strip)
        main = deliveries[0]
        fields = main.varying()
        partners = [(_common(main, group, fields), group) for group in sets]
        partners = [(common, group) for common, group in partners if common]
        most = max((common for common, _ in partners), default=0)
        results.append((most / max(1, min(len(main.files), len(labels))), deliveries, partners, fields))
        if results[-1][0] >= _MATCHED:
            break
    _, deliveries, partners, fields = max(results, key=lambda result: result[0])
    sets = _in_order(partners)
    table = {group_key: file for group in reversed(sets) for group_key, file in _by_key(group, fields).items()}
    main = deliveries[0]
    scenes = tuple((file, table.get(main.key(values, fields))) for values, file in main.files.items())
    same = [group for group in deliveries[1:] if _common(main, group, fields)]
    rest = tuple(group for group in deliveries[1:] if not _common(main, group, fields))
    return Pairs((main, *same), tuple(sets), fields, scenes, heights, rest)


def _by_key(group: FileGroup, fields: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    if not set(fields) <= set(group.fields):
        return {}
    return {group.key(values, fields): file for values, file in group.files.items()}


def _common(images: FileGroup, labels: FileGroup, fields: tuple[str, ...]) -> int:
    """Count the images that have a partner in a group."""
    keys = _by_key(labels, fields)
    return sum(images.key(values, fields) in keys for values in images.files)


def _in_order(partners: list[tuple[int, FileGroup]]) -> list[FileGroup]:
    """Label groups, whole ones before eroded ones. Raises InputError if two fit equally."""
    partners.sort(key=lambda partner: (bool(_ERODED & set(words(partner[1].template))), -partner[0]))
    whole = [(count, group) for count, group in partners if not _ERODED & set(words(group.template))] or partners
    if len(whole) > 1 and whole[0][0] == whole[1][0] and set(whole[0][1].files) == set(whole[1][1].files):
        first, second = (group.pattern(group.varying()) for _, group in whole[:2])
        raise InputError(
            f"two sets of labels fit the images: {first} and {second}: name one, as in {spell('labels', _glob(first))}"
        )
    return [group for _, group in partners]


def _glob(pattern: str) -> str:
    return re.sub(r"\{\w+\}", "*", pattern)


def _groups(files: Iterable[str], *, strip: bool) -> list[FileGroup]:
    """Group files by template, the largest group first; groups that differ only in the extension are one if no key recurs."""
    groups: dict[str, FileGroup] = {}
    for file in files:
        name = _cut(file, strip)
        group = groups.setdefault(name.template, FileGroup(name.template, tuple(key for key, _ in name.values)))
        group.files[tuple(value for _, value in name.values)] = file
    groups_by_stem: dict[str, FileGroup] = {}
    for template, group in groups.items():
        stem = template.rpartition(".")[0]
        other = groups_by_stem.get(stem)
        if other is not None and not set(other.files) & set(group.files):
            other.files |= group.files
            other.template = f"{stem}.*"
        else:
            groups_by_stem[stem if other is None else template] = group
    return sorted(
        groups_by_stem.values(), key=lambda group: (-len(group.files), "pan" in words(group.template), group.template)
    )


def _cut(file: str, strip: bool) -> _Name:
    """Cut a path into its template and fields: a folder that says nothing, a split, and the tile."""
    path = PurePosixPath(file)
    template: list[str] = []
    values: list[tuple[str, str]] = []
    for part in path.parts[:-1]:
        names = [word for word in re.split(r"[^A-Za-z]+", part) if word.lower() in _SPLITS]
        if names and SPLIT not in dict(values):
            template.append(part.replace(names[0], f"{{{SPLIT}}}", 1))
            values.append((SPLIT, names[0]))
        elif set(words(part)) & (_IMAGES | _LABELS | _HEIGHTS) or part.lower().endswith(".zip"):
            template.append(part)
        else:
            name = f"folder{sum(key.startswith('folder') for key, _ in values) or ''}"
            template.append(f"{{{name}}}")
            values.append((name, part))
    prefix, tile, suffix = _strip(path.stem) if strip else ("", path.stem, "")
    if set(words(tile)) <= (_IMAGES | _LABELS) and not re.search(r"\d", tile) and words(tile) and strip:
        template.append(f"{path.stem}{path.suffix}")  # 'scene1/image.tif': the folder is the scene
    else:
        template.append(f"{prefix}{{{TILE}}}{suffix}{path.suffix.lower()}")
        values.append((TILE, tile))
    return _Name("/".join(template), tuple(values))


def _strip(stem: str) -> tuple[str, str, str]:
    """Cut the words for what a file holds off the ends of its name: prefix, tile and suffix."""
    kinds = "|".join(_IMAGES | _LABELS | _HEIGHTS)
    prefix = re.match(rf"(?i)(?:(?:{kinds})[_\- .]+)*", stem)
    suffix = re.search(rf"(?i)(?:[_\- .]+(?:{kinds}))*$", stem)
    start, end = prefix.end() if prefix else 0, suffix.start() if suffix else len(stem)
    return (stem[:start], stem[start:end], stem[end:]) if start < end else ("", stem, "")


def splits_of(group: FileGroup, fields: Collection[str]) -> Mapping[str, list[str]]:
    """Find the folders of each split: train, val and test, by the names in the files' paths."""
    if SPLIT not in fields:  # one split, whose folder the pattern writes out
        return {}
    position = group.fields.index(SPLIT)
    names = dict.fromkeys(values[position] for values in group.files)
    splits: dict[str, list[str]] = {}
    for name in names:
        splits.setdefault(_SPLITS[name.lower()], []).append(name)
    return splits
