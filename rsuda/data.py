"""The domain pair as patches: what both domains feed the network, and a loader of random windows of their scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rsuda.config import Settings
from rsuda.domains import Domain
from rsuda.errors import InputError
from rsuda.legend import IGNORE, Legend
from rsuda.scene import Scene
from rsuda.spec import Spec, band_code
from rsuda.tiles import random_window

# Mean and standard deviation of ImageNet photos on 0..1, in file channel order: the networks' usual input scale. An IRRG
# file's IR gets the statistics of red, as in all the ISPRS papers. Bands past the third get those of green.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Pair:
    """A source with labels and a target without, on common ground.

    Attributes:
        source, target: scenes to train on; the target's labels are dropped here, so nothing later can open them.
        source_spec, target_spec: how each domain's pixels enter the network; the target's is saved with the network.
        legend: the source's own legend, for reading its labels.
        gsd: common metres per pixel, or None to read both domains as they are.
        notes: what the user should know about the choice.
    """

    source: list[Scene]
    target: list[Scene]
    source_spec: Spec
    target_spec: Spec
    legend: Legend
    gsd: float | None
    class_shares: tuple[float, ...]
    notes: tuple[str, ...]


def pair(source: Domain, target: Domain, s: Settings) -> Pair:
    """Match two domains: bands by name, a common GSD, one legend; reads all source labels once to check them.

    Raises InputError when the source lacks labels, colours are outside the legend, band counts differ, …
    """
    sources = source.labelled(s.source_split)
    targets = [
        Scene(t.name, t.image, None, t.bands, t.declared_gsd, t.crs)
        for t in target.split(s.target_split if s.target_split in target.splits else "all")
    ]
    notes = [*source.notes, *(n for n in target.notes if n not in source.notes)]
    source_bands, target_bands = source.bands, target.bands
    if target_bands is None:
        first = targets[0].file
        if source_bands is None or first.count < len(source_bands):
            raise InputError(f"the band order of {first.path} is unknown: name it, for example --target-bands RGB")
        target_bands = source_bands[: first.count] if first.count == len(source_bands) else None
        if target_bands is None:
            raise InputError(
                f"{first.path} has {first.count} bands of unknown order: name them, for example --target-bands RGBIR"
            )
        notes.append(f"the bands of {target.name} are not named in its files and taken as {band_code(target_bands)}")
    assert source_bands is not None
    fed_source, fed_target = _fed(source_bands, target_bands)
    if fed_source != fed_target:
        notes.append(
            f"the network is fed {band_code(fed_source)} of {source.name} and {band_code(fed_target)} of {target.name}, "
            "band by band: they differ"
        )
    gsd = target.gsd if s.gsd is None else None if s.gsd == "native" else float(s.gsd)
    ratio = max(target.gsd, source.gsd) / min(target.gsd, source.gsd)
    if gsd is None and ratio > 1.5:
        notes.append(f"GSDs differ {ratio:.1f}-fold ({source.gsd:g} and {target.gsd:g} m) and are not resampled")
    for scenes, fed in ((sources, fed_source), (targets, fed_target)):
        for scene in scenes:  # each header now, rather than an error in the middle of training
            scene.file.band_numbers(fed)
            scene.step(gsd)
    assert source.legend is not None
    shares = _survey(sources, source.legend, notes)
    legend = Legend(source.legend.names, tuple((c,) for c in source.legend.palette))
    specs = [
        _spec(scenes, bands, gsd or target.gsd, gsd, legend, s.standardise)
        for scenes, bands in ((sources, fed_source), (targets, fed_target))
    ]
    return Pair(sources, targets, specs[0], specs[1], source.legend, gsd, shares, tuple(notes))


def _fed(source: tuple[str, ...], target: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bands fed from each domain: the target's, by name, if the source has them; else the first ones in file order."""
    if set(target) <= set(source):
        return target, target
    if set(source) <= set(target):
        return source, source
    common = min(len(source), len(target))
    return source[:common], target[:common]


def _survey(scenes: list[Scene], legend: Legend, notes: list[str]) -> tuple[float, ...]:
    """Class shares of labelled pixels; refuses labels that are mostly outside the legend, reports the odd pixels."""
    counts, off, total = np.zeros(256, np.int64), 0, 0
    for scene in scenes:
        label, outside = scene.whole_label(legend)
        counts += np.bincount(label.ravel(), minlength=256)
        off, total = off + outside, total + label.size
    if off:
        notes.append(f"{off} label pixels ({off / total:.3%}) are outside the legend and ignored")
    labelled = counts[: len(legend)].sum()
    if not labelled:
        raise InputError(f"no pixel of the {len(scenes)} source labels belongs to a class of the legend")
    return tuple(float(c) for c in counts[: len(legend)] / labelled)


