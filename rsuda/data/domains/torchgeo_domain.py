"""Turn torchgeo datasets into domains. No other module knows torchgeo.

The files of a dataset become scenes. rsuda reads these files itself: in windows, on their own grids, with their own nodata. This
needs torchgeo 0.8 or later, whose index is a GeoDataFrame with a column filepath; no sampler is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from rsuda.core.band_names import band_names, colours_by_wavelength, colours_of
from rsuda.core.errors import InputError
from rsuda.core.legend import Legend
from rsuda.data.domains.domain import Domain
from rsuda.geo.grids.grid import Grid
from rsuda.geo.grids.overlap import covered_share
from rsuda.geo.rasters.raster import RasterFile, is_remote
from rsuda.geo.scenes.scene import Scene

_MOST_COLOURS = 64  # longer palettes list all values of a data type, not the classes


@dataclass(frozen=True)
class _Datasets:
    """RasterDatasets of images, and of their masks (empty for images alone)."""

    images: list[Any]
    masks: list[Any]

    def __post_init__(self) -> None:
        for dataset in self.images:
            if not dataset.is_image:
                raise InputError(f"{type(dataset).__name__} holds masks (is_image = False): pass it as labels=")
        for dataset in self.masks:
            if dataset.is_image:
                raise InputError(
                    f"{type(dataset).__name__} is passed as labels, but holds images (is_image = True): pass a dataset of masks"
                )
        for dataset in (*self.images, *self.masks):
            if dataset.separate_files:
                raise InputError(
                    f"{type(dataset).__name__} has each band in a file of its own, which rsuda does not read: stack them "
                    "first (gdalbuildvrt -separate scene.vrt red.tif green.tif …) and pass a RasterDataset of the .vrt files"
                )


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
    """Make the domain of a torchgeo dataset; the arguments are those of ``rsuda.domain``.

    Raises:
        InputError: torchgeo is not installed, the dataset has no raster files, or no mask lies on an image.
    """
    datasets = _classify(images, labels)
    order, image_bands = _band_order(datasets.images, bands)
    masks = [file for dataset in datasets.masks for file in _files(dataset)]
    scenes = _make_scenes(datasets, masks, order, gsd)
    name = name or type(datasets.images[0]).__name__
    notes = [
        f"the transforms of {type(dataset).__name__} are not applied: rsuda reads its files"
        for dataset in (*datasets.images, *datasets.masks)
        if dataset.transforms is not None
    ]
    return Domain(
        name,
        scenes,
        image_bands or order,
        _make_legend(datasets.masks, masks, legend, ignore) if datasets.masks else None,
        _make_splits(scenes, splits, name),
        notes=tuple(dict.fromkeys(notes)),
    )


def _classify(images: Any, labels: Any) -> _Datasets:
    """Divide datasets into those of images and those of masks."""
    try:
        from torchgeo.datasets import IntersectionDataset
    except ImportError as error:
        raise InputError(
            f"a {type(images).__name__} is not the name of a domain, and datasets of torchgeo need torchgeo ({error}): pip "
            "install 'rsuda[torchgeo]'"
        ) from None
    if not isinstance(images, IntersectionDataset):
        masks = [] if labels is None else _parts(labels, "labels")
        return _Datasets(_parts(images, "the images of a domain"), masks)
    parts = [part for dataset in images.datasets for part in _parts(dataset, "part of a domain")]
    pictures, masks = ([part for part in parts if bool(part.is_image) == is_image] for is_image in (True, False))
    if labels is not None or not pictures or not masks:
        raise InputError(
            "an IntersectionDataset serves as a domain when it joins images and masks (is_image = False), and then "
            "without labels beside it"
        )
    return _Datasets(pictures, masks)


def _parts(dataset: Any, use: str) -> list[Any]:
    """List the RasterDatasets that a dataset is the union of."""
    from torchgeo.datasets import GeoDataset, RasterDataset, UnionDataset

    if isinstance(dataset, RasterDataset):
        return [dataset]
    if isinstance(dataset, UnionDataset):
        return [part for member in dataset.datasets for part in _parts(member, use)]
    kind = "torchgeo's dataset" if isinstance(dataset, GeoDataset) else "an object of type"
    raise InputError(
        f"{kind} {type(dataset).__name__} cannot serve as {use}: pass a name, a Domain or a RasterDataset of its files"
    )


def _make_scenes(
    datasets: _Datasets, masks: Sequence[str], order: tuple[str, ...] | None, gsd: float | None
) -> dict[str, Scene]:
    labels_at = _PlacedMasks(masks)
    scenes: dict[str, Scene] = {}
    for file in [file for dataset in datasets.images for file in _files(dataset)]:
        stem = Path(file).stem
        key = stem if stem not in scenes else str(file).strip("/").replace("/", "_")
        grid = RasterFile(file).grid
        label = labels_at.find(file, grid)
        scenes[key] = Scene(key, file if is_remote(file) else Path(file), Path(label) if label else None, order, gsd)
    return scenes


def _files(dataset: Any) -> list[str]:
    """List the files in a dataset's index: those that match its pattern and could be opened."""
    return sorted({str(file) for file in dataset.index["filepath"]})


