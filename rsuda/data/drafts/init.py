"""Look through a folder of images and labels, and write a domain file to edit: ``rsuda init``."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rsuda.core.atomic import atomic_write
from rsuda.core.errors import InputError, MissingError, joined_error
from rsuda.core.spelling import spell, spell_command
from rsuda.data.domain_files.file_patterns import list_files
from rsuda.data.domains.archives import ARCHIVE, path_of
from rsuda.data.domains.domain import some_names
from rsuda.data.drafts.images import describe_images
from rsuda.data.drafts.legend import DraftClass, looks_like_label, read_legend
from rsuda.data.drafts.pairing import Pairs, is_label_name, pair, splits_of
from rsuda.data.drafts.polygons import DraftPolygons, describe_polygons, layer_over
from rsuda.data.drafts.text import Delivery, Draft, draft_text
from rsuda.data.find_domain import domain
from rsuda.geo.maps.class_names import class_colours
from rsuda.geo.polygons.input import LAYER_MARK, VECTORS, split_layer
from rsuda.geo.polygons.unread import annotation_note
from rsuda.geo.rasters.raster import SUFFIXES
from rsuda.geo.scenes.files import is_own_map, note_of_own_maps, without_unreadable

_OUTPUTS = ("polygons", "footprints")  # vector files that rsuda writes beside a map


def init(
    folder: str | Path, out: str | Path | None = None, *, labels: str | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Write a domain file for the images and labels of a folder.

    Images are paired with masks or vector files by the names of files and folders; one vector file may lie over all
    images. Classes are named 'class 1' or 'colour #FF0000' unless a file beside the labels names them: edit the file.

    Args:
        folder: with its subfolders. Outputs of rsuda are left out.
        out: the domain file; FOLDER.yaml in the working directory by default.
        labels: pattern of the label files below the folder, such as 'masks/*', where names do not tell them.
        overwrite: replace an existing file.

    Returns:
        file, name, scenes, labelled, images, labels, bands, gsd, crs, classes, splits, notes, and the commands to run next.

    Raises:
        InputError: there is no image, or more than one way to pair.
        MissingError: no folder, or a file that cannot be read.
        ExistsError: the domain file exists, and ``overwrite`` is False.

    Example:
        >>> import rsuda
        >>> facts = rsuda.init("sample_tiles/vaihingen", "vaihingen.yaml")
        >>> facts["scenes"], facts["labelled"], facts["bands"]
        (6, 6, 'RGB')
    """
    root = Path(folder).expanduser()
    if root.is_file() and root.suffix.lower() == ARCHIVE:
        images_folder = root.with_suffix("")
        raise InputError(
            f"{root} is an archive: unpack it (unzip {root} -d {images_folder}), or pass the folder that holds it"
        )
    if not root.is_dir():
        raise MissingError(f"there is no folder {root}: pass the folder that holds the images")
    name = root.resolve().name or "domain"
    file = Path(out).expanduser() if out is not None else Path(f"{name}.yaml")
    if file.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"a domain file ends in .yaml, and {file} does not: name it {file.stem}.yaml")
    with atomic_write(file, overwrite=overwrite) as temporary:
        draft, pairs = _look(root, name, labels)
        commands = _commands(file, root, bool(draft.labels))
        temporary.write_text(draft_text(draft, commands), encoding="utf-8", newline="\n")
        facts = _check(temporary, root, pairs)
    return {"file": str(file), **facts, **_facts(draft), "next": commands}


