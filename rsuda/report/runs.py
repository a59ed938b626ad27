"""Read the runs of a report from their folders."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsuda.core.errors import InputError
from rsuda.core.hub import local_model
from rsuda.core.settings import Settings
from rsuda.evaluation.label_free import read_label_free
from rsuda.evaluation.target_curve import read_curve
from rsuda.methods import METHODS
from rsuda.runs.folders import CURVE
from rsuda.runs.weights import TrainedNetwork, load_run, saved_settings

_NAMES = {name: name for name in ("source-only", "source-free")} | {
    "st-dasegnet": "ST-DASegNet"
}  # others by their class
SHARE = "quality"  # the term in which methods log the share of pseudo labels that they trust


@dataclass(frozen=True)
class ReportRun:
    """A finished run.

    Attributes:
        name: unique among the runs of a report.
        terms: loss terms by name, each as (steps, values); empty without metrics.csv.
        share: the share of trusted pseudo labels as (steps, values); None where the method logs none.
        curve: rows of target_curve.csv.
        label_free: scores of label_free.json; None without that file.
        missing_files: sentences about missing files.
    """

    folder: Path
    name: str
    settings: Settings
    trained: TrainedNetwork
    terms: dict[str, tuple[list[int], list[float]]]
    share: tuple[list[int], list[float]] | None
    curve: list[dict[str, Any]]
    label_free: dict[str, float] | None
    missing_files: tuple[str, ...]

    @property
    def source_only(self) -> bool:
        return self.settings.method.name == "source-only"


def read_runs(folders: Sequence[Path]) -> list[ReportRun]:
    """Read finished runs of one pair.

    Raises:
        MissingError: a folder is not a run folder, or has no weights since its training has not ended.
        InputError: the same run twice, runs of different pairs or legends, a damaged metrics file.
    """
    folders = [local_model(folder) for folder in folders]
    if not folders:
        raise InputError("a report needs a run folder: name at least one")
    repeats = [str(folder) for folder, count in Counter(folder.resolve() for folder in folders).items() if count > 1]
    if repeats:
        raise InputError(f"the run {repeats[0]} is given twice: name it once")
    all_settings = [saved_settings(folder) for folder in folders]
    networks = [load_run(folder) for folder in folders]
    for folder, settings, network in zip(folders[1:], all_settings[1:], networks[1:], strict=True):
        for what, one, other in (
            ("source", all_settings[0].source.title, settings.source.title),
            ("target", all_settings[0].target.name, settings.target.name),
            ("legend", networks[0].spec.legend.names, network.spec.legend.names),
        ):
            if one != other:
                one, other = (value if isinstance(value, str) else ", ".join(value) for value in (one, other))
                raise InputError(
                    f"a report compares runs of one pair, but the {what} of {folders[0]} is {one} and that of {folder} {other}: "
                    "report on each pair alone"
                )
    return [
        _read(folder, name, settings, network)
        for folder, name, settings, network in zip(
            folders, _unique_names(folders, all_settings), all_settings, networks, strict=True
        )
    ]


def _unique_names(folders: Sequence[Path], all_settings: Sequence[Settings]) -> list[str]:
    """Name runs by method; with the seed where the method repeats, and with the folder where the seed repeats too."""
    methods = [_name(settings.method.name) for settings in all_settings]
    with_seed = [f"{name}, seed {settings.training.seed}" for name, settings in zip(methods, all_settings, strict=True)]
    with_folder = [
        folder.name if folder.name.startswith(name) else f"{name} ({folder.name})"
        for name, folder in zip(methods, folders, strict=True)
    ]
    with_path = [f"{name} ({folder})" for name, folder in zip(methods, folders, strict=True)]
    names = []
    for i, path in enumerate(with_path):
        unique = [level[i] for level in (methods, with_seed, with_folder) if level.count(level[i]) == 1]
        names.append(unique[0] if unique else path)
    return names


def _name(method: str) -> str:
    """Name a method for people. The code of a method file never runs here: its class gives the name."""
    method_class = METHODS.get(method)
    return _NAMES.get(method) or (method.rpartition(":")[2] if method_class is None else method_class.__name__)


def _read(folder: Path, name: str, settings: Settings, network: TrainedNetwork) -> ReportRun:
    terms, missing_files = _terms(folder / "metrics.csv"), []
    if not terms:
        missing_files.append(f"{folder} has no metrics.csv with losses, so their curves are missing")
    share = terms.pop(SHARE, None)
    curve, label_free = _curve(folder / CURVE), read_label_free(folder)
    return ReportRun(folder, name, settings, network, terms, share, curve, label_free, tuple(missing_files))


def _terms(file: Path) -> dict[str, tuple[list[int], list[float]]]:
    if not file.is_file():
        return {}
    terms: dict[str, tuple[list[int], list[float]]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                for term, value in row.items():
                    if value and term not in ("epoch", "step"):
                        steps, values = terms.setdefault(term, ([], []))
                        steps.append(int(row["step"]) + 1)  # the logger counts from 0
                        values.append(float(value))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{file} is not a table of losses by step ({error}): remove it, or restore the run") from None
    # the loss first, then its terms in the order of their names
    return {name: terms[name] for name in sorted(terms, key=lambda name: (name != "loss", name))}


def _curve(file: Path) -> list[dict[str, Any]]:
    try:
        rows = read_curve(file)
        return rows if all(isinstance(row["miou"], float) and isinstance(row["step"], int) for row in rows) else []
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{file} is not a table of scores by step ({error}): remove it, or restore the run") from None