class _PlacedMasks:
    """Finds the mask of an image: the one with the same pixel grid, else the one that covers most of it."""

    def __init__(self, files: Sequence[str]) -> None:
        self.grids = {file: RasterFile(file).grid for file in files}
        self.sizes: dict[tuple[int, int], list[str]] = {}
        for file, grid in self.grids.items():
            self.sizes.setdefault((grid.height, grid.width), []).append(file)
        corners = {size: np.stack([_corners(self.grids[file]) for file in files]) for size, files in self.sizes.items()}
        self.corners = corners

    def find(self, image: str, grid: Grid) -> str | None:
        """Find the mask of an image; None without any masks.

        Raises:
            InputError: no mask covers a part of the image, or several cover equal parts.
        """
        if not self.grids:
            return None
        size = grid.height, grid.width
        if size in self.sizes:
            distance = np.abs(self.corners[size] - _corners(grid)).max((1, 2))
            nearest = self.sizes[size][int(distance.argmin())]
            if grid.same_pixels(self.grids[nearest]):
                return nearest
        shares = {file: covered_share(grid, other) for file, other in self.grids.items()}
        best = max(shares, key=lambda file: shares[file])
        if shares[best] == 0:
            raise InputError(
                f"none of the {len(shares)} masks lies on {image}: pass a dataset of masks of the same place, or correct their "
                "georeference"
            )
        equal = [file for file, share in shares.items() if share == shares[best]]
        if len(equal) > 1:
            raise InputError(
                f"{' and '.join(equal[:2])} both cover {shares[best]:.0%} of {image}: pass a dataset with one mask for each image"
            )
        return best


def _corners(grid: Grid) -> np.ndarray:
    """Compute the world positions of three corners, which locate a grid of any rotation."""
    return np.array([grid.world(0, 0), grid.world(grid.height, 0), grid.world(0, grid.width)])


