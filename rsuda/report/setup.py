"""Compare the settings of runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from rsuda.core.settings import Settings
from rsuda.core.version import __version__
from rsuda.methods import find_method
from rsuda.methods.old_options import renamed
from rsuda.report.runs import ReportRun
from rsuda.report.views import RunView

# settings that two compared runs may differ in
_FREE = {"method", "options", "seed", "data", "device", "workers", "precision", "score_every", "preset"}
# settings that a method chooses: batch-norm statistics and patches
_CHOSEN_BY_METHOD = {"rare_temperature", "target_statistics"}


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
        ("method", [view.run.settings.method for view in views]),
        ("paper", [find_method(view.run.settings.method).paper for view in views]),
        ("run folder", [view.run.folder.name for view in views]),
        ("steps, seed", [f"{view.run.settings.steps:,}, {view.run.settings.seed}" for view in views]),
        ("batch size, window", [f"{view.run.settings.batch_size}, {view.run.settings.crop} px" for view in views]),
        ("network", [f"{view.run.settings.encoder}, {view.run.settings.decoder}" for view in views]),
        ("encoder weights", [view.run.settings.weights.rpartition("/")[2] for view in views]),
        ("GSD of the model", [_gsd(view.run) for view in views]),
        ("bands of the model", [_bands(view) for view in views]),
        ("optimizer", [_optimiser(view.run.settings) for view in views]),
        ("standardisation", [view.run.settings.standardise for view in views]),
        ("source colours", [view.run.settings.colours for view in views]),
        ("band mixing", [f"{view.run.settings.band_mixing:g}" for view in views]),
        ("rare-class sampling", [_or_method(view.run.settings.rare_temperature) for view in views]),
        ("batch norm on target", [_or_method(view.run.settings.target_statistics) for view in views]),
        ("SHA-256 of the weights", [view.run.trained.digest[:12] for view in views]),
    ]  # fmt: skip
    return [Fact(name, tuple(values)) for name, values in rows]


def options(run: ReportRun) -> dict[str, str]:
    """Return the method's options as text; a star marks one that differs from the default."""
    default = find_method(run.settings.method).Options().model_dump()
    chosen = renamed(run.settings.options)
    return {name: f"{value}" + ("" if default.get(name) == value else " *") for name, value in chosen.items()}


def differences(one: ReportRun, other: ReportRun) -> list[str]:
    """Return the names of settings, beside the method and its options, in which two runs differ."""
    names = [field.name for field in fields(Settings) if field.name not in _FREE | _CHOSEN_BY_METHOD]
    return [name.replace("_", " ") for name in names if getattr(one.settings, name) != getattr(other.settings, name)]


def versions() -> str:
    """Return the versions of rsuda and torch."""
    return f"rsuda {__version__}, torch {torch.__version__.partition('+')[0]}"


def _bands(view: RunView) -> str:
    bands = ", ".join(view.target.spec.bands)
    if view.source is not None and view.source.spec.bands != view.target.spec.bands:
        return f"{', '.join(view.source.spec.bands)} of the source as {bands}"
    return bands


def _gsd(run: ReportRun) -> str:
    return f"{run.trained.spec.gsd:g} m" + (" (each domain as it is)" if run.settings.gsd == "native" else "")


def _optimiser(settings: Settings) -> str:
    return f"{settings.optimiser}, lr {settings.lr:g}, decoder {settings.lr * settings.head_factor:g}"


def _or_method(value: Any) -> str:
    words = {None: "the method's own", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else f"{value:g}"
