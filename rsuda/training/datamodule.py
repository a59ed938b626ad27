"""Provide the domain pair as a Lightning DataModule, for custom training loops."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from rsuda.core.errors import InputError
from rsuda.core.legend import IGNORE
from rsuda.core.spec import Spec
from rsuda.data.domains.domain import Domain
from rsuda.data.find_domain import names_and_objects, training_domains
from rsuda.data.pairs.pair import Pair
from rsuda.data.pairs.patches import loader
from rsuda.geo.grids.windows import window_starts
from rsuda.geo.scenes.scene import Scene
from rsuda.methods import find_method, option_names, options_of, presets_of
from rsuda.runs.resolve import resolve
from rsuda.training.build import build, check_run, common_ground, options_for_pair
from rsuda.training.method_module import MethodModule


class PairDataModule(L.LightningDataModule):
    """Batches of a labelled source and an unlabelled target, those that ``rsuda.adapt`` trains on.

    A batch is a dict. In torchgeo's words, "image" and "mask" of two datasets:

    ================  ======================  ============================================================
    key               shape, dtype            what
    ================  ======================  ============================================================
    source_image      (B, bands, H, W) f32    the source's "image"
    source_label      (B, H, W) uint8         the source's "mask": class indices, 255 ignored
    source_valid      (B, H, W) bool          where the source has data
    target_image      (B, bands, H, W) f32    the target's "image" (not for source-only)
    target_valid      (B, H, W) bool          where the target has data (not for source-only)
    target_hint       (B, H, W) uint8         the target's hints, where its domain file has some; 255 without one
    key               (B,) int64              a random number for each item's own draws
    ================  ======================  ============================================================

    Images are on 0..1, with 0 where there is no data. With ``standardise=True`` they are as the network sees them before
    augmentation, each domain by its own mean and deviation. rsuda's methods standardise and augment themselves, so
    ``build_method`` needs ``standardise=False``.

    Training batches have no end: pass ``max_steps`` to the Trainer. Batch i depends on the seed and i alone, and a fit that
    continues from a checkpoint gets the batches of an uninterrupted one. A Trainer of several devices needs
    ``use_distributed_sampler=False``, since each process has batches of its own, and
    ``strategy="ddp_find_unused_parameters_true"``.

    ``val_dataloader`` gives windows of the target's labelled validation split, as (``image``, ``mask``) dicts; training
    never reads these labels.

    Args:
        source, target, method, data, preset, config, steps, batch_size, window, seed, workers, settings: as in
            ``rsuda.adapt``.
        standardise: standardise the images of all batches.

    Raises:
        InputError, MissingError: as ``rsuda.adapt``; about pixels and labels when ``setup`` reads them.

    Example:
        >>> import lightning as L, rsuda
        >>> pair = rsuda.PairDataModule("potsdam", "vaihingen", method="source-only", steps=2, workers=0)
        >>> method = pair.build_method()
        >>> quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        >>> trainer = L.Trainer(max_steps=pair.settings.training.steps, enable_model_summary=False, accelerator="cpu", **quiet)
        >>> trainer.fit(method, datamodule=pair)
        >>> trainer.global_step
        2
    """

    pair: Pair

    def __init__(
        self,
        source: str | os.PathLike[str] | Domain | Any | None = None,
        target: str | os.PathLike[str] | Domain | Any | None = None,
        *,
        method: str | None = None,
        data: str | Path | None = None,
        preset: str | None = None,
        config: str | Path | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        window: int | None = None,
        seed: int | None = None,
        workers: int | None = None,
        settings: Mapping[str, Any] | None = None,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        names, self.objects = names_and_objects(source, target)
        common = {
            **names,
            "method.name": method,
            "data": data,
            "preset": preset,
            "training.steps": steps,
            "training.batch_size": batch_size,
            "patches.window": window,
            "training.seed": seed,
            "patches.workers": workers,
        }
        changes = {name: value for name, value in common.items() if value is not None} | dict(settings or {})
        run_settings, _ = resolve(
            config, changes, "unused", False, lambda text: None, presets_of=presets_of, option_names=option_names
        )
        self.settings, self.notes = check_run(run_settings)
        self.standardise = standardise

    def prepare_data(self) -> None:
        """Download nothing."""

    def setup(self, stage: str | None = None) -> None:
        """Find the scenes and match the pair: bands, GSD, legend; reads all source labels once."""
        if not hasattr(self, "pair"):
            self.domains = training_domains(self.settings, self.objects)
            self.settings, self.pair, self.start = common_ground(self.settings, self.domains)
            self.notes = [*self.notes, *self.pair.notes]

    def train_dataloader(self) -> DataLoader[Any]:
        """Load batches of source and target patches."""
        self.setup()
        first, settings = 0, self.settings
        if self.trainer:
            first = self.trainer.global_step
            settings = settings.changed({"training.accumulate": self.trainer.accumulate_grad_batches})
        needs_target = find_method(settings.method.name).needs_target
        batches = loader(self.pair, settings, with_target=needs_target, first_step=first)
        if self.standardise:
            batches.collate_fn = _Standardise(self.pair.source_spec, self.pair.target_spec)
        return batches

    def val_dataloader(self) -> DataLoader[Any]:
        """Load windows that cover the target's labelled validation split, as dicts.

        ``image`` is (B, bands, H, W) float32 like ``target_image``. ``mask`` is (B, H, W) uint8: class indices of the
        source's legend, 255 ignored. Raises InputError where the target has no such labels.
        """
        self.setup()
        dataset = LabelledWindows(
            self.domains[1], self.settings.validation.split, self.pair, self.settings.patches.window, self.standardise
        )
        return DataLoader(dataset, self.settings.training.batch_size, num_workers=self.settings.patches.workers)

    def build_method(self, **options: Any) -> MethodModule:
        """Build the method with its networks, a LightningModule for this pair; ``.method.model`` is the network.

        Args:
            options: of the method, beside those of the settings.

        Raises:
            InputError: an option is invalid, or ``standardise`` is True: the methods standardise images themselves.
        """
        if self.standardise:
            raise InputError(
                "standardise is True, and rsuda's methods standardise images themselves: leave standardise out"
            )
        self.setup()
        settings = self.settings.changed({"method": options})
        options_of(settings.method.name, settings.method.options)
        module = build(options_for_pair(settings, self.pair), self.pair, self.start)
        module.to(memory_format=torch.channels_last)
        return module


class LabelledWindows(Dataset[dict[str, torch.Tensor]]):
    """Windows that cover the labelled scenes of a target's split, on the pair's GSD; pixels beyond a scene are ignored."""

    def __init__(self, target: Domain, split: str, pair: Pair, size: int, standardise: bool) -> None:
        self.spec, self.size, self.standardise = pair.target_spec, size, standardise
        scenes = target.labelled(split)
        assert target.legend is not None
        self.legend, self.table = target.legend, pair.target_spec.legend.mapping_from(target.legend)
        self.gsd = pair.gsd
        self.windows = [(scene, row, col) for scene in scenes for row, col in self._corners(scene)]

    def _corners(self, scene: Scene) -> list[tuple[int, int]]:
        grid = scene.grid_at(self.gsd)
        rows, cols = (window_starts(length, self.size, self.size) for length in (grid.height, grid.width))
        return [(row, col) for row in rows for col in cols]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        scene, row, col = self.windows[index]
        window = (row, col, self.size, self.size)
        patch = scene.read(self.spec.bands, self.gsd, window)
        image = self.spec.unit(patch.values) * patch.valid
        label = self.table[scene.read_label(self.legend, self.gsd, window)[0]]
        mask = np.where(patch.valid, label, IGNORE).astype(np.uint8)
        image = self.spec.standardise_unit(image) if self.standardise else image
        return {"image": torch.from_numpy(image.astype(np.float32)), "mask": torch.from_numpy(mask)}


class _Standardise:
    """Collate items, and standardise their images by the specs of their domains."""

    def __init__(self, source: Spec, target: Spec) -> None:
        self.specs = {"source_image": source, "target_image": target}

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = default_collate(items)
        for key, spec in self.specs.items():
            if key in batch:
                batch[key] = torch.from_numpy(spec.standardise_unit(batch[key].numpy()))
        return batch