def _spec(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float, read_at: float | None, legend: Legend, standardise: str
) -> Spec:
    dtype = np.dtype(scenes[0].file.dtype)
    low, high = (0.0,) * len(bands), (255.0,) * len(bands)
    mean, std = (tuple((v * 2)[: len(bands)]) for v in (_MEAN, _STD))
    if dtype != np.uint8 or standardise == "domain":
        pixels = _sample(scenes, bands, read_at)
        if dtype != np.uint8:  # a fixed stretch of the whole domain, never of a tile
            low, high = (tuple(map(float, np.percentile(pixels, q, axis=1))) for q in (0.5, 99.5))
            high = tuple(max(h, lo + 1e-6) for lo, h in zip(low, high, strict=True))
        if standardise == "domain":
            unit = (pixels - np.array(low)[:, None]) / (np.array(high) - np.array(low))[:, None]
            mean, std = tuple(map(float, unit.mean(1))), tuple(map(float, unit.std(1).clip(1e-3)))
    return Spec(bands, gsd, low, high, mean, std, legend)


def _sample(scenes: list[Scene], bands: tuple[str, ...], gsd: float | None, windows: int = 64) -> np.ndarray:
    """Valid pixels (bands, n) of random windows, for statistics."""
    rng, found = np.random.default_rng(0), []
    for _ in range(windows):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(gsd)
        row, col = random_window(rng, grid.height, grid.width, 128)
        patch = scene.read(bands, gsd, (row, col, 128, 128))
        found.append(patch.values[:, patch.valid].astype(np.float64))
    pixels = np.concatenate(found, 1)
    if not pixels.size:
        raise InputError(f"no valid pixel in {windows} windows of {scenes[0].image.parent}: are its scenes all nodata?")
    return pixels


def unit(values: np.ndarray, spec: Spec) -> np.ndarray:
    """Raw pixels (bands, H, W) on the 0..1 scale of a spec, float32."""
    low, high = (np.array(v, np.float32)[:, None, None] for v in (spec.low, spec.high))
    return (values.astype(np.float32) - low) / (high - low)


class Patches(Dataset[dict[str, Tensor]]):
    """Item i is a source patch with its label and, with ``with_target``, a target patch with its valid mask.

    Item i depends on (seed, i) alone, whatever worker reads it. Images are (bands, crop, crop) float32 on 0..1 with 0
    outside the valid pixels, labels uint8.
    """

    def __init__(self, pair: Pair, s: Settings, with_target: bool) -> None:
        self.pair, self.s, self.with_target = pair, s, with_target
        self.shares = {"source": _areas(pair.source, pair.gsd), "target": _areas(pair.target, pair.gsd)}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.s.seed, 0, index))
        image, label = self._source(rng)
        item = {"source_image": torch.from_numpy(image), "source_label": torch.from_numpy(label)}
        if self.with_target:
            rng = np.random.default_rng((self.s.seed, 1, index))
            image, valid = self._target(rng)
            item |= {"target_image": torch.from_numpy(image), "target_valid": torch.from_numpy(valid)}
        return item

    def _source(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        size, label, window, gsd = self.s.crop, np.zeros(0, np.uint8), (0, 0, 0, 0), self.pair.gsd
        scene = self.pair.source[0]
        for _ in range(10):
            scene = self.pair.source[int(rng.choice(len(self.pair.source), p=self.shares["source"]))]
            # a random scale costs nothing: it is a random GSD
            own = self.pair.gsd or sum(scene.gsd) / 2
            factor = float(np.exp(rng.uniform(*np.log(self.s.scale)))) if self.s.scale != (1.0, 1.0) else 1.0
            gsd = own * factor
            grid = scene.grid_at(gsd)
            row, col = random_window(rng, grid.height, grid.width, size)
            window = (row, col, size, size)
            label, _off = scene.read_label(self.pair.legend, gsd, window)
            counts = np.bincount(label[label != IGNORE], minlength=1)
            if counts.sum() and counts.max() <= self.s.max_share * counts.sum():
                break
        patch = scene.read(self.pair.source_spec.bands, gsd, window)
        image = unit(patch.values, self.pair.source_spec) * patch.valid
        return image, np.where(patch.valid, label, np.uint8(IGNORE))

    def _target(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        size = self.s.crop
        image, valid = np.zeros(0, np.float32), np.zeros(0, bool)
        for _ in range(10):  # windows of nodata teach nothing
            scene = self.pair.target[int(rng.choice(len(self.pair.target), p=self.shares["target"]))]
            grid = scene.grid_at(self.pair.gsd)
            row, col = random_window(rng, grid.height, grid.width, size)
            patch = scene.read(self.pair.target_spec.bands, self.pair.gsd, (row, col, size, size))
            image, valid = unit(patch.values, self.pair.target_spec) * patch.valid, patch.valid
            if valid.mean() > 0.25:
                break
        return image, valid


def _areas(scenes: list[Scene], gsd: float | None) -> np.ndarray:
    grids = [s.grid_at(gsd) for s in scenes]
    areas = np.array([g.height * g.width for g in grids], np.float64)
    return areas / areas.sum()


class _From(Sampler[int]):
    """0, 1, 2, … without end, from a first index on."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return iter(count(self.first))


def loader(pair: Pair, s: Settings, with_target: bool, first_step: int = 0) -> DataLoader[Any]:
    """Batches without end; a resumed run starts at ``first_step`` and gets what the uninterrupted one would have got."""
    return DataLoader(
        Patches(pair, s, with_target),
        batch_size=s.batch_size,
        sampler=_From(first_step * s.batch_size),
        num_workers=s.workers,
        persistent_workers=s.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
