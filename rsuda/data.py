"""The domain pair as patches: what both domains feed the network, and a loader of random windows of their scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rsuda.colours import Matching, mix_bands
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
        class_shares: of the source's labelled pixels.
        places: where the source's classes lie, for rare-class sampling.
        matching: brings source patches to the target's colours, when they are to be.
        notes: what the user should know about the choice.
    """

    source: list[Scene]
    target: list[Scene]
    source_spec: Spec
    target_spec: Spec
    legend: Legend
    gsd: float | None
    class_shares: tuple[float, ...]
    places: Places
    matching: Matching | None
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
    fed_source, fed_target = _fed(source_bands, target_bands, s.band_matching)
    if fed_source != fed_target:
        notes.append(
            f"the network is fed {band_code(fed_source)} of {source.name} and {band_code(fed_target)} of {target.name}, "
            "band by band: they differ (band_matching: name feeds only those that both have)"
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
    shares, places = _survey(sources, source.legend, notes)
    legend = Legend(source.legend.names, tuple((c,) for c in source.legend.palette))
    specs = [
        _spec(scenes, bands, gsd or target.gsd, gsd, legend, s.standardise)
        for scenes, bands in ((sources, fed_source), (targets, fed_target))
    ]
    matching = None
    if s.colours == "match":
        matching = Matching(*(
            unit(np.concatenate(_windows(scenes, spec.bands, gsd, 128, 64), 1)[:, :, None], spec)[:, :, 0]
            for scenes, spec in ((sources, specs[0]), (targets, specs[1]))
        ))  # fmt: skip
        specs[0] = replace(specs[0], mean=specs[1].mean, std=specs[1].std)  # its patches now have the target's colours
    return Pair(sources, targets, specs[0], specs[1], source.legend, gsd, shares, places, matching, tuple(notes))


def _fed(source: tuple[str, ...], target: tuple[str, ...], matching: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bands fed from each domain: the target's, by name, if the source has them; else the first ones in file order, or
    with ``matching`` 'name' those that both have. Raises InputError when there are none of these."""
    if set(target) <= set(source):
        return target, target
    if set(source) <= set(target):
        return source, source
    if matching == "name":
        both = tuple(b for b in target if b in source)
        if not both:
            raise InputError(
                f"bands {band_code(source)} and {band_code(target)} have no name in common: use band_matching: order"
            )
        return both, both
    common = min(len(source), len(target))
    return source[:common], target[:common]


class Places:
    """Where the classes of labelled scenes lie, by blocks of 64 x 64 of a scene's own pixels."""

    SIZE = 64

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.blocks: list[tuple[int, int, int]] = []  # scene, row and column of the block's centre
        self.counts: list[np.ndarray] = []

    def add(self, scene: int, label: np.ndarray) -> None:
        for row in range(0, label.shape[0], self.SIZE):
            for col in range(0, label.shape[1], self.SIZE):
                block = label[row : row + self.SIZE, col : col + self.SIZE]
                self.blocks.append((scene, row + block.shape[0] // 2, col + block.shape[1] // 2))
                self.counts.append(np.bincount(block.ravel(), minlength=256)[: self.classes])

    @cached_property
    def cumulative(self) -> np.ndarray:
        """(K, blocks): running sums of a class's pixels over the blocks."""
        return np.cumsum(np.array(self.counts, np.int64), 0).T

    def draw(self, rng: np.random.Generator, temperature: float) -> tuple[int, int, int]:
        """Scene, row and column of a block that holds a class drawn by DAFormer's P(c) = softmax((1 - f_c) / T), f_c the
        class's share of all labelled pixels. Each pixel of that class is equally likely to be in the block drawn; DAFormer
        draws among images that hold enough of it, but here one scene may be as large as its whole data set."""
        total = self.cumulative[:, -1]
        score = np.where(total > 0, (1 - total / total.sum()) / temperature, -np.inf)
        chance = np.exp(score - score.max())
        drawn = int(rng.choice(self.classes, p=chance / chance.sum()))
        row = self.cumulative[drawn]
        return self.blocks[int(np.searchsorted(row, rng.integers(row[-1]), side="right"))]


def _survey(scenes: list[Scene], legend: Legend, notes: list[str]) -> tuple[tuple[float, ...], Places]:
    """Class shares of labelled pixels and where they lie; refuses labels that are mostly outside the legend, reports the
    odd pixels."""
    counts, off, total, places = np.zeros(256, np.int64), 0, 0, Places(len(legend))
    for number, scene in enumerate(scenes):
        label, outside = scene.whole_label(legend)
        counts += np.bincount(label.ravel(), minlength=256)
        places.add(number, label)
        off, total = off + outside, total + label.size
    if off:
        notes.append(f"{off} label pixels ({off / total:.3%}) are outside the legend and ignored")
    labelled = counts[: len(legend)].sum()
    if not labelled:
        raise InputError(f"no pixel of the {len(scenes)} source labels belongs to a class of the legend")
    return tuple(float(c) for c in counts[: len(legend)] / labelled), places


def _spec(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float, read_at: float | None, legend: Legend, standardise: str
) -> Spec:
    dtype = np.dtype(scenes[0].file.dtype)
    low, high = (0.0,) * len(bands), (255.0,) * len(bands)
    mean, std = (tuple((v * 2)[: len(bands)]) for v in (_MEAN, _STD))
    if dtype != np.uint8 or standardise == "domain":
        pixels = np.concatenate(_windows(scenes, bands, read_at, 128, 64), 1).astype(np.float64)
        if dtype != np.uint8:  # a fixed stretch of the whole domain, never of a tile
            low, high = (tuple(map(float, np.percentile(pixels, q, axis=1))) for q in (0.5, 99.5))
            high = tuple(max(h, lo + 1e-6) for lo, h in zip(low, high, strict=True))
        if standardise == "domain":
            unit = (pixels - np.array(low)[:, None]) / (np.array(high) - np.array(low))[:, None]
            mean, std = tuple(map(float, unit.mean(1))), tuple(map(float, unit.std(1).clip(1e-3)))
    return Spec(bands, gsd, low, high, mean, std, legend)


def _windows(
    scenes: list[Scene], bands: tuple[str, ...], gsd: float | None, size: int, number: int
) -> list[np.ndarray]:
    """Valid pixels (bands, n) of random windows, for statistics."""
    rng, found = np.random.default_rng(0), []
    for _ in range(number):
        scene = scenes[int(rng.integers(len(scenes)))]
        grid = scene.grid_at(gsd)
        row, col = random_window(rng, grid.height, grid.width, size)
        patch = scene.read(bands, gsd, (row, col, size, size))
        if patch.valid.any():
            found.append(patch.values[:, patch.valid])
    if not found:
        raise InputError(f"no valid pixel in {number} windows of {scenes[0].image.parent}: are its scenes all nodata?")
    return found


def unit(values: np.ndarray, spec: Spec) -> np.ndarray:
    """Raw pixels (bands, H, W) on the 0..1 scale of a spec, float32."""
    low, high = (np.array(v, np.float32)[:, None, None] for v in (spec.low, spec.high))
    return (values.astype(np.float32) - low) / (high - low)


class Patches(Dataset[dict[str, Tensor]]):
    """Item i is a source patch with its label and, with ``with_target``, a target patch with its valid mask.

    Item i depends on (seed, i) alone, whatever worker reads it. Images are (bands, crop, crop) float32 on 0..1 with 0
    outside the valid pixels, labels uint8. ``key`` is a random number, for whatever a method draws for this item.
    """

    def __init__(self, pair: Pair, s: Settings, with_target: bool) -> None:
        self.pair, self.s, self.with_target = pair, s, with_target
        self.shares = {"source": _areas(pair.source, pair.gsd), "target": _areas(pair.target, pair.gsd)}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.s.seed, 0, index))
        image, label = self._source(rng)
        item = {"source_image": torch.from_numpy(image), "source_label": torch.from_numpy(label)}
        item["key"] = torch.tensor(np.random.default_rng((self.s.seed, 2, index)).integers(2**62))
        if self.with_target:
            rng = np.random.default_rng((self.s.seed, 1, index))
            image, valid = self._target(rng)
            item |= {"target_image": torch.from_numpy(image), "target_valid": torch.from_numpy(valid)}
        return item

    def _source(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        s, size = self.s, self.s.crop
        scene, label, window, gsd = self.pair.source[0], np.zeros(0, np.uint8), (0, 0, 0, 0), self.pair.gsd
        for _ in range(10):
            centre = None
            if s.rare_temperature:
                number, *centre = self.pair.places.draw(rng, s.rare_temperature)
            else:
                number = int(rng.choice(len(self.pair.source), p=self.shares["source"]))
            scene = self.pair.source[number]
            # a random scale costs nothing: it is a random GSD
            own = self.pair.gsd or sum(scene.gsd) / 2
            gsd = own * (float(np.exp(rng.uniform(*np.log(s.scale)))) if s.scale != (1.0, 1.0) else 1.0)
            grid = scene.grid_at(gsd)
            row, col = random_window(rng, grid.height, grid.width, size)
            if centre:  # somewhere in the middle half of the window
                row, col = (
                    int(np.clip(round(c / step - rng.uniform(0.25, 0.75) * size), 0, n - size)) if n > size else first
                    for c, step, n, first in zip(
                        centre, scene.step(gsd), (grid.height, grid.width), (row, col), strict=True
                    )
                )
            window = (row, col, size, size)
            label, _off = scene.read_label(self.pair.legend, gsd, window)
            counts = np.bincount(label[label != IGNORE], minlength=1)
            if counts.sum() and counts.max() <= s.max_share * counts.sum():
                break
        patch = scene.read(self.pair.source_spec.bands, gsd, window)
        image = unit(patch.values, self.pair.source_spec)
        if self.pair.matching is not None:
            image = self.pair.matching(image)
        if s.band_mixing:
            image = mix_bands(image, rng, s.band_mixing)
        image = image.astype(np.float32) * patch.valid
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


def target_batches(pair: Pair, s: Settings, number: int) -> Iterator[Tensor]:
    """Standardised target images (B, bands, crop, crop), not augmented."""
    patches = Patches(pair, s, with_target=True)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (pair.target_spec.mean, pair.target_spec.std))
    for batch in range(number):
        rng = np.random.default_rng((s.seed, 3, batch))
        images = np.stack([patches._target(rng)[0] for _ in range(s.batch_size)])
        yield torch.from_numpy((images - mean) / std)


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
