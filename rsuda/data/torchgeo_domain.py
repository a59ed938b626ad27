"""torchgeo datasets as domains. The only module that knows torchgeo.

A dataset's files become scenes, and rsuda reads the files itself: in windows, on their own grids, with their own nodata.
Written for torchgeo from 0.8 on (its index is a GeoDataFrame with a column filepath); no sampler is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.core.spec import band_names
from rsuda.data.domain import Domain
from rsuda.geo.grid import Grid
from rsuda.geo.raster import RasterFile, is_remote
from rsuda.geo.scene import Scene

# Nominal wavelengths in micrometres; a sensor's band is the one nearest to its colour's, within this distance.
_COLOURS = {"blue": 0.485, "green": 0.56, "red": 0.66, "ir": 0.835}
_APART = 0.04
_LETTERS = {"r": "red", "g": "green", "b": "blue", "n": "ir", "nir": "ir", "ir": "ir", "nir1": "ir"}
_SENTINEL_2 = {"b02": "blue", "b03": "green", "b04": "red", "b08": "ir"}  # with the 0; Landsat's B2 is another


def domain_of_dataset(
    images: Any,
    labels: Any = None,
    legend: Legend | Sequence[Mapping[str, Any]] | None = None,
    ignore: Sequence[int] = (),
    bands: str | Sequence[str] | None = None,
    gsd: float | None = None,
    splits: Mapping[str, Sequence[str]] | None = None,
    name: str | None = None,
) -> Domain:
    """The domain of a torchgeo dataset; the arguments are those of ``rsuda.domain``.

    Raises InputError when torchgeo is not installed, the dataset is of a kind that has no raster files, or masks do not
    lie on the images' pixels.
    """
    try:
        from torchgeo.datasets import GeoDataset, IntersectionDataset, RasterDataset, UnionDataset
    except ImportError as error:
        raise InputError(
            f"a {type(images).__name__} is no name of a domain, and torchgeo's datasets cannot be told without torchgeo "
            f"({error}): pip install 'rsuda[torchgeo]'"
        ) from None

    def parts(dataset: Any, what: str) -> list[Any]:
        """The RasterDatasets that a dataset is the union of."""
        if isinstance(dataset, RasterDataset):
            return [dataset]
        if isinstance(dataset, UnionDataset):
            return [p for d in dataset.datasets for p in parts(d, what)]
        kind = type(dataset).__name__
        of = "torchgeo's dataset" if isinstance(dataset, GeoDataset) else "an object of type"
        raise InputError(f"{of} {kind} cannot serve as {what}: pass a name, a Domain or a RasterDataset of its files")

    if isinstance(images, IntersectionDataset):
        both = [p for d in images.datasets for p in parts(d, "part of a domain")]
        pictures, masks = ([d for d in both if bool(d.is_image) == wanted] for wanted in (True, False))
        if labels is not None or not pictures or not masks:
            raise InputError(
                "an IntersectionDataset serves as a domain when it joins images and masks (is_image = False), and then "
                "without labels beside it"
            )
    else:
        pictures, masks = parts(images, "the images of a domain"), [] if labels is None else parts(labels, "labels")
    for dataset in pictures:
        if not dataset.is_image:
            raise InputError(f"{type(dataset).__name__} holds masks (is_image = False): pass it as labels=")
    for dataset in masks:
        if dataset.is_image:
            raise InputError(f"{type(dataset).__name__} is passed as labels, but holds images (is_image = True)")
    for dataset in (*pictures, *masks):
        if dataset.separate_files:
            raise InputError(
                f"{type(dataset).__name__} keeps each band in a file of its own, which rsuda does not read: stack them "
                "first (gdalbuildvrt -separate scene.vrt red.tif green.tif …) and pass a RasterDataset of the .vrt files"
            )
    order, chosen = _order(pictures, bands)
    drawn = [f for d in masks for f in _files(d)]
    on_pixels = _OnPixels(drawn)
    scenes: dict[str, Scene] = {}
    for file in [f for d in pictures for f in _files(d)]:
        stem = Path(file).stem
        key = stem if stem not in scenes else str(file).strip("/").replace("/", "_")
        grid = RasterFile(file).grid
        label = on_pixels.find(grid)
        if masks and label is None:
            raise InputError(
                f"no mask lies on the pixels of {file} ({grid.width} x {grid.height} px): bring the masks to the grid of "
                f"their images first, for example rio warp MASK.tif OUT.tif --like {file} --resampling nearest"
            )
        scenes[key] = Scene(key, file if is_remote(file) else Path(file), Path(label) if label else None, order, gsd)
    kind = type(pictures[0]).__name__
    notes = [
        f"the transforms of {type(d).__name__} are not applied: rsuda reads its files"
        for d in (*pictures, *masks)
        if d.transforms is not None
    ]
    return Domain(
        name or kind, scenes, chosen or order, _legend(masks, drawn, legend, ignore) if masks else None,
        _splits(scenes, splits, name or kind), notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _files(dataset: Any) -> list[str]:
    """The files in a dataset's index: those of its pattern that could be opened."""
    return sorted({str(f) for f in dataset.index["filepath"]})