def _look(root: Path, name: str, labels: str | None) -> tuple[Draft, Pairs]:
    """Collect everything that a draft says of a folder, and the pairs of images and labels."""
    files, maps = _files(root)
    notes = [note_of_own_maps(maps)] if maps else []
    label_files, layer = (frozenset[str](), None) if labels is None else _label_files(files, labels, root)
    if label_files:  # other files that are named like labels are neither images nor labels
        files = [
            file for file in files if file in label_files or not (is_label_name(file) or file.lower().endswith(VECTORS))
        ]
    pairs = pair(files, lambda file: looks_like_label(path_of(root, file)), root, label_files)
    deliveries = []
    for group in pairs.images:
        pattern, paths = group.pattern(pairs.fields), [path_of(root, path) for path in group.files.values()]
        deliveries.append(Delivery(pattern, len(paths), describe_images(paths, pattern)))
        notes += deliveries[-1].images.notes
    for group in pairs.rest:
        pattern = group.pattern(group.varying())
        notes.append(f"{len(group.files)} images {pattern} are left out, since their names fit no other pattern")
    draft = Draft(name, str(root), deliveries, notes=notes)
    draft.heights = [group.pattern(group.varying()) for group in pairs.heights]
    _add_labels(draft, pairs, root, files, layer)
    if labels is not None and not draft.labels:
        raise InputError(
            f"{spell('labels', labels)} names no label of an image: {draft.notes[-1] if draft.notes else root}"
        )
    splits = splits_of(pairs.images[0], pairs.fields)
    draft.splits = {split: [f"{_literal(part)}_*" for part in parts] for split, parts in splits.items()} or {
        "train": ["*"]
    }
    return draft, pairs


def _label_files(files: list[str], labels: str, root: Path) -> tuple[frozenset[str], str | None]:
    """Find the files that the user names as labels, and the layer in them. Raises InputError without any."""
    pattern, layer = split_layer(labels)
    label_files = frozenset(file for file in files if fnmatchcase(file, pattern) or file == pattern)
    if not label_files:
        raise InputError(f"no file in {root} matches {spell('labels', pattern)}: its files are {some_names(files)}")
    return label_files, layer


