"""Make a domain of a domain file and a data folder: its scenes, their images and labels, and its splits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from rsuda.core.errors import MissingError
from rsuda.core.spelling import spell
from rsuda.data.domain_files.domain_file import DomainFile
from rsuda.data.domain_files.file_patterns import list_files, matches_any
from rsuda.data.domain_files.hints import hint_scenes
from rsuda.data.domain_files.image_files import ImageFiles
from rsuda.data.domain_files.match_images import choose_variant, scenes_of_domain
from rsuda.data.domain_files.match_labels import match_labels
from rsuda.data.domains.archives import note_of_archives, path_of
from rsuda.data.domains.domain import Domain, natural_order, some_names
from rsuda.geo.rasters.stack import ExtraRaster
from rsuda.geo.scenes.files import note_of_own_maps, without_maps_beside
from rsuda.geo.scenes.scene import Scene


def domain_of_fields(fields: DomainFile, data: str | Path | None, bands: str | None) -> Domain:
    """Match the files of a data folder with the patterns of a domain file.

    Raises:
        InputError: unknown bands, or no scene has all rasters of the delivery.
        MissingError: the folder or its images are missing.
    """
    patterns = [
        *(text for images in fields.variants.values() for text in images.patterns),
        *(entry.pattern for entry in (*fields.labels, *fields.hints)),
    ]
    is_absolute = all(Path(text).expanduser().is_absolute() for text in patterns)
    root = _data_folder(fields, Path() if data is None and is_absolute else data)
    files = list_files(root, patterns)
    variant = choose_variant(fields, files, root, bands)
    images, names = scenes_of_domain(fields, variant.files, root), variant.delivery.all_bands
    first, maps = without_maps_beside({name: parts[0] for name, parts in images.items()}, root)
    labels = match_labels(fields.labels, files, first, root, fields.bad_labels)
    scenes = {
        name: Scene(
            name,
            image=path_of(root, images[name][0]),
            label=path_of(root, labels.files[name]) if name in labels.files else None,
            bands=variant.delivery.bands,
            more=_more_rasters(variant.delivery, images[name], root, fields.nodata),
            declared_gsd=_declared_gsd(fields, name),
            crs=fields.crs,
            nodata=fields.nodata_of(names),
            polygons=labels.polygons.get(name, ()),
        )
        for name in sorted(first, key=natural_order)
    }
    splits, notes = _make_splits(fields, scenes, labels.refusals, root)
    notes += [note_of_own_maps(maps)] if maps else []
    notes += [*filter(None, [note_of_archives(scene.image for scene in scenes.values())]), *variant.notes]
    protocol = fields.protocol.model_dump() if fields.protocol else None
    if len(labels.files) < len(scenes):
        notes += [
            f"{label_set.files} labels none of the scenes ({some_names(scenes)}): it matches {', '.join(label_set.others)}"
            for label_set in labels.sets
            if label_set.others and not label_set.scenes
        ]
    legend = fields.class_legend
    return Domain(
        fields.name,
        scenes,
        names,
        legend,
        splits,
        fields.common_clutter,
        protocol,
        tuple(notes),
        labels.sets,
        hints=hint_scenes(fields, scenes, files, first, root),
    )


def _more_rasters(
    delivery: ImageFiles, files: Sequence[str], root: Path, nodata: float | None
) -> tuple[ExtraRaster, ...]:
    return tuple(
        ExtraRaster(path_of(root, file), part.bands, nodata if part.nodata is None else part.nodata)
        for part, file in zip(delivery.more, files[1:], strict=True)
    )


def _data_folder(fields: DomainFile, data: str | Path | None) -> Path:
    if data is None:
        raise MissingError(f"no data folder for domain {fields.name}: pass {spell('data', 'DIR')}")
    root = Path(data).expanduser()
    if not root.is_dir():
        raise MissingError(f"the data folder {root} is missing; to get the data: {fields.how_to_get}")
    return root


def _declared_gsd(fields: DomainFile, scene: str) -> float | None:
    return next((gsd for text, gsd in fields.gsd_of.items() if fnmatchcase(scene, text)), fields.gsd)


def _make_splits(
    fields: DomainFile, scenes: Collection[str], refusals: Mapping[str, str], root: Path
) -> tuple[dict[str, list[str]], list[str]]:
    """List the scene names of each split, and notes on refused labels and missing scenes.

    A scene whose only label is refused leaves its splits, so that the other scenes can be used.
    """
    splits: dict[str, list[str]] = {}
    notes, partial = list(refusals.values()), []
    for split, patterns in fields.splits.items():
        members = [name for name in scenes if matches_any(name, patterns)]
        splits[split] = [name for name in members if name not in refusals]
        explicit = not any(sign in text for text in patterns for sign in "*?[")
        if not members:
            notes.append(
                f"split '{split}' of {fields.name} matches none of the {len(scenes)} scenes in {root} "
                f"({some_names(scenes)}): looked for {some_names(patterns)}"
            )
        elif explicit and len(members) < len(patterns):
            partial.append(f"{len(members)} of the {len(patterns)} scenes of split '{split}'")
    if partial:
        notes.append(f"{root} has {' and '.join(partial)} of {fields.name}")
    splits.setdefault("all", list(scenes))
    return splits, notes
