"""What was adapted to what, and how: the settings of the runs side by side, and in what they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from rsuda.core.settings import Settings
from rsuda.core.version import __version__
from rsuda.methods import find_method
from rsuda.report.runs import ReportRun
from rsuda.report.views import RunView

# what two runs may differ in without it telling in their scores
_FREE = {"method", "options", "seed", "data", "device", "workers", "precision", "score_every", "preset"}
# of a method's own business: which batch-norm statistics and which patches it wants
_METHODS_OWN = {"rare_temperature", "target_statistics"}


@dataclass(frozen=True)
class Fact:
    """A row of the table: one value for each run; ``differs`` where they are not all the same."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def facts(all_eyes: Sequence[RunView]) -> list[Fact]:
    rows: list[tuple[str, list[str]]] = [
        ("method", [e.run.settings.method for e in all_eyes]),
        ("paper", [find_method(e.run.settings.method).paper for e in all_eyes]),
        ("run folder", [e.run.folder.name for e in all_eyes]),
        ("steps, seed", [f"{e.run.settings.steps:,}, {e.run.settings.seed}" for e in all_eyes]),
        ("batch, crop", [f"{e.run.settings.batch_size}, {e.run.settings.crop} px" for e in all_eyes]),
        ("network", [f"{e.run.settings.encoder}, {e.run.settings.decoder}" for e in all_eyes]),
        ("encoder's weights", [e.run.settings.weights.rpartition("/")[2] for e in all_eyes]),
        ("GSD fed", [_gsd(e.run) for e in all_eyes]),
        ("bands fed", [_bands(e) for e in all_eyes]),
        ("optimiser", [_optimiser(e.run.settings) for e in all_eyes]),
        ("standardised by", [e.run.settings.standardise for e in all_eyes]),
        ("source colours", [e.run.settings.colours for e in all_eyes]),
        ("band mixing", [f"{e.run.settings.band_mixing:g}" for e in all_eyes]),
        ("rare-class sampling", [_or_own(e.run.settings.rare_temperature) for e in all_eyes]),
        ("batch norm on target", [_or_own(e.run.settings.target_statistics) for e in all_eyes]),
        ("weights' SHA-256", [e.run.trained.digest[:12] for e in all_eyes]),
    ]  # fmt: skip
    return [Fact(n, tuple(v)) for n, v in rows]


def options(run: ReportRun) -> dict[str, str]:
    """The method's options, and whether each is the default."""
    default = find_method(run.settings.method).options()
    return {k: f"{v}" + ("" if default.get(k) == v else " *") for k, v in run.settings.options.items()}


def unlike(one: ReportRun, other: ReportRun) -> list[str]:
    """Settings, other than the method and its own, in which two runs differ, in words."""
    names = [f.name for f in fields(Settings) if f.name not in _FREE | _METHODS_OWN]
    return [n.replace("_", " ") for n in names if getattr(one.settings, n) != getattr(other.settings, n)]


def versions() -> str:
    return f"rsuda {__version__}, torch {torch.__version__.partition('+')[0]}"


def _bands(e: RunView) -> str:
    fed = ", ".join(e.target.spec.bands)
    if e.source is not None and e.source.spec.bands != e.target.spec.bands:
        return f"{', '.join(e.source.spec.bands)} of the source as {fed}"
    return fed


def _gsd(run: ReportRun) -> str:
    return f"{run.trained.spec.gsd:g} m" + (" (each domain as it is)" if run.settings.gsd == "native" else "")


def _optimiser(s: Settings) -> str:
    return f"{s.optimiser}, lr {s.lr:g}, heads {s.lr * s.head_factor:g}"


def _or_own(value: Any) -> str:
    words = {None: "the method's own", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else f"{value:g}"
