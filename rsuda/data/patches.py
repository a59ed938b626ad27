"""Patches of a domain pair: a loader of random windows of its scenes, the same for every worker and every resumed run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rsuda.core.legend import IGNORE
from rsuda.core.settings import Settings
from rsuda.data.colours import mix_bands
from rsuda.data.pair import Pair
from rsuda.geo.raster import Raster, Window4
from rsuda.geo.scene import Scene
from rsuda.geo.windows import random_window
from rsuda.learning import distributed as world


class PatchDataset(Dataset[dict[str, Tensor]]):
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

    def where(self, index: int) -> str:
        """Scenes and windows of item i, in pixels of the network's GSD: 'source a.tif rows 12 to 76, columns 3 to 67'."""
        scene, window, _, _ = self._source_window(np.random.default_rng((self.s.seed, 0, index)))
        told = [("source", scene, window)]
        if self.with_target:
            told.append(("target", *self._target_patch(np.random.default_rng((self.s.seed, 1, index)))[:2]))
        return ", ".join(
            f"{domain} {Path(str(scene.image)).name} rows {row} to {row + height}, columns {col} to {col + width}"
            for domain, scene, (row, col, height, width) in told
        )

    def _source(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        s = self.s
        scene, window, gsd, label = self._source_window(rng)
        patch = scene.read(self.pair.source_spec.bands, gsd, window)
        image = self.pair.source_spec.unit(patch.values)
        if self.pair.matching is not None:
            image = self.pair.matching(image)
        if s.band_mixing and not self.pair.annotated:
            image = mix_bands(image, rng, s.band_mixing)
        image = image.astype(np.float32) * patch.valid
        return image, np.where(patch.valid, label, np.uint8(IGNORE))

    def _source_window(self, rng: np.random.Generator) -> tuple[Scene, Window4, float | None, np.ndarray]:
        """Scene, window at a GSD, and its label."""
        s, size = self.s, self.s.crop
        scene, label, window, gsd = self.pair.source[0], np.zeros(0, np.uint8), (0, 0, 0, 0), self.pair.gsd
        for _ in range(10):
            centre = None
            if s.rare_temperature:
                number, *centre = self.pair.places.draw(rng, s.rare_temperature)
            elif self.pair.places.sparse:
                number, *centre = self.pair.places.draw_labelled(rng)
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
            # of a few annotated windows each is learnt from, those of one class too
            largest = 1.0 if self.pair.places.sparse else s.max_share
            if counts.sum() and counts.max() <= largest * counts.sum():
                break
        return scene, window, gsd, label

    def _target(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        _, _, patch = self._target_patch(rng)
        return self.pair.target_spec.unit(patch.values) * patch.valid, patch.valid

    def _target_patch(self, rng: np.random.Generator) -> tuple[Scene, Window4, Raster]:
        size = self.s.crop
        for _ in range(10):  # windows of nodata teach nothing
            scene = self.pair.target[int(rng.choice(len(self.pair.target), p=self.shares["target"]))]
            grid = scene.grid_at(self.pair.gsd)
            row, col = random_window(rng, grid.height, grid.width, size)
            window = (row, col, size, size)
            patch = scene.read(self.pair.target_spec.bands, self.pair.gsd, window)
            if patch.valid.mean() > 0.25:
                break
        return scene, window, patch


def _areas(scenes: list[Scene], gsd: float | None) -> np.ndarray:
    grids = [s.grid_at(gsd) for s in scenes]
    areas = np.array([g.height * g.width for g in grids], np.float64)
    return areas / areas.sum()


def target_batches(pair: Pair, s: Settings, number: int) -> Iterator[Tensor]:
    """Standardised target images (B, bands, crop, crop), not augmented."""
    patches = PatchDataset(pair, s, with_target=True)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (pair.target_spec.mean, pair.target_spec.std))
    for batch in range(number):
        rng = np.random.default_rng((s.seed, 3, batch))
        images = np.stack([patches._target(rng)[0] for _ in range(s.batch_size)])
        yield torch.from_numpy((images - mean) / std)


class _From(Sampler[int]):
    """Items without end, from a first batch on, ``size`` at a time. Of W processes that train together each takes its own
    ``size`` of every W * ``size`` items, so that all together take those of one process with the larger batch."""

    def __init__(self, first: int, size: int) -> None:
        self.first, self.size = first, size

    def __iter__(self) -> Iterator[int]:
        # asked now, since processes meet only when training begins
        together, rank = world.count(), world.rank()
        for batch in count(self.first):
            start = (batch * together + rank) * self.size
            yield from range(start, start + self.size)


def loader(pair: Pair, s: Settings, with_target: bool, first_step: int = 0) -> DataLoader[Any]:
    """Batches without end, ``s.accumulate`` a step; a resumed run starts at ``first_step`` and gets what the uninterrupted one
    would have got."""
    return DataLoader(
        PatchDataset(pair, s, with_target),
        batch_size=s.batch_size,
        sampler=_From(first_step * s.accumulate, s.batch_size),
        num_workers=s.workers,
        persistent_workers=s.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