class _OnPixels:
    """Finds the file whose pixels are those of a grid, but for a hundredth of a pixel."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files: dict[tuple[int, int], list[str]] = {}
        corners: dict[tuple[int, int], list[np.ndarray]] = {}
        for file in files:
            grid = RasterFile(file).grid
            self.files.setdefault((grid.height, grid.width), []).append(file)
            corners.setdefault((grid.height, grid.width), []).append(_corners(grid))
        self.corners = {size: np.stack(found) for size, found in corners.items()}

    def find(self, grid: Grid) -> str | None:
        size = grid.height, grid.width
        if size not in self.files:
            return None
        apart = np.abs(self.corners[size] - _corners(grid)).max((1, 2))
        nearest = int(apart.argmin())
        return self.files[size][nearest] if apart[nearest] < 0.01 * min(grid.pixel_size) else None


def _corners(grid: Grid) -> np.ndarray:
    """World positions of three corners, which place a grid wherever it is turned to."""
    return np.array([grid.world(0, 0), grid.world(grid.height, 0), grid.world(0, grid.width)])


def _order(datasets: list[Any], bands: str | Sequence[str] | None) -> tuple[Any, Any]:
    """Band names in file order, and those that the dataset gives, in its order; None where only the files may know."""
    if bands is not None:
        return band_names(bands if isinstance(bands, str) else list(bands)), None
    orders = {tuple(d.all_bands or ()) for d in datasets}
    if len(orders) > 1:
        raise InputError(f"the datasets of a union have other bands each: {'; '.join(map(str, sorted(orders)))}")
    names = names_of(datasets[0])
    if not names:
        return RasterFile(_files(datasets[0])[0]).named_bands, None
    own = dict(zip(datasets[0].all_bands, names, strict=True))
    return names, tuple(own[b] for b in datasets[0].bands or datasets[0].all_bands)


def names_of(dataset: Any) -> tuple[str, ...]:
    """rsuda's names of a dataset's bands in file order: by wavelength where the dataset tells them, else by name, else as
    its ``rgb_bands`` say; bands that are none of blue, green, red and near infrared keep their names in lower case."""
    every = [str(b) for b in dataset.all_bands or ()]
    lengths = getattr(dataset, "wavelengths", None) or {}
    found: dict[str, str] = {}
    told = {b: lengths[k] for b in every for k in (b, b.rpartition("_")[2]) if k in lengths}
    for colour, wavelength in _COLOURS.items():
        near = min(told, key=lambda b: abs(told[b] - wavelength), default=None)
        if near is not None and abs(told[near] - wavelength) < _APART and near not in found:
            found[near] = colour
    for band in every if not found else ():
        word = band.lower().replace(" ", "").replace("_", "")
        named = _LETTERS.get(word) or _SENTINEL_2.get(word) or (word if word in _COLOURS else None)
        if named and named not in found.values():
            found[band] = named
    if not found:
        found = dict(zip(getattr(dataset, "rgb_bands", None) or (), ("red", "green", "blue"), strict=False))
    return tuple(found.get(b, b.lower()) for b in every)


def _legend(
    masks: list[Any], files: list[str], given: Legend | Sequence[Mapping[str, Any]] | None, ignore: Sequence[int]
) -> Legend:
    """The legend given, or the one that the dataset's class names and colours make up."""
    if isinstance(given, Legend):
        return given
    nodata = [int(v) for v in {RasterFile(f).nodata for f in files} if v is not None and 0 <= v <= 255]
    left = sorted({*ignore, *nodata})
    if given is not None:
        listed = {v for c in given for v in c.get("values", [c["value"]] if "value" in c else [])}
        return Legend.from_fields([dict(c) for c in given], [v for v in left if v not in listed])
    names, table = getattr(masks[0], "classes", None) or [], dict(masks[0].cmap or {})
    if isinstance(names, Mapping):
        listed_names = {int(k): str(v) for k, v in names.items()}
    elif names and all(isinstance(n, str) for n in names):
        values = sorted(table) if len(table) == len(names) else range(len(names))
        listed_names = dict(zip(values, names, strict=True))
    elif table:  # values without names; of a palette of 256 those that occur
        present = sorted(table) if len(table) < 64 else sorted(_values_in(files) & set(table))
        listed_names = {v: f"class {v}" for v in present}
    else:
        raise InputError(
            f"{type(masks[0]).__name__} names no classes and has no colours: pass "
            'legend=[{"name": "water", "value": 1, "colour": "#0000FF"}, …]'
        )
    drawn = {v: list(table[v][:3]) for v in listed_names if v in table}
    spare = iter([[round(255 * v) for v in colormaps["tab20"](k % 20)[:3]] for k in range(len(listed_names))])
    fields = [
        {"name": n, "value": v, "colour": drawn.get(v) or next(spare)} for v, n in listed_names.items() if v not in left
    ]
    return Legend.from_fields(fields, left)


def _values_in(files: Sequence[str]) -> set[int]:
    """All values of one-band files."""
    found: set[int] = set()
    for file in map(RasterFile, files):
        height, width = file.grid.height, file.grid.width
        for row in range(0, height, 1024):
            part = file.read([1], (row, 0, min(1024, height - row), width))
            found |= set(map(int, np.unique(part.values)))
    return found


def _splits(scenes: dict[str, Scene], given: Mapping[str, Sequence[str]] | None, name: str) -> dict[str, list[str]]:
    every = list(scenes)
    found = {k: [n for n in every if any(fnmatchcase(n, p) for p in patterns)] for k, patterns in (given or {}).items()}
    empty = next((k for k, names in found.items() if not names), None)
    if empty:
        raise InputError(
            f"no scene of {name} is in its split '{empty}', whose patterns are {', '.join((given or {})[empty])}; "
            f"scenes are named as {every[0]}"
        )
    return {"train": every, **found, "all": every}
