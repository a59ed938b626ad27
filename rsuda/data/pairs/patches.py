"""Training patches: a loader of random windows of a domain pair, reproducible for any number of workers."""

from __future__ import annotations

import sys
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
from rsuda.data.pairs.colours import mix_bands
from rsuda.data.pairs.pair import Pair
from rsuda.geo.grids.windows import random_window
from rsuda.geo.rasters.raster import Raster, Window4
from rsuda.geo.scenes.scene import Scene
from rsuda.learning import distributed

ALL = range(sys.maxsize)
_TRIES = 10  # windows drawn for a patch; the last one is taken as it is
_VALID_SHARE = 0.25  # of the pixels of a target patch


class PatchDataset(Dataset[dict[str, Tensor]]):
    """Source patches with labels and, with ``with_target``, target patches with their valid mask.

    Without the source's data (a pair without source scenes) there are target patches alone. ``source_items`` and
    ``target_items`` are the items that have one: a phase of training may read one domain alone.

    Item i depends on (seed, i) alone, for any number of workers. It holds ``source_image`` and ``target_image``,
    (bands, size, size) float32 on 0..1 with 0 at invalid pixels. ``source_label`` is (size, size) uint8 with 255 at
    ignored and invalid pixels. ``source_valid`` and ``target_valid`` are (size, size) bool. ``target_hint``, of a target
    with hints, is (size, size) uint8 with 255 beside them. ``key`` is a random integer that seeds the method's own
    draws.
    """

    def __init__(
        self,
        pair: Pair,
        settings: Settings,
        *,
        with_target: bool,
        source_items: range = ALL,
        target_items: range = ALL,
    ) -> None:
        self.pair, self.settings = pair, settings
        self.source_items = source_items if pair.source else range(0)
        self.target_items = target_items if with_target else range(0)
        self.parts = {name: part for part in pair.parts for name in part.scenes}
        self.shares = {"target": _area_shares(pair.target, pair.gsd)}
        if pair.source:
            self.shares["source"] = _source_shares(pair)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item: dict[str, Tensor] = {}
        if index in self.source_items:
            image, label, source_valid = self._source_patch(self._generator(0, index))
            item |= {"source_image": torch.from_numpy(image), "source_label": torch.from_numpy(label)}
            item["source_valid"] = torch.from_numpy(source_valid)
        item["key"] = torch.tensor(self._generator(2, index).integers(2**62))
        if index in self.target_items:
            scene, window, patch = self._target_window(self._generator(1, index))
            item["target_image"] = torch.from_numpy(self._target_unit(patch))
            item["target_valid"] = torch.from_numpy(patch.valid)
            if self.pair.hints:
                item["target_hint"] = torch.from_numpy(self._hint(scene, window))
        return item

    def where(self, index: int) -> str:
        """Locate item i for a message: its scenes and windows in pixels of the model's GSD.

        Example: 'source a.tif rows 12 to 76, columns 3 to 67'.
        """
        places = []
        if index in self.source_items:
            scene, window, _, _ = self._source_window(self._generator(0, index))
            places.append(("source", scene, window))
        if index in self.target_items:
            scene, window, _ = self._target_window(self._generator(1, index))
            places.append(("target", scene, window))
        return ", ".join(
            f"{domain} {Path(str(scene.image)).name} rows {row} to {row + height}, columns {col} to {col + width}"
            for domain, scene, (row, col, height, width) in places
        )

    def _generator(self, stream: int, index: int) -> np.random.Generator:
        """Make the generator of item i: stream 0 is the source's, 1 the target's, 2 the key's."""
        return np.random.default_rng((self.settings.training.seed, stream, index))

    def source_patch_of_class(self, index: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Read one of a class's own patches, which depend on the class and the number alone.

        It has an image (bands, size, size) float32 on 0..1 and a label (size, size) uint8. The source must have the class.
        """
        rng = np.random.default_rng((index, 4, number))
        scene_number, *centre = self.pair.class_locations.draw_class(rng, index)
        scene, gsd = self.pair.source[scene_number], self.pair.gsd
        window = _draw_window(rng, scene, gsd, self.settings.patches.window, centre)
        label, _ = scene.read_label(self.pair.legend, gsd, window)
        return self._read_source(scene, window, gsd, label, rng)[:2]

    def _source_patch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._read_source(*self._source_window(rng), rng)

    def _read_source(
        self, scene: Scene, window: Window4, gsd: float | None, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        patch = scene.read(self.pair.source_spec.bands, gsd, window)
        image = self._source_unit(scene, patch.values)
        if self.pair.alignment.band_mixing and not self.pair.source_is_target:
            image = mix_bands(image, rng, self.pair.alignment.band_mixing)
        image = image.astype(np.float32) * patch.valid
        return image, np.where(patch.valid, label, np.uint8(IGNORE)), patch.valid

    def _source_unit(self, scene: Scene, values: np.ndarray) -> np.ndarray:
        """Scale raw pixels of a scene to 0..1, with matched colours."""
        if self.parts:
            return self.parts[scene.name].unit(values, self.pair.source_spec)
        image = self.pair.source_spec.unit(values)
        return image if self.pair.matching is None else self.pair.matching(image)

    def _source_window(self, rng: np.random.Generator) -> tuple[Scene, Window4, float | None, np.ndarray]:
        """Draw a scene, a GSD and a window at that GSD, and read its label."""
        settings, size = self.settings, self.settings.patches.window
        # all of a few annotated windows are used, those with one class too
        largest = 1.0 if self.pair.class_locations.sparse else settings.patches.max_class_share
        scene, label, window, gsd = self.pair.source[0], np.zeros(0, np.uint8), (0, 0, 0, 0), self.pair.gsd
        for _ in range(_TRIES):
            scene, centre = self._source_centre(rng)
            # a random scale is a random GSD, which takes no time
            native = self.pair.gsd or sum(scene.gsd) / 2
            gsd = native * (
                float(np.exp(rng.uniform(*np.log(settings.patches.scale))))
                if settings.patches.scale != (1.0, 1.0)
                else 1.0
            )
            window = _draw_window(rng, scene, gsd, size, centre)
            label, _ = scene.read_label(self.pair.legend, gsd, window)
            counts = np.bincount(label[label != IGNORE], minlength=1)
            if counts.sum() and counts.max() <= largest * counts.sum():
                break
        return scene, window, gsd, label

    def _source_centre(self, rng: np.random.Generator) -> tuple[Scene, list[int]]:
        """Draw a scene and a position (row, col) in its own pixels; the position is empty for random windows."""
        centre: list[int] = []
        if self.settings.align.rare_temperature:
            number, *centre = self.pair.class_locations.draw(rng, self.settings.align.rare_temperature)
        elif self.pair.class_locations.sparse:
            number, *centre = self.pair.class_locations.draw_labelled(rng)
        else:
            number = int(rng.choice(len(self.pair.source), p=self.shares["source"]))
        return self.pair.source[number], centre

    def target_patch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw a target patch: image (bands, size, size) float32 on 0..1, valid (size, size) bool."""
        _, _, patch = self._target_window(rng)
        return self._target_unit(patch), patch.valid

    def _target_unit(self, patch: Raster) -> np.ndarray:
        return self.pair.target_spec.unit(patch.values) * patch.valid

    def _hint(self, scene: Scene, window: Window4) -> np.ndarray:
        """Read the hints of a target window, (size, size) uint8 class indices, 255 without a hint."""
        legend = self.pair.target_spec.legend
        if scene.name not in self.pair.hints:
            return np.full(window[2:], IGNORE, np.uint8)
        return self.pair.hints[scene.name].read_label(legend, self.pair.gsd, window)[0]

    def _target_window(self, rng: np.random.Generator) -> tuple[Scene, Window4, Raster]:
        size = self.settings.patches.window
        for _ in range(_TRIES):  # windows of nodata are useless for training
            scene = self.pair.target[int(rng.choice(len(self.pair.target), p=self.shares["target"]))]
            window = _draw_window(rng, scene, self.pair.gsd, size, [])
            patch = scene.read(self.pair.target_spec.bands, self.pair.gsd, window)
            if patch.valid.mean() > _VALID_SHARE:
                break
        return scene, window, patch


def _draw_window(rng: np.random.Generator, scene: Scene, gsd: float | None, size: int, centre: list[int]) -> Window4:
    """Draw a window at a GSD; a ``centre`` in the scene's own pixels comes to the middle half of the window."""
    grid = scene.grid_at(gsd)
    row, col = random_window(rng, grid.height, grid.width, size)
    if centre:
        row, col = (
            int(np.clip(round(position / step - rng.uniform(0.25, 0.75) * size), 0, length - size))
            if length > size
            else first
            for position, step, length, first in zip(
                centre, scene.step(gsd), (grid.height, grid.width), (row, col), strict=True
            )
        )
    return row, col, size, size


def _source_shares(pair: Pair) -> np.ndarray:
    """Compute the chance of each source scene, in proportion to its area, unless the sources have weights."""
    weights = pair.class_locations.weights
    if weights is None:
        return _area_shares(pair.source, pair.gsd)
    shares = np.array([scene.grid.height * scene.grid.width for scene in pair.source]) * weights
    return shares / shares.sum()


def _area_shares(scenes: list[Scene], gsd: float | None) -> np.ndarray:
    grids = [scene.grid_at(gsd) for scene in scenes]
    areas = np.array([grid.height * grid.width for grid in grids], np.float64)
    return areas / areas.sum()


def target_batches(pair: Pair, settings: Settings, number: int) -> Iterator[Tensor]:
    """Yield batches of standardised target images (B, bands, size, size) without augmentation."""
    patches = PatchDataset(pair, settings, with_target=True)
    for batch in range(number):
        rng = np.random.default_rng((settings.training.seed, 3, batch))
        images = np.stack([patches.target_patch(rng)[0] for _ in range(settings.training.batch_size)])
        yield torch.from_numpy(pair.target_spec.standardise_unit(images))


class _EndlessSampler(Sampler[int]):
    """Item numbers without end, ``size`` per batch, beginning at batch ``first``.

    In a training of W processes, the processes share out every W * ``size`` items. Together they see the items that one
    process with a W times larger batch would see.
    """

    def __init__(self, first: int, size: int) -> None:
        self.first, self.size = first, size

    def __iter__(self) -> Iterator[int]:
        # asked in this place, since the processes connect when training begins
        processes, rank = distributed.world_size(), distributed.rank()
        for batch in count(self.first):
            start = (batch * processes + rank) * self.size
            yield from range(start, start + self.size)


def loader(
    pair: Pair, settings: Settings, *, with_target: bool, first_step: int = 0, **items: range
) -> DataLoader[Any]:
    """Load batches without end, ``settings.training.accumulate`` per step.

    Args:
        first_step: step to begin at. A resumed run gets the batches that an uninterrupted run would have got.
        items: ``source_items`` and ``target_items``, see ``PatchDataset``.
    """
    return DataLoader(
        PatchDataset(pair, settings, with_target=with_target, **items),
        batch_size=settings.training.batch_size,
        sampler=_EndlessSampler(first_step * settings.training.accumulate, settings.training.batch_size),
        num_workers=settings.patches.workers,
        persistent_workers=settings.patches.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
