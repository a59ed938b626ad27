"""Names of settings of version 0.1 and what they are called now; read for one release."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

OLD_NAMES = {
    "preset": "preset",
    "data": "data",
    "source": "source.name",
    "source_split": "source.split",
    "source_bands": "source.bands",
    "target": "target.name",
    "target_split": "target.split",
    "target_bands": "target.bands",
    "gsd": "align.gsd",
    "standardise": "align.standardise",
    "band_matching": "align.band_matching",
    "colours": "align.colours",
    "band_mixing": "align.band_mixing",
    "rare_temperature": "align.rare_temperature",
    "target_statistics": "align.target_statistics",
    "crop": "patches.window",
    "scale": "patches.scale",
    "max_share": "patches.max_class_share",
    "turns": "patches.flip_rotate",
    "photometric": "patches.photometric",
    "target_geometry": "patches.target_geometry",
    "workers": "patches.workers",
    "method": "method.name",
    "options": "method.options",
    "encoder": "network.encoder",
    "decoder": "network.decoder",
    "channels": "network.channels",
    "dropout": "network.dropout",
    "output_stride": "network.output_stride",
    "weights": "network.weights",
    "start": "network.start",
    "optimiser": "optimizer.name",
    "lr": "optimizer.lr",
    "head_factor": "optimizer.decoder_lr_factor",
    "discriminator_lr": "optimizer.discriminator_lr",
    "weight_decay": "optimizer.weight_decay",
    "warmup": "optimizer.warmup_steps",
    "power": "optimizer.poly_power",
    "steps": "training.steps",
    "batch_size": "training.batch_size",
    "accumulate": "training.accumulate",
    "seed": "training.seed",
    "precision": "training.precision",
    "device": "training.device",
    "devices": "training.devices",
    "nodes": "training.nodes",
    "strategy": "training.strategy",
    "score_split": "validation.split",
    "score_every": "validation.every",
}
OLD_OPTIONS = {"keep": "keep_share", "start": "source_only_share"}
OLD_OPTION_VALUES = {"teacher_statistics": {"shown": "target"}}

logger = logging.getLogger("rsuda")


def renamed_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give a method's options of version 0.1 their names and values of now."""
    return {OLD_OPTIONS.get(name, name): renamed_value(name, value) for name, value in options.items()}


def renamed_value(option: str, value: Any) -> Any:
    """Give a value of an option of version 0.1 its word of now."""
    return OLD_OPTION_VALUES.get(option, {}).get(value, value) if isinstance(value, str) else value


def note_old_names(file: Path, names: Iterable[str]) -> None:
    """Log, once for each file, that it holds names of version 0.1."""
    names = tuple(names)
    if names:
        _note(file, names)


@cache
def _note(file: Path, names: tuple[str, ...]) -> None:
    examples = ", ".join(f"{name} is now {OLD_NAMES[name]}" for name in names[:3])
    logger.warning(
        "note: %s holds flat settings of an older rsuda, which the next release will not read: %s", file, examples
    )