def _literal(text: str) -> str:
    """Escape a text to a pattern of scene names that matches only itself."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)


def _files(root: Path) -> tuple[list[str], list[str]]:
    """List the rasters and vector files of a folder, and those among them that rsuda wrote."""
    files = list_files(root)
    if not any(file.lower().endswith(SUFFIXES) for file in files):
        vectors = f", only vector files such as {files[0]}" if files else ""
        raise MissingError(f"no raster ({', '.join(SUFFIXES)}) in {root}{vectors}")
    rasters = [file for file in files if file.lower().endswith(SUFFIXES)]
    _, errors = without_unreadable([path_of(root, file) for file in rasters])
    if errors:  # rsuda adapt would refuse them
        raise joined_error(errors, len(rasters), f"rasters in {root} cannot be read, so move them out of it")
    maps = [file for file in files if is_own_map(path_of(root, file))]
    scenes = {file.rpartition("_")[0] for file in maps}
    outputs = {*maps, *(f"{scene}_{kind}{suffix}" for scene in scenes for kind in _OUTPUTS for suffix in VECTORS)}
    return [file for file in files if file not in outputs], maps


def _add_labels(draft: Draft, pairs: Pairs, root: Path, files: Sequence[str], layer: str | None) -> None:
    """Add the labels and the classes of a folder to its draft."""
    if pairs.labels:
        main = pairs.labels[0]
        paths = list(main.files.values())
        draft.labels = [main.pattern(pairs.fields)]
        draft.label_comments = [f"{len(paths)} file{'s' * (len(paths) > 1)}"]
        draft.other_labels = [group.pattern(pairs.fields) for group in pairs.labels[1:]]
        if draft.other_labels:
            draft.notes.append(f"the labels {draft.labels[0]} are used, and {', '.join(draft.other_labels)} are not")
        if paths[0].lower().endswith(VECTORS):
            polygons = describe_polygons([root / path for path in paths], layer)
            _add_polygons(draft, polygons, main.pattern(pairs.fields), layer)
        else:
            legend = read_legend([path_of(root, path) for path in paths])
            draft.legend, draft.ignore, draft.tolerance = legend.classes, legend.ignore, legend.tolerance
            if legend.tolerance:
                draft.notes.append(
                    f"the colours or values of the labels, such as {paths[0]}, are smeared by lossy compression or resampling: "
                    f"pixels up to {legend.tolerance} from those of one class count as this class, and others are ignored"
                )
            draft.legend_comment = [f"read from {legend.files} of {len(paths)} files"]
            if legend.rare:
                draft.legend_comment.append(f"{legend.rare} rare colours are left out (of a JPEG?), and so ignored")
        return
    vectors = [file for file in files if file.lower().endswith(VECTORS)]
    over = layer_over(vectors, root, draft.deliveries[0].images.grids, layer)
    if over is not None:
        _add_polygons(draft, describe_polygons([root / over], layer), over, layer)
    elif vectors:
        those = "it is" if len(vectors) == 1 else "they are"
        draft.notes.append(f"no polygon of {some_names(vectors)} lies over the images, so {those} not used")
    elif (note := annotation_note(root)) is not None:
        draft.notes.append(note)


def _add_polygons(draft: Draft, polygons: DraftPolygons, files: str, layer: str | None) -> None:
    """Add polygons as labels: classes by a column, or one class and a background."""
    files = f"{files}{LAYER_MARK}{layer}" if layer else files
    columns = [f"column {name}: {', '.join(values)}" for name, values in polygons.columns.items()]
    if polygons.attribute is None:
        draft.labels = [{"files": files, "class": "polygon", "uncovered": "background"}]
        names = ["background", "polygon"]
        draft.legend_comment = ["'polygon' is the class of all polygons; 'attribute:' names a column instead"]
    else:
        table = {value: _class_name(value) for value in polygons.values}
        draft.labels = [{"files": files, "attribute": polygons.attribute, "classes": table}]
        names = list(table.values())
        draft.legend_comment = [
            "pixels without a polygon are ignored; 'uncovered: CLASS' in the entry gives them a class"
        ]
        columns.append(
            "number of polygons: " + ", ".join(f"{value} {count}" for value, count in polygons.values.items())
        )
    draft.label_comments = ["\n".join([f"{polygons.polygons} polygons", *columns])]
    colours = zip(names, class_colours(names), strict=False)
    draft.legend = tuple(DraftClass(name, colour, None, None) for name, colour in colours)


def _class_name(value: str) -> str:
    return value if any(sign.isalpha() for sign in value) else f"class {value}"


def _check(file: Path, root: Path, pairs: Pairs) -> dict[str, Any]:
    """Read the written file as a domain. Raises InputError if it does not find the images."""
    result = domain(file, root)
    if len(result.scenes) != len(pairs.scenes):
        raise InputError(
            f"the patterns {pairs.images[0].pattern(pairs.fields)} match {len(result.scenes)} of {len(pairs.scenes)} images in "
            f"{root}: names with *, ? or braces cannot be written as a pattern, so rename them"
        )
    return {
        "name": result.name,
        "scenes": len(result.scenes),
        "labelled": sum(scene.label is not None for scene in result.scenes.values()),
    }


def _facts(draft: Draft) -> dict[str, Any]:
    """Collect what was seen, by values that JSON can hold."""
    images = draft.deliveries[0].images
    return {
        "images": [delivery.pattern for delivery in draft.deliveries],
        "labels": [entry if isinstance(entry, str) else entry["files"] for entry in draft.labels],
        "bands": images.code,
        "gsd": list(images.gsd) if images.gsd else None,
        "crs": list(images.systems),
        "classes": [
            {
                "name": item.name,
                "value": item.value,
                "colour": item.colour,
                "share": item.share and round(item.share, 4),
            }
            for item in draft.legend
        ],
        "splits": draft.splits,
        "notes": draft.notes,
    }


def _commands(file: Path, root: Path, labelled: bool) -> list[str]:
    """List the commands to run next."""
    source, target = (file, "TARGET") if labelled else ("SOURCE", file)
    return [
        spell_command("info", file, data=root),
        spell_command("adapt", source=source, target=target, data=root),
    ]