def _band_order(
    datasets: list[Any], bands: str | Sequence[str] | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Find band names in file order, and the bands in the dataset's order; None if only the files have them."""
    if bands is not None:
        return band_names(bands if isinstance(bands, str) else list(bands)), None
    orders = {tuple(dataset.all_bands or ()) for dataset in datasets}
    if len(orders) > 1:
        raise InputError(f"the datasets of a union have different bands: {'; '.join(map(str, sorted(orders)))}")
    names = names_of(datasets[0])
    if not names:
        return RasterFile(_files(datasets[0])[0]).band_order, None
    by_band = dict(zip(datasets[0].all_bands, names, strict=True))
    return names, tuple(by_band[band] for band in datasets[0].bands or datasets[0].all_bands)


def names_of(dataset: Any) -> tuple[str, ...]:
    """Name a dataset's bands in file order: by wavelength if it has them, else by its band names, else by ``rgb_bands``.

    Bands other than blue, green, red and near infrared keep their names in lower case.
    """
    every = [str(band) for band in dataset.all_bands or ()]
    names = _names_by_wavelength(every, getattr(dataset, "wavelengths", None) or {}) or colours_of(every)
    if not names:
        names = dict(zip(getattr(dataset, "rgb_bands", None) or (), ("red", "green", "blue"), strict=False))
    return tuple(names.get(band, band.lower()) for band in every)


def _names_by_wavelength(bands: Sequence[str], wavelengths: Mapping[str, float]) -> dict[str, str]:
    lengths = {
        band: wavelengths[key] for band in bands for key in (band, band.rpartition("_")[2]) if key in wavelengths
    }
    return colours_by_wavelength(lengths)


def _make_legend(
    masks: list[Any], files: list[str], legend: Legend | Sequence[Mapping[str, Any]] | None, ignore: Sequence[int]
) -> Legend:
    """Return the legend that is passed, or make one of the dataset's class names and colours."""
    if isinstance(legend, Legend):
        return legend
    values = {RasterFile(file).nodata for file in files}
    ignored_values = sorted({*ignore, *(int(value) for value in values if value is not None and 0 <= value <= 255)})
    if legend is not None:
        class_values = {
            value for entry in legend for value in entry.get("values", [entry["value"]] if "value" in entry else [])
        }
        return Legend.from_fields(
            [dict(entry) for entry in legend], [value for value in ignored_values if value not in class_values]
        )
    names, palette = _class_names(masks[0], files), dict(masks[0].cmap or {})
    colours = {value: list(palette[value][:3]) for value in names if value in palette}
    spare = iter([[round(255 * part) for part in colormaps["tab20"](k % 20)[:3]] for k in range(len(names))])
    fields = [
        {"name": name, "value": value, "colour": colours.get(value) or next(spare)}
        for value, name in names.items()
        if value not in ignored_values
    ]
    return Legend.from_fields(fields, ignored_values)


def _class_names(dataset: Any, files: list[str]) -> dict[int, str]:
    """Read the class names of a dataset of masks by pixel value."""
    names, palette = getattr(dataset, "classes", None) or [], dict(dataset.cmap or {})
    if isinstance(names, Mapping):
        return {int(value): str(name) for value, name in names.items()}
    if names and all(isinstance(name, str) for name in names):
        values = sorted(palette) if len(palette) == len(names) else range(len(names))
        return dict(zip(values, names, strict=True))
    if palette:  # values without names; of a long palette those that occur
        present = sorted(palette) if len(palette) < _MOST_COLOURS else sorted(_values_in(files) & set(palette))
        return {value: f"class {value}" for value in present}
    raise InputError(
        f"{type(dataset).__name__} has no class names and no colours: pass "
        'legend=[{"name": "water", "value": 1, "colour": "#0000FF"}, …]'
    )


def _values_in(files: Sequence[str]) -> set[int]:
    """Collect all values of one-band files."""
    values: set[int] = set()
    for file in map(RasterFile, files):
        height, width = file.grid.height, file.grid.width
        for row in range(0, height, 1024):
            part = file.read([1], (row, 0, min(1024, height - row), width))
            values |= set(map(int, np.unique(part.values)))
    return values


def _make_splits(
    scenes: Mapping[str, Scene], splits: Mapping[str, Sequence[str]] | None, name: str
) -> dict[str, list[str]]:
    every = list(scenes)
    members: dict[str, list[str]] = {}
    for split, patterns in (splits or {}).items():
        members[split] = [scene for scene in every if any(fnmatchcase(scene, text) for text in patterns)]
        if not members[split]:
            raise InputError(
                f"split '{split}' of {name} has no scene: its patterns are {', '.join(patterns)}, and a scene is named "
                f"{every[0]}"
            )
    return {"train": every, **members, "all": every}
