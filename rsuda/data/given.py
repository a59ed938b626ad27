"""What may be given for a domain: a name, a Domain, or a torchgeo dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.settings import OBJECT
from rsuda.data import find_domain as domains
from rsuda.data.find_domain import Domain


def domain(
    what: str | os.PathLike[str] | Domain | Any,
    data: str | Path | None = None,
    *,
    bands: str | Sequence[str] | None = None,
    gsd: float | None = None,
    labels: Any = None,
    legend: Legend | Sequence[Mapping[str, Any]] | None = None,
    ignore: Sequence[int] = (),
    splits: Mapping[str, Sequence[str]] | None = None,
    name: str | None = None,
) -> Domain:
    """A domain: its scenes, their bands, GSD, legend and splits.

    Args:
        what: a known domain ('potsdam'), a domain file (YAML), a folder, raster or glob of rasters, or a torchgeo
            dataset: a RasterDataset of images, a UnionDataset of such, or an IntersectionDataset of images and masks.
        data: folder of the files of a known domain or domain file.
        bands: which delivery to use ('IRRG'); for rasters and datasets, the band order of the files.
        gsd: metres per pixel, for rasters that do not tell.
        labels: torchgeo dataset of the masks. Its files must lie on the pixels of the images' files.
        legend: of a torchgeo dataset's masks, ``[{"name": "water", "value": 3, "colour": "#0000FF"}, …]``; by default
            from the dataset's ``classes`` and ``cmap``.
        ignore: mask values that are no class; the masks' own nodata value is ignored anyhow.
        splits: of a torchgeo dataset: split to patterns of scene names. By default all scenes are in 'train'.
        name: of a torchgeo dataset's domain; the class's by default.

    Raises:
        InputError, MissingError: unknown name, nothing found, masks that do not fit; the sentence says what to do.

    Example:
        >>> import rsuda
        >>> potsdam = rsuda.domain("potsdam", "sample_tiles")
        >>> potsdam.bands, potsdam.gsd, len(potsdam.split("train"))
        (('ir', 'red', 'green'), 0.05, 4)
    """
    if isinstance(what, Domain):
        return what
    of_datasets = {"labels": labels, "legend": legend, "ignore": ignore or None, "splits": splits, "name": name}
    if isinstance(what, str | os.PathLike):
        told = next((k for k, v in of_datasets.items() if v is not None), None)
        if told:
            raise InputError(f"'{told}' describes a torchgeo dataset; for files write a domain file (YAML) with it")
        order = bands if bands is None or isinstance(bands, str) else ",".join(bands)
        return domains.domain(os.fspath(what), data, order, gsd)
    from rsuda.data.torchgeo_domain import domain_of_dataset

    return domain_of_dataset(what, labels, legend, ignore, bands, gsd, splits, name)


def named(source: Any, target: Any) -> tuple[dict[str, str | None], tuple[Domain | None, Domain | None]]:
    """Source and target as settings hold them, and those that are objects as domains."""
    names: dict[str, str | None] = {}
    given: list[Domain | None] = []
    for key, what in (("source", source), ("target", target)):
        if what is None or isinstance(what, str | os.PathLike):
            names[key] = None if what is None else os.fspath(what)
            given.append(None)
        else:
            found = domain(what)
            names[key] = OBJECT + found.name
            given.append(found)
    return names, (given[0], given[1])
