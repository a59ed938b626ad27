"""Compare the settings of runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rsuda.core.settings import Settings
from rsuda.core.version import __version__
from rsuda.methods import METHODS
from rsuda.methods.old_options import todays
from rsuda.report.runs import ReportRun
from rsuda.report.views import RunView

# settings that two compared runs may differ in
_FREE = {
    "training.seed",
    "data",
    "training.device",
    "patches.workers",
    "training.precision",
    "validation.every",
    "preset",
}
# settings that a method chooses: batch-norm statistics and patches
_CHOSEN_BY_METHOD = {"align.rare_temperature", "align.target_statistics"}


@dataclass(frozen=True)
class Fact:
    """A row of the table, with a value for each run."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the values differ between runs."""
        return len(set(self.values)) > 1


def facts(views: Sequence[RunView]) -> list[Fact]:
    """Return the table's rows."""
    rows: list[tuple[str, list[str]]] = [
        ("method", [view.run.settings.method.name for view in views]),
        ("paper", [_paper(view.run.settings.method.name) for view in views]),
        ("run folder", [view.run.folder.name for view in views]),
        ("steps, seed", [f"{view.run.settings.training.steps:,}, {view.run.settings.training.seed}" for view in views]),
        ("batch size, window", [_batch(view.run.settings) for view in views]),
        ("network", [f"{view.run.settings.network.encoder}, {view.run.settings.network.decoder}" for view in views]),
        ("encoder weights", [view.run.settings.network.weights.rpartition("/")[2] for view in views]),
        ("GSD of the model", [_gsd(view.run) for view in views]),
        ("bands of the model", [_bands(view) for view in views]),
        ("optimizer", [_optimiser(view.run.settings) for view in views]),
        ("standardisation", [view.run.settings.align.standardise for view in views]),
        ("source colours", [view.run.settings.align.colours for view in views]),
        ("band mixing", [f"{view.run.settings.align.band_mixing:g}" for view in views]),
        ("rare-class sampling", [_or_method(view.run.settings.align.rare_temperature) for view in views]),
        ("normalisation fitted to target", [_or_method(view.run.settings.align.target_statistics) for view in views]),
        ("SHA-256 of the weights", [view.run.trained.digest[:12] for view in views]),
    ]
    return [Fact(name, tuple(values)) for name, values in rows]


def options(run: ReportRun) -> dict[str, str]:
    """Return the method's options as text; a star marks one that differs from a known default."""
    values = todays(run.settings.method.options, run.settings.method.name)
    method = METHODS.get(run.settings.method.name)  # None for a method file, which never runs here
    default = values if method is None else method.Options().model_dump()
    return {name: f"{value}" + ("" if default.get(name) == value else " *") for name, value in values.items()}


def _paper(name: str) -> str:
    """Return the paper of a method by name. The code of a method file never runs here, so its paper is unknown."""
    method = METHODS.get(name)
    return "unknown" if method is None else method.paper


def differences(one: ReportRun, other: ReportRun) -> list[str]:
    """Return the names of settings, beside the method and its options, in which two runs differ."""
    values, others = one.settings.by_name(), other.settings.by_name()
    names = [name for name in values if name not in _FREE | _CHOSEN_BY_METHOD and not name.startswith("method.")]
    return [_words(name) for name in names if values[name] != others[name]]


def _words(name: str) -> str:
    """Write a setting's dotted name for people: 'align.band_mixing' as 'band mixing', 'source.bands' as 'source bands'."""
    section, _, field = name.rpartition(".")
    words = f"{section} {field}" if field in ("name", "split", "bands") else field
    return words.replace("_", " ")


def versions() -> str:
    """Return the versions of rsuda and torch."""
    return f"rsuda {__version__}, torch {torch.__version__.partition('+')[0]}"


def _bands(view: RunView) -> str:
    bands = ", ".join(view.target.spec.bands)
    if view.source is not None and view.source.spec.bands != view.target.spec.bands:
        return f"{', '.join(view.source.spec.bands)} of the source as {bands}"
    return bands


def _gsd(run: ReportRun) -> str:
    return f"{run.trained.spec.gsd:g} m" + (" (each domain as it is)" if run.settings.align.gsd == "native" else "")


def _batch(settings: Settings) -> str:
    return f"{settings.training.batch_size}, {settings.patches.window} px"


def _optimiser(settings: Settings) -> str:
    how = settings.optimizer
    return f"{how.name}, lr {how.lr:g}, decoder {how.lr * how.decoder_lr_factor:g}"


def _or_method(value: Any) -> str:
    words = {None: "the method's own", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else f"{value:g}"
