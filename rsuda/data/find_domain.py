"""Find domains: turn a name, a domain file, rasters or a torchgeo dataset into a Domain.

A name stands for a known domain (``rsuda/data/domain_files/catalogue/*.yaml``), which has the same fields as a domain file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError, MissingError
from rsuda.core.legend import Legend
from rsuda.core.settings import OBJECT, Settings
from rsuda.core.spec import band_code
from rsuda.data.domain_files.domain_file import KNOWN, DomainFile, read_domain_file, unknown_domain
from rsuda.data.domain_files.match_scenes import domain_of_fields
from rsuda.data.domains.domain import Domain
from rsuda.data.domains.joined_sources import join_sources
from rsuda.data.domains.raster_folder import domain_of_rasters
from rsuda.data.domains.stac_domain import domain_of_stac, is_stac
from rsuda.geo.rasters.raster import is_remote

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
    hints = {name: replace(scene, legend=legend) for name, scene in domain.hints.items()}
    return replace(domain, legend=legend, clutter=legend.name_of(domain.clutter), hints=hints)


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
    if what is None:
        return None, None
    if isinstance(what, str | os.PathLike):
        return os.fspath(what), None
    described_domain = domain(what)
    return OBJECT + described_domain.name, described_domain


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
    domain_names = [name for name, part in zip(names, objects_by_name, strict=True) if part is None]
    for name in [*domain_names, *([settings.target.name] if target is None else [])]:
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
    """Find the delivery of a source that has all these bands; the source itself where none has."""
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
        return domain_of_fields(fields, data, bands)
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
