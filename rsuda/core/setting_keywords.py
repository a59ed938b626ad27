"""Name the settings that are keywords of ``rsuda.adapt`` and flags of the commands: one table for all of them."""

from __future__ import annotations

from rsuda.core.spelling import spell

KEYWORDS = {
    "method": "method.name",
    "witness": "method.witness",
    "data": "data",
    "steps": "training.steps",
    "preset": "preset",
    "source_split": "source.split",
    "target_split": "target.split",
    "source_bands": "source.bands",
    "target_bands": "target.bands",
    "source_nodata": "source.nodata",
    "target_nodata": "target.nodata",
    "gsd": "align.gsd",
    "standardise": "align.standardise",
    "band_matching": "align.band_matching",
    "band_mixing": "align.band_mixing",
    "colours": "align.colours",
    "target_statistics": "align.target_statistics",
    "rare_temperature": "align.rare_temperature",
    "encoder": "network.encoder",
    "weights": "network.weights",
    "start": "network.start",
    "lr": "optimizer.lr",
    "batch_size": "training.batch_size",
    "accumulate": "training.accumulate",
    "window": "patches.window",
    "seed": "training.seed",
    "score_every": "validation.every",
    "bank": "training.bank",
    "logger": "training.loggers",
    "precision": "training.precision",
    "device": "training.device",
    "workers": "patches.workers",
    "threads": "training.threads",
    "devices": "training.devices",
    "nodes": "training.nodes",
    "strategy": "training.strategy",
}
_BY_SETTING = {"source.name": "source", "target.name": "target", **{name: word for word, name in KEYWORDS.items()}}


def spell_setting(name: str) -> str:
    """Spell a setting as a reader types it: by its flag or keyword where it has one, by its dotted name elsewhere."""
    keyword = _BY_SETTING.get(name)
    return name if keyword is None else spell(keyword)
