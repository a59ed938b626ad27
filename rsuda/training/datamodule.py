"""The domain pair as a Lightning DataModule, for training loops of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader

from rsuda.data.domain import Domain
from rsuda.data.find_domain import find_domains, names_and_objects
from rsuda.data.pair import Pair
from rsuda.data.patches import loader
from rsuda.methods import find_method, option_names, options_of, presets_of
from rsuda.runs.resolve import resolve
from rsuda.training.build import build, check_run, common_ground, with_class_weights
from rsuda.training.method_module import MethodModule


class PairDataModule(L.LightningDataModule):
    """Batches of a labelled source and an unlabelled target, the ones that ``rsuda.adapt`` trains on.

    A batch is a dict. In torchgeo's words, "image" and "mask" of two datasets:

    ================  ======================  ============================================================
    key               shape, dtype            what
    ================  ======================  ============================================================
    source_image      (B, bands, H, W) f32    the source's "image" on 0..1, 0 where there is no data
    source_label      (B, H, W) uint8         the source's "mask": class indices, 255 ignored
    target_image      (B, bands, H, W) f32    the target's "image" on 0..1 (not for source-only)
    target_valid      (B, H, W) bool          where the target holds data (not for source-only)
    key               (B,) int64              a random number for each item's own draws
    ================  ======================  ============================================================

    Batches come without end: give the Trainer ``max_steps``. Batch i depends on the seed and i alone, and a fit that goes
    on from a checkpoint gets the batches that the unbroken one would have got. Images are not standardised and not
    augmented; rsuda's methods do both. A Trainer of several devices needs ``use_distributed_sampler=False``, since the batches
    of each process are its own already, and ``strategy="ddp_find_unused_parameters_true"``.

    Args:
        source, target, method, data, preset, config, steps, workers, settings: as in ``rsuda.adapt``.

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
        source: str | Path | Domain | Any | None = None,
        target: str | Path | Domain | Any | None = None,
        *,
        method: str | None = None,
        data: str | Path | None = None,
        preset: str | None = None,
        config: str | Path | None = None,
        steps: int | None = None,
        workers: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        names, self.given = names_and_objects(source, target)
        common = {
            "method.name": method,
            "data": data,
            "preset": preset,
            "training.steps": steps,
            "patches.workers": workers,
        }
        chosen = {name: value for name, value in {**names, **common}.items() if value is not None}
        s, _ = resolve(
            config, {**chosen, **(settings or {})}, None, False, lambda text: None,
            presets_of=presets_of, option_names=option_names,
        )  # fmt: skip
        self.settings, self.notes = check_run(s)

    def prepare_data(self) -> None:
        """Nothing is downloaded."""

    def setup(self, stage: str | None = None) -> None:
        """Find the scenes and match the pair: bands, GSD, legend; reads all source labels once."""
        if not hasattr(self, "pair"):
            self.pair, self.start = common_ground(self.settings, find_domains(self.settings, self.given))
            self.notes = [*self.notes, *self.pair.notes]

    def train_dataloader(self) -> DataLoader[Any]:
        first, s = 0, self.settings
        if self.trainer:
            first, s = (
                self.trainer.global_step,
                s.changed({"training.accumulate": self.trainer.accumulate_grad_batches}),
            )
        return loader(self.pair, s, with_target=find_method(s.method.name).needs_target, first_step=first)

    def build_method(self, **options: Any) -> MethodModule:
        """Build the method with its networks, a LightningModule for this pair; ``.method.model`` is the network.

        Args:
            options: of the method, beside those of the settings.
        """
        self.setup()
        s = self.settings.changed({"method": options})
        options_of(s.method.name, s.method.options)
        module = build(with_class_weights(s, self.pair), self.pair, self.start)
        module.to(memory_format=torch.channels_last)
        return module
