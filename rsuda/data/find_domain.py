"""Find domains: turn a name, a domain file, rasters or a torchgeo dataset into a Domain.

A name stands for a known domain (``rsuda/data/domain_files/catalogue/*.yaml``), which has the same fields as a domain file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import Legend
from rsuda.core.settings import OBJECT, Settings
from rsuda.core.spec import band_code
from rsuda.core.spelling import spell
from rsuda.data.domain_files.domain_file import KNOWN, DomainFile, read_domain_file, unknown_domain
from rsuda.data.domain_files.file_patterns import list_files, matches_any
from rsuda.data.domain_files.image_files import ImageFiles, choose_variant, scenes_of_domain
from rsuda.data.domain_files.label_files import match_labels
from rsuda.data.domains.archives import note_of_archives, path_of
from rsuda.data.domains.domain import Domain, natural_order, some_names
from rsuda.data.domains.joined_sources import join_sources
from rsuda.data.domains.raster_folder import domain_of_rasters
from rsuda.data.domains.stac_domain import domain_of_stac, is_stac
from rsuda.geo.rasters.raster import is_remote
from rsuda.geo.rasters.stack import ExtraRaster
from rsuda.geo.scenes.files import note_of_own_maps, without_maps_beside
from rsuda.geo.scenes.scene import Scene

# source (or several) and target where they are objects; None where they are names
Objects = tuple[Domain | tuple[Domain | None, ...] | None, Domain | None]


def domain(
    what: str | os.PathLike[str] | Domain | Any,
    data: str | Path | None = None,
    *,
    bands: str | Sequence[str] | None = None,
    gsd: float | None = None,
    nodata: float | None = None,
    labels: Any = None,
    legend: Legend | Sequence[Mapping[str, Any]] | None = None,
    ignore: Sequence[int] = (),
    splits: Mapping[str, Sequence[str]] | None = None,
    name: str | None = None,
    classes: Mapping[str, Any] | None = None,
) -> Domain:
    """Find a domain: its scenes with their bands, GSD, legend and splits.

    Args:
        what: a known domain ('potsdam'), a domain file (YAML), a folder, raster or glob of rasters, or a torchgeo
            dataset. Datasets are a RasterDataset of images, a UnionDataset of such, or an IntersectionDataset of images
            and masks.
        data: folder of the files of a known domain or domain file.
        bands: which delivery to use ('IRRG'); for rasters and datasets, the band order of the files.
        gsd: metres per pixel of rasters without a georeference.
        nodata: value that marks pixels of the images without data; the files' own by default.
        labels: torchgeo dataset of the masks. A mask may have another grid than its image.
        legend: of a torchgeo dataset's masks, ``[{"name": "water", "value": 3, "colour": "#0000FF"}, …]``; by default
            from the dataset's ``classes`` and ``cmap``.
        ignore: mask values without a class; the masks' own nodata value is always ignored.
        splits: of a torchgeo dataset: split to patterns of scene names. By default all scenes are in 'train'.
        name: of a torchgeo dataset's domain; the class's by default.
        classes: common names of the classes, ``{"tree": "vegetation", "grass": "vegetation", "car": "unknown"}``, beyond
            those of the domain file; 'unknown' ignores a class.

    Raises:
        InputError: unknown name, invalid domain file, or images without a mask.
        MissingError: missing data; the sentence names the files and the folder that were searched.

    Example:
        >>> import rsuda
        >>> potsdam = rsuda.domain("potsdam", "sample_tiles")
        >>> potsdam.bands, potsdam.gsd, len(potsdam.split("train"))
        (('ir', 'red', 'green'), 0.05, 4)
    """
    if classes:
        return _with_classes(
            domain(
                what,
                data,
                bands=bands,
                gsd=gsd,
                labels=labels,
                legend=legend,
                ignore=ignore,
                splits=splits,
                name=name,
                nodata=nodata,
            ),
            classes,
        )
    if isinstance(what, Domain):
        return what
    dataset_options = {"labels": labels, "legend": legend, "ignore": ignore or None, "splits": splits, "name": name}
    if isinstance(what, str | os.PathLike):
        option = next((key for key, value in dataset_options.items() if value is not None), None)
        if option:
            raise InputError(f"'{option}' describes a torchgeo dataset; for files write a domain file (YAML) with it")
        order = bands if bands is None or isinstance(bands, str) else ",".join(bands)
        return _with_nodata(_domain_of_files(os.fspath(what), data, order, gsd), nodata)
    from rsuda.data.domains.torchgeo_domain import domain_of_dataset

    return _with_nodata(domain_of_dataset(what, labels, legend, ignore, bands, gsd, splits, name), nodata)


def _with_nodata(domain: Domain, nodata: float | None) -> Domain:
    """Declare the nodata value of all images of a domain."""
    if nodata is None:
        return domain
    return replace(domain, scenes={name: replace(scene, nodata=nodata) for name, scene in domain.scenes.items()})


def _with_classes(domain: Domain, classes: Mapping[str, Any]) -> Domain:
    """Give the classes of a domain common names."""
    if domain.legend is None:
        raise InputError(f"domain {domain.name} has no legend, so 'classes' names nothing: write a domain file (YAML)")
    legend = domain.legend.merged(classes)
    return replace(domain, legend=legend, clutter=legend.name_of(domain.clutter))


def names_and_objects(source: Any, target: Any) -> tuple[dict[str, Any], Objects]:
    """Split source and target into the names that settings hold and the domains that were passed as objects.

    Args:
        source: a domain as in ``domain``, or a list of several.
        target: a domain.
    """
    several = list(source) if isinstance(source, list | tuple) else [source]
    domains = dict(_name_and_object(what) for what in several)
    first, *others = domains or {None: None}
    target_name, target_object = _name_and_object(target)
    names: dict[str, Any] = {"source.name": first, "target.name": target_name}
    if others:
        names["source.also"] = others
        objects = tuple(domains.values())
        return names, (objects if any(objects) else None, target_object)
    return names, (domains.get(first), target_object)


def _name_and_object(what: Any) -> tuple[str | None, Domain | None]:
    if what is None or isinstance(what, str | os.PathLike):
        return (None if what is None else os.fspath(what)), None
    described = domain(what)
    return OBJECT + described.name, described


def training_domains(settings: Settings, objects: Objects = (None, None)) -> tuple[Domain | None, Domain]:
    """Find the source and the target that a run is trained on; no source for a run without the source's data.

    Raises:
        InputError, MissingError: as ``domain``.
    """
    if settings.source.names:
        return find_domains(settings, objects)
    return None, objects[1] or find_target(settings)


def find_target(settings: Settings) -> Domain:
    """Find the target of a run. Raises InputError, MissingError; see ``domain``."""
    gsd = settings.align.gsd if isinstance(settings.align.gsd, float) else None
    target = settings.target
    return domain(target.name, settings.data, bands=target.bands, gsd=gsd, nodata=target.nodata)


def find_domains(settings: Settings, objects: Objects = (None, None)) -> tuple[Domain, Domain]:
    """Find the source and the target of a run; several sources are joined to one.

    Where the source's bands are not chosen, the delivery that has all the target's bands is preferred (Potsdam comes as
    RGB, IRRG and RGBIR).

    Args:
        objects: domains that were passed as objects, which replace the names of the settings.

    Raises:
        InputError, MissingError: as ``domain``; or the run adapts without the source's data.
    """
    if not settings.source.names:
        raise InputError("the run adapts without the source's data, so it names no source")
    source, target = objects
    if isinstance(source, Domain) and target is not None:
        return source, target
    names = settings.source.names
    objects_by_name = source if isinstance(source, tuple) else (source,) * len(names)
    named = [name for name, part in zip(names, objects_by_name, strict=True) if part is None]
    for name in [*named, *([settings.target.name] if target is None else [])]:
        _fields_of(name)  # a wrong name is an error before missing data of another domain
    sources = [
        domain(name, settings.data, bands=settings.source.bands, nodata=settings.source.nodata)
        if part is None
        else part
        for name, part in zip(names, objects_by_name, strict=True)
    ]
    if (
        target is None
        and names == (settings.target.name,)
        and settings.target.bands == settings.source.bands
        and settings.target.nodata == settings.source.nodata
    ):
        return sources[0], sources[0]
    target = target or find_target(settings)
    if settings.source.bands is None and target.bands:
        sources = [
            _with_nodata(_variant_with_bands(name, settings.data, delivery, target.bands), settings.source.nodata)
            if part is None and delivery.bands
            else delivery
            for name, part, delivery in zip(names, objects_by_name, sources, strict=True)
        ]
    return sources[0] if len(sources) == 1 else join_sources(sources), target


def _variant_with_bands(name: str, data: str | Path | None, source: Domain, bands: tuple[str, ...]) -> Domain:
    """The delivery of a source that has all these bands; the source itself where none has."""
    if set(bands) <= set(source.bands or ()):
        return source
    for code in (band_code(bands), "RGBIR"):
        try:
            return domain(name, data, bands=code)
        except (InputError, MissingError):
            continue
    return source


def _domain_of_files(name: str, data: str | Path | None, bands: str | None, gsd: float | None) -> Domain:
    fields = _fields_of(name)
    if fields is not None:
        return _from_fields(fields, data, bands)
    if is_stac(name):
        return domain_of_stac(name, bands, gsd)
    return domain_of_rasters(name if is_remote(name) else str(Path(name).expanduser()), bands, gsd)


def _fields_of(name: str) -> DomainFile | None:
    """Read the fields of a known domain or a domain file; None for the name of rasters or STAC items.

    Raises:
        InputError, MissingError: the name stands for nothing, or the domain file is invalid.
    """
    if name.startswith(OBJECT):
        raise InputError(
            f"the domain '{name.removeprefix(OBJECT)}' was passed as an object in Python, and its name finds no files: pass the "
            "object again, as in rsuda.adapt(source, target, out=RUN, resume=True) or rsuda.evaluate(RUN, domain)"
        )
    if name in KNOWN:
        return read_domain_file(KNOWN[name])
    if is_stac(name) or is_remote(name):
        return None
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return read_domain_file(path)
    if path.is_dir() or path.is_file() or any(sign in name for sign in "*?["):
        return None
    if len(path.parts) > 1 or path.suffix:
        raise MissingError(f"there is no folder, raster or domain file {name}")
    raise unknown_domain(name, "a YAML file", "a folder or glob of rasters")


def _from_fields(fields: DomainFile, data: str | Path | None, bands: str | None) -> Domain:
    """Match the files of a data folder with the patterns of a domain file."""
    patterns = [
        *(text for images in fields.variants.values() for text in images.patterns),
        *(labels.pattern for labels in fields.labels),
    ]
    is_absolute = all(Path(text).expanduser().is_absolute() for text in patterns)
    root = _data_folder(fields, Path() if data is None and is_absolute else data)
    files = list_files(root, patterns)
    chosen = choose_variant(fields, files, root, bands)
    images, names = scenes_of_domain(fields, chosen.files, root), chosen.delivery.all_bands
    first, maps = without_maps_beside({name: parts[0] for name, parts in images.items()}, root)
    labels = match_labels(fields, files, first, root)
    scenes = {
        name: Scene(
            name,
            image=path_of(root, images[name][0]),
            label=path_of(root, labels.files[name]) if name in labels.files else None,
            bands=chosen.delivery.bands,
            more=_more_rasters(chosen.delivery, images[name], root, fields.nodata),
            declared_gsd=_declared_gsd(fields, name),
            crs=fields.crs,
            nodata=fields.nodata_of(names),
            polygons=labels.polygons.get(name, ()),
        )
        for name in sorted(first, key=natural_order)
    }
    splits, notes = _make_splits(fields, scenes, labels.refused, root)
    notes += [note_of_own_maps(maps)] if maps else []
    notes += [*filter(None, [note_of_archives(scene.image for scene in scenes.values())]), *chosen.notes]
    protocol = fields.protocol.model_dump() if fields.protocol else None
    if len(labels.files) < len(scenes):
        notes += [
            f"{unused.files} labels none of the scenes ({some_names(scenes)}): it matches {', '.join(unused.others)}"
            for unused in labels.sets
            if unused.others and not unused.scenes
        ]
    legend = fields.class_legend
    return Domain(
        fields.name, scenes, names, legend, splits, fields.common_clutter, protocol, tuple(notes), labels.sets
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
    fields: DomainFile, scenes: Collection[str], refused: Mapping[str, str], root: Path
) -> tuple[dict[str, list[str]], list[str]]:
    """Scene names of each split, and notes on refused labels and missing scenes.

    A scene whose only label is refused leaves its splits, so that the other scenes can be used.
    """
    splits: dict[str, list[str]] = {}
    notes, partial = list(refused.values()), []
    for split, patterns in fields.splits.items():
        members = [name for name in scenes if matches_any(name, patterns)]
        splits[split] = [name for name in members if name not in refused]
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
